"""A training that replaces a classifier is killed at any moment: predictions are those of the model they name."""

import functools
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipelines import predict as predict_command
from schemas.classifiers import Classifier, locked_folder, publish_classifier
from schemas.delta import Scan
from schemas.errors import ConvbaseError
from schemas.fragments import TableName
from schemas.storage import PublishedBase
from schemas.store import FeatureStore, PredictionTables
from tests.conftest import clusters, store_of_features, train
from tests.support.changes import killed_at_each_change
from tests.support.children import Kill, start_training
from transforms.conv_bases import OpenVINOEngine
from transforms.export import CLASSIFIER_NETWORK

IMAGES = 90
# Each of them a training that differs in everything that it writes.
TRAININGS = {"old": "--l2=10", "new": "--l2=0.001"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, small_store: FeatureStore) -> Path:
    """A store of clustered features, and two classifiers on it."""
    folder = tmp_path_factory.mktemp("replaced")
    features, classes = clusters((IMAGES // 3,) * 3, features=256, distance=3.0)
    store_of_features(folder / "store", features, small_store, label=[("a", "b", "c")[index] for index in classes])
    for name in TRAININGS:
        train(*training(folder, folder / name, name))
    return folder


def training(made: Path, output: Path, name: str) -> list[str]:
    return [f"--features={made}/store", f"--output={output}", "--test_fraction=0", TRAININGS[name]]


def network_scores(classifier: Classifier, made: Path) -> np.ndarray:
    """What the network says that a worker loads, of all features: float32 [n, classes]."""
    files = classifier.files
    engine = OpenVINOEngine(PublishedBase(files.uri), IMAGES, files=CLASSIFIER_NETWORK, fetch=files.fetch_networks)
    return engine.submit(FeatureStore.open(f"{made}/store").scan().to_numpy()).result()[0]


@pytest.fixture(scope="module")
def right(made: Path) -> dict[str, np.ndarray]:
    """What the two classifiers say, by their ids."""
    opened = [Classifier.open(f"{made}/{name}") for name in TRAININGS]
    found = {classifier.card.model_id: network_scores(classifier, made) for classifier in opened}
    assert len(found) == len(TRAININGS)
    assert np.abs(np.subtract(*found.values())).max() > 0.1
    return found


def check_predictions(folder: Path, made: Path, right: dict[str, np.ndarray], output: Path) -> str:
    """Predicts, and returns the name of the model that computed; it is the one that the rows name."""
    assert predict_command.main([f"--model={folder}", f"--features={made}/store", f"--output={output}"]) == 0
    rows = Scan(PredictionTables(str(output)).table(TableName.PREDICTIONS)).to_arrow().sort_by("uri").to_pylist()
    uris = FeatureStore.open(f"{made}/store").scan(["uri"]).to_numpy("uri")
    (model_id,) = {row["model_id"] for row in rows}
    np.testing.assert_allclose([row["scores"] for row in rows], right[model_id][np.argsort(uris)], atol=1e-5)
    return next(name for name in TRAININGS if Classifier.open(f"{made}/{name}").card.model_id == model_id)


def publish_again(source: str, target: str) -> None:
    """Publishes a classifier once more, in another folder, as a training does."""
    classifier = Classifier.open(source)
    contents = {name: classifier.files.read(name) for name in classifier.files.by_name}
    with locked_folder(target):
        publish_classifier(target, classifier.card, contents)


def test_killed_at_any_write_the_folder_holds_the_old_or_the_new_model(
    made: Path, right: dict[str, np.ndarray], tmp_path: Path
) -> None:
    change = functools.partial(publish_again, f"{made}/new")
    found = []
    for number, folder in enumerate(killed_at_each_change(made / "old", tmp_path / "states", change)):
        classifier = Classifier.open(str(folder))
        np.testing.assert_array_equal(network_scores(classifier, made), right[classifier.card.model_id])
        found.append(classifier.card.model_id)
        if number % 12 == 0:
            check_predictions(folder, made, right, tmp_path / f"predictions-{number}")
    assert set(found) == set(right)
    assert found == sorted(found, key=list(right).index)
    print(f"{len(found)} kills")


@pytest.mark.parametrize(
    ("kill", "model"),
    [
        (Kill("schemas.classifiers.classifier:_write_card"), "old"),
        (Kill("schemas.classifiers.classifier:_write_card", call=2), "new"),
    ],
    ids=["before the card", "before the last card"],
)
def test_a_training_that_is_killed_leaves_the_old_or_the_new_model(
    kill: Kill, model: str, made: Path, right: dict[str, np.ndarray], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(made / "old", tmp_path / "model"))
    process = start_training([*training(made, folder, "new"), "--overwrite"], tmp_path / "log", kill=kill)
    process.join(120)
    assert process.exitcode == -signal.SIGKILL, (tmp_path / "log").read_text()
    assert check_predictions(folder, made, right, tmp_path / "predictions") == model
    publish_again(f"{made}/new", str(folder))
    assert {path.name for path in folder.iterdir()} == {path.name for path in (made / "new").iterdir()}


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "emptied": lambda path: path.write_bytes(b""),
    "cut in half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "one bit flipped": flip,
    "missing": Path.unlink,
}
READ_BY_PREDICTIONS = {"model_card.json", "labels.json", *CLASSIFIER_NETWORK}


def files_of_new(made: Path) -> list[Path]:
    return sorted(path.relative_to(made / "new") for path in (made / "new").rglob("*") if path.is_file())


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_file_that_is_damaged_is_named(damage: str, made: Path, tmp_path: Path) -> None:
    seen_when_read = damage == "one bit flipped"
    for file in files_of_new(made):
        if seen_when_read and file.name not in READ_BY_PREDICTIONS:
            continue
        folder, output = tmp_path / file.name, tmp_path / f"{file.name}-predictions"
        shutil.copytree(made / "new", folder)
        DAMAGES[damage](folder / file)
        with pytest.raises(ConvbaseError, match=file.name) as caught:
            predict_command.main([f"--model={folder}", f"--features={made}/store", f"--output={output}"])
        assert "\n" not in str(caught.value)
        if output.exists():
            assert seen_when_read
            assert Scan(PredictionTables(str(output)).table(TableName.PREDICTIONS)).count() == 0


def test_files_that_a_prediction_does_not_need_are_not_read(
    made: Path, right: dict[str, np.ndarray], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(made / "new", tmp_path / "model"))
    unread = [file for file in files_of_new(made) if file.name not in READ_BY_PREDICTIONS]
    assert "end_to_end.bin" in {file.name for file in unread}
    for file in unread:
        flip(folder / file)
    assert check_predictions(folder, made, right, tmp_path / "predictions") == "new"
