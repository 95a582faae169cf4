"""The command pipelines.finetune: the loop from features to fine-tuning and back, a killed one, what it refuses."""

import csv
import json
import shlex
import shutil
import signal
from pathlib import Path

import keras
import numpy as np
import pytest

from pipelines import finetune as finetune_command
from pipelines import predict as predict_command
from schemas.classifiers import LOCK_FILE, Classifier, publish_classifier
from schemas.delta import Scan
from schemas.errors import ConvbaseError, RunFailed, RunInterrupted
from schemas.fragments import TableName
from schemas.store import FeatureStore, PredictionTables
from tests.conftest import SMALL_BASE, extract, train, write_tinted_pictures
from tests.support.children import Kill, start_fine_tuning

COUNTS = {"train": 12, "validation": 6, "test": 3}
LAYER = "conv_pw_3_relu"
OPTIONS = ("--unfreeze_from=conv_dw_3", "--labels_from=parent", "--learning_rate=0.001", "--batch_size=8")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """42 pictures of two tints of noise, in folders by split and label, and two that are none; do not change them."""
    folder = tmp_path_factory.mktemp("tinted")
    write_tinted_pictures(folder, COUNTS)
    (folder / "train" / "red" / "bad.png").write_text("no image")
    (folder / "train" / "red" / "empty.png").write_text("")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Path:
    """A classifier of these pictures, and of a copy of each, on an early layer of a random base; do not change it."""
    folder = tmp_path_factory.mktemp("start")
    options = ("--labels_from=parent", f"--layers={LAYER}", "--augment=1", *SMALL_BASE)
    extract(f"--input={pictures}", f"--output={folder}/store", *options)
    train(f"--features={folder}/store", f"--output={folder}/model")
    return folder / "model"


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, pictures: Path, model: Path) -> Path:
    """That classifier after two epochs of fine-tuning; do not change it."""
    folder = tmp_path_factory.mktemp("tuned") / "model"
    done = finetune_command(
        pictures, model=model, output=folder, unfreeze_from="conv_dw_3", labels_from="parent", learning_rate=0.001,
        batch_size=8, epochs=2, patience=0,
    )  # fmt: skip
    assert (done.uri, done.card.epochs) == (str(folder), 2)
    assert repr(done).startswith(f"Classifier {done.card.model_id}: epoch ")
    assert "<td>test, 6 images</td><td>accuracy " in done._repr_html_()
    return folder


def finetune(model: Path, pictures: Path, output: Path, *options: object) -> None:
    arguments = [f"--model={model}", f"--input={pictures}", f"--output={output}", *OPTIONS, *map(str, options)]
    assert finetune_command.main(arguments) == 0


def metrics(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "metrics.json").read_text())
    return found


def test_the_folder_of_a_fine_tuned_classifier(tuned: Path, model: Path) -> None:
    assert {path.name for path in tuned.iterdir()} == {
        *(path.name for path in model.iterdir()), "base.weights.h5", "left_out.csv",
    }  # fmt: skip
    card, parent = Classifier.open(str(tuned)).card, Classifier.open(str(model)).card
    assert card.fine_tuning["model"] == parent.model_id != card.model_id
    assert card.fine_tuning["unfreeze_from"] == "conv_dw_3"
    assert card.fine_tuning["weights_sha256"] == parent.spec.weights_sha256 != card.spec.weights_sha256
    assert card.fine_tuning["before"]["validation_accuracy"] == metrics(model)["validation_accuracy"]
    assert card.fine_tuning["before"]["test_log_loss"] == pytest.approx(metrics(model)["test_log_loss"], abs=1e-4)
    assert parent.spec.augmentation is not None
    assert card.spec.augmentation is None
    assert (card.epochs, card.best_epoch, card.images) == (2, 2, {"train": 24, "validation": 12, "test": 6})
    report = (tuned / "report.html").read_text()
    assert "Before and after fine-tuning" in report
    assert parent.model_id in report


def test_the_loop_from_features_to_fine_tuning_to_features(
    tuned: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = tmp_path / "again"
    finetune(tuned, pictures, again, "--epochs=1", "--patience=0", "--no-augment")
    printed = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("Features of its base: "))
    command = printed.replace("IMAGES", str(pictures)).replace("NEW_STORE", f"{tmp_path}/store")
    extract(*shlex.split(command)[7:], "--labels_from=parent")
    store = FeatureStore.open(f"{tmp_path}/store")
    card = Classifier.open(str(again)).card
    assert store.fingerprint == card.fingerprint != Classifier.open(str(tuned)).card.fingerprint
    uris = store.scan().to_numpy("uri")
    pixels = np.stack([_pixels(uri.removeprefix("file://")) for uri in uris])
    end_to_end = keras.saving.load_model(again / "end_to_end.keras", compile=False)
    inner = keras.Model(end_to_end.input, end_to_end.layers[-2].output)
    np.testing.assert_allclose(store.scan().to_numpy(LAYER), inner.predict(pixels, verbose=0), atol=1e-5)
    train(f"--features={store.uri}", f"--output={tmp_path}/model")
    probabilities = end_to_end.predict(pixels, verbose=0)[:, 0]
    for source in (f"--input={pictures}", f"--features={store.uri}"):
        output = tmp_path / source[2:7]
        predict_command.main([f"--model={again}", source, f"--output={output}"])
        rows = Scan(PredictionTables(str(output)).table(TableName.PREDICTIONS), ["uri", "scores"]).to_arrow()
        scores = dict(zip(rows["uri"].to_pylist(), rows["scores"].to_pylist(), strict=True))
        np.testing.assert_allclose([scores[uri][1] for uri in uris], probabilities, atol=1e-4)
    predict_command.main([f"--model={tmp_path}/model", f"--input={pictures}", f"--output={tmp_path}/out"])


def _pixels(path: str) -> np.ndarray:
    return np.asarray(keras.utils.load_img(path, target_size=(32, 32), interpolation="bilinear"))


def test_a_fine_tuning_killed_in_an_epoch_ends_as_if_it_had_not_been(
    tuned: Path, model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is killed at the 40th picture, in the second epoch of two, and goes on where pictures do not fit in memory.

    A classifier that was there stays until the new one is finished.
    """
    output, arguments = tmp_path / "model", ("--epochs=2", "--patience=0", "--overwrite")
    shutil.copytree(model, output)
    given = (f"--model={model}", f"--input={pictures}", f"--output={output}", *OPTIONS, *arguments)
    process = start_fine_tuning(given, tmp_path / "log", Kill("transforms.finetuning.dataset:_copy", 40))
    process.join()
    assert process.exitcode == -signal.SIGKILL, (tmp_path / "log").read_text()
    there = {"checkpoint", LOCK_FILE, *(path.name for path in model.iterdir())}
    assert {path.name for path in output.iterdir()} == there
    assert Classifier.open(str(output)).card == Classifier.open(str(model)).card
    with pytest.raises(ConvbaseError, match=r"There is a classifier in .* already; give --overwrite"):
        finetune(model, pictures, output, "--epochs=2", "--patience=0")
    with pytest.raises(
        ConvbaseError, match=r"is of another fine-tuning: learning_rate was 0.001 and is 0.002\."
    ) as got:
        finetune(model, pictures, output, *arguments, "--learning_rate=0.002")
    assert got.value.exit_code == 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.jobs.finetuning.available_memory", lambda: 1000)
        finetune(model, pictures, output, *arguments)
    printed = capsys.readouterr().out
    assert "Left out: 2 unreadable images." in printed
    assert "read and decoded again in each epoch" in printed
    assert "Going on after epoch 1" in printed
    assert {path.name for path in output.iterdir()} == {path.name for path in tuned.iterdir()}
    assert metrics(output) == metrics(tuned)
    assert (output / "history.csv").read_text() == (tuned / "history.csv").read_text()
    cards = [Classifier.open(str(folder)).card for folder in (output, tuned)]
    assert cards[0].model_id == cards[1].model_id
    assert [card.fine_tuning["resumed_from"] for card in cards] == [1, 0]


def test_bad_images_are_left_out_and_named_and_only_so_many(
    model: Path, pictures: Path, tuned: Path, tmp_path: Path
) -> None:
    rows = list(csv.DictReader((tuned / "left_out.csv").open()))
    assert [(Path(row["uri"]).name, row["code"]) for row in rows] == [
        ("bad.png", "not_an_image"), ("empty.png", "empty_file"),
    ]  # fmt: skip
    card = Classifier.open(str(tuned)).card
    assert (card.left_out["unreadable"], card.streamed) == (2, False)
    with pytest.raises(RunFailed, match=r"2 of 44 images cannot be used, more than --max_failure_ratio=0\.01 allows"):
        finetune(model, pictures, tmp_path / "other", "--max_failure_ratio=0.01")


def test_an_untrained_head_is_refused_unless_told_otherwise(
    model: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    untrained = Path(shutil.copytree(model, tmp_path / "untrained"))
    classifier = Classifier.open(str(untrained))
    contents = {name: classifier.files.read(name) for name in classifier.files.by_name}
    end_to_end = keras.saving.load_model(untrained / "end_to_end.keras", compile=False)
    dense = end_to_end.layers[-1].layers[-1]
    dense.set_weights([np.random.default_rng(0).normal(0, 1e-3, dense.kernel.shape), np.zeros(1)])
    end_to_end.save(untrained / "end_to_end.keras")
    with pytest.raises(RunFailed, match=r"end_to_end\.keras is not the file that was published with its classifier"):
        finetune(untrained, pictures, tmp_path / "out")
    contents["end_to_end.keras"] = (untrained / "end_to_end.keras").read_bytes()
    publish_classifier(str(untrained), classifier.card, contents)
    with pytest.raises(ConvbaseError, match=r"as good as untrained: its log loss .* 0\.6931 is that of knowing") as got:
        finetune(untrained, pictures, tmp_path / "out")
    assert got.value.exit_code == 2
    assert not (tmp_path / "out").exists()

    def begun(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(finetune_command, "fine_tune_shown", begun)
    with pytest.raises(RunInterrupted, match=r"^The training is interrupted; nothing of it is visible\.$"):
        finetune(untrained, pictures, tmp_path / "out", "--untrained_head")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--unfreeze_from=conv_dw_33",), "has no layer 'conv_dw_33'; did you mean 'conv_dw_3'"),
        (("--learning_rate=0",), "learning_rate is 0.0; it must be above 0"),
        (("--augment_zoom=1",), "The zoom of the augmentation is 1"),
        (
            ("--no-augment", "--augment_zoom=0.1"),
            "--augment_zoom says what augmented copies are like; leave --no-augment",
        ),
        (("--label_column=lable",), "There is no column 'lable' with labels; did you mean 'label'\\?$"),
        (("--model=/nowhere",), "There is no classifier at /nowhere"),
        (("--input=/nowhere",), "There is no input at /nowhere"),
        (("--output=MODEL",), "--output is the folder of --model"),
        (("--labels=LABELS",), "The classifier distinguishes blue, red .*; the images are of green, red"),
    ],
)
def test_refusals(options: tuple[str, ...], sentence: str, model: Path, pictures: Path, tmp_path: Path) -> None:
    lines = [f"{path},{'green' if 'blue' in str(path) else 'red'}" for path in pictures.rglob("*.png")]
    (tmp_path / "labels.csv").write_text("\n".join(["uri,label", *lines]))
    given = [option.replace("MODEL", str(model)).replace("LABELS", f"{tmp_path}/labels.csv") for option in options]
    arguments = {
        option.partition("=")[0]: option
        for option in (f"--model={model}", f"--input={pictures}", f"--output={tmp_path}/out", *OPTIONS, *given)
    }
    with pytest.raises(ConvbaseError, match=sentence) as caught:
        finetune_command.main([*arguments.values()])
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
