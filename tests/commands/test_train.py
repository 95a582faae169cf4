"""The command pipelines.train: what it writes and prints, what it refuses, and a table larger than its memory."""

import csv
import errno
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from pipelines import train as train_command
from schemas.classifiers import Classifier
from schemas.errors import ConvbaseError, OutputNotWritten, RunFailed
from schemas.store import FeatureStore
from tests.conftest import REPOSITORY, SMALL_BASE, Run, clusters, extract, store_of_features, train, write_pictures
from transforms.export import model_folder

PETS = ("cat", "cow", "dog")
QUICK = ("--epochs=3", "--patience=0")
EARLY = (*SMALL_BASE, "--layers=conv_pw_3_relu")


@pytest.fixture(scope="session")
def pets(tmp_path_factory: pytest.TempPathFactory, small_store: FeatureStore) -> FeatureStore:
    """A store of 900 clustered features with the conv base of the small store; do not change it."""
    features, classes = clusters((300, 300, 300), features=256, distance=4.0)
    labels = [PETS[index] for index in classes]
    return store_of_features(tmp_path_factory.mktemp("pets") / "store", features, small_store, label=labels)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory, pets: FeatureStore) -> Path:
    """A classifier on these pets; do not change it."""
    folder = tmp_path_factory.mktemp("models") / "model"
    assert train(f"--features={pets.uri}", f"--output={folder}", "--seed=3")["test_accuracy"] > 0.9
    return folder


def test_the_folder_of_a_classifier(model: Path, pets: FeatureStore) -> None:
    assert sorted(path.name for path in model.iterdir()) == [
        "classifier.keras", "end_to_end.keras", "end_to_end.onnx", "history.csv", "labels.json", "metrics.json",
        "model_card.json", "model_card.md", "openvino", "report.html",
    ]  # fmt: skip
    metrics = json.loads((model / "metrics.json").read_text())
    for split in ("train", "validation", "test"):
        assert 0.9 < metrics[f"{split}_accuracy"] <= 1
        assert 0.9 < metrics[f"{split}_auc"] <= 1
        assert 0 < metrics[f"{split}_log_loss"] < 0.5
        assert [row["name"] for row in metrics["classes"][split]] == [*PETS]
        assert sum(row["images"] for row in metrics["classes"][split]) == metrics["images"][split]
    assert sum(metrics["images"].values()) == 900
    assert np.sum(metrics["confusion"]["true_by_predicted"]) == metrics["images"]["test"]
    card = Classifier.open(str(model)).card
    assert card.fingerprint == pets.fingerprint
    assert (card.table_version, card.split_by, card.streamed) == (pets.features().version(), "hash", False)
    assert card.images == metrics["images"]
    assert card.recipe["seed"] == card.options["seed"] == 3
    assert card.versions["keras"] == keras.__version__
    assert (card.recipe["optimizer"], card.learning_rate, card.folds) == ("lbfgs", None, 5)
    history = list(csv.DictReader((model / "history.csv").open()))
    assert list(history[0]) == ["l2", "rows", "passes", "loss", "val_loss", "val_accuracy"]
    assert sum(int(row["passes"]) for row in history) == card.epochs
    assert float(history[card.best_epoch - 1]["l2"]) == card.recipe["l2"]


def test_the_folder_of_a_classifier_that_was_trained_in_epochs(pets: FeatureStore, tmp_path: Path) -> None:
    train(f"--features={pets.uri}", f"--output={tmp_path}/model", "--recipe=dropout", "--epochs=4")
    card = Classifier.open(f"{tmp_path}/model").card
    assert (card.recipe["optimizer"], card.recipe["dropout"], card.epochs) == ("adam", 0.5, 4)
    history = list(csv.DictReader((tmp_path / "model" / "history.csv").open()))
    assert [int(row["epoch"]) for row in history] == [1, 2, 3, 4]
    assert set(history[0]) == {"epoch", "accuracy", "loss", "val_accuracy", "val_loss"}
    page = (tmp_path / "model" / "report.html").read_text()
    assert "Learning curves" in page
    assert page.count("<svg") == 6
    assert "dropout" in [
        layer.name for layer in keras.saving.load_model(tmp_path / "model" / "classifier.keras").layers
    ]


def test_a_classifier_that_is_there_stays_unless_it_is_to_be_replaced(
    model: Path, pets: FeatureStore, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "model"))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(ConvbaseError, match=r"There is a classifier in .*/model already; give --overwrite") as caught:
        train("--features=/nowhere", f"--output={folder}")
    assert caught.value.exit_code == 2
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    train(f"--features={pets.uri}", f"--output={folder}", "--overwrite", "--l2=1")
    assert {path for path in folder.rglob("*") if path.is_file()} == set(before)
    old, new = (Classifier.open(str(path)).card for path in (model, folder))
    assert (old.model_id == new.model_id, new.recipe["l2"]) == (False, 1.0)


def test_a_full_disk_leaves_the_classifier_that_was_there(
    model: Path, pets: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(uri: str, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    folder = Path(shutil.copytree(model, tmp_path / "model"))
    monkeypatch.setattr("schemas.classifiers.classifier.write_file", full)
    with pytest.raises(
        RunFailed, match=r"folder .*/model cannot be written: .*No space left on device\. No classifier"
    ):
        train(f"--features={pets.uri}", f"--output={folder}", "--overwrite", "--l2=1")
    assert Classifier.open(str(folder)).card == Classifier.open(str(model)).card


def test_the_saved_metrics_are_those_of_the_saved_classifier(model: Path, pets: FeatureStore) -> None:
    classifier = keras.saving.load_model(model / "classifier.keras")
    assert "standardisation" in [layer.name for layer in classifier.layers]
    rows = pets.scan().to_numpy("conv_pw_13_relu"), pets.scan().to_numpy("label")
    predicted = np.array(PETS)[classifier.predict(rows[0], verbose=0).argmax(axis=1)]
    metrics = json.loads((model / "metrics.json").read_text())
    right = sum(metrics[f"{split}_accuracy"] * images for split, images in metrics["images"].items())
    assert np.mean(predicted == rows[1]) == pytest.approx(right / 900)


def test_the_report_needs_nothing_beside_it(model: Path) -> None:
    page = (model / "report.html").read_text()
    for title in ("The choice of L2", "Confusion matrix", "ROC", "Calibration", "Worst mistakes", "Model card"):
        assert title in page
    assert "http" not in page.replace("http://www.w3.org", "").replace("http-equiv", "")
    assert "<script" not in page
    assert page.count("<svg") == 6
    # These images never existed.
    assert "cannot be read" in page


UNREADABLE = {
    "no credentials": ("s3://convbase-nobody/{}.jpg", "There are no credentials for the storage"),
    "storage down": ("http://127.0.0.1:9/{}.jpg", "The server refuses connections"),
    "package missing": ("smb://host/share/{}.jpg", "The package of the file system is not installed"),
}


@pytest.mark.parametrize("fault", UNREADABLE)
def test_a_training_is_kept_whose_pictures_cannot_be_read(
    fault: str,
    tmp_path: Path,
    small_store: FeatureStore,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    uri, why = UNREADABLE[fault]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(model_folder, "_SECONDS_FOR_PICTURES", 5.0)
    features, classes = clusters((60, 60), features=256, distance=1.0)
    labels, uris = [PETS[index] for index in classes], [uri.format(number) for number in range(120)]
    store = store_of_features(tmp_path / "store", features, small_store, label=labels, uri=uris)
    train(f"--features={store.uri}", f"--output={tmp_path}/model")
    classifier = Classifier.open(f"{tmp_path}/model")
    assert b"cannot be read" in classifier.files.read("report.html")
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "no picture of" in line]
    found = re.fullmatch(rf"  It has no picture of (\d+) of its (\d+) mistakes: {why}.*", line)
    assert found is not None, line
    assert found[1] == found[2]


def test_a_classifier_is_whole_before_its_report_is_begun(
    pets: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(uri: str, *_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(model_folder, "add_file", full)
    with pytest.raises(
        OutputNotWritten, match=r"The classifier is in .*/model, whole, but its report cannot be"
    ) as one:
        train(f"--features={pets.uri}", f"--output={tmp_path}/model")
    assert one.value.exit_code == 1
    assert "report.html" not in Classifier.open(f"{tmp_path}/model").files.by_name


def test_the_same_seed_gives_the_same_metrics_and_the_same_model(
    model: Path, pets: FeatureStore, tmp_path: Path
) -> None:
    again = train(f"--features={pets.uri}", f"--output={tmp_path}/model", "--seed=3")
    assert again == json.loads((model / "metrics.json").read_text())
    assert Classifier.open(f"{tmp_path}/model").card.model_id == Classifier.open(str(model)).card.model_id


def test_the_columns_of_a_leaderboard_stand_apart(
    pets: FeatureStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(f"--features={pets.uri}", f"--output={tmp_path}/model", "--sweep=l2=1,0.0000031622776601683796")
    printed = capsys.readouterr().out.partition("Leaderboard")[2].splitlines()[1:4]
    assert printed[0].split()[-1] == "l2"
    assert {line.split()[-1] for line in printed[1:]} == {"1.0", "3.1622776601683796e-06"}


def test_the_command_says_how_good_it_is_and_where_the_report_is(run: Run, pets: FeatureStore, tmp_path: Path) -> None:
    done = run("train", f"--features={pets.uri}", "--output=model", "--sweep=dropout=0,0.5", *QUICK)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].startswith("3 classes (multi-class), split by hash: train ")
    assert lines[1].startswith("921.6 kB of features, in memory")
    assert [line.partition(":")[0] for line in lines[2:4]] == ["  dropout 0.0", "  dropout 0.5"]
    assert "Leaderboard" in done.stdout
    metrics = json.loads((tmp_path / "model" / "metrics.json").read_text())
    assert f"  test        accuracy {metrics['test_accuracy']:.4f}" in done.stdout
    assert "  report model/report.html" in done.stdout
    assert "leaderboard.csv" in Classifier.open(f"{tmp_path}/model").files.by_name
    leaderboard = list(csv.DictReader((tmp_path / "model" / "leaderboard.csv").open()))
    assert [row["rank"] for row in leaderboard] == ["1", "2"]
    assert {row["dropout"] for row in leaderboard} == {"0.0", "0.5"}


def test_the_default_needs_neither_keras_nor_tensorflow_here(pets: FeatureStore, tmp_path: Path) -> None:
    code = "import sys, pipelines.train as t; t.main(sys.argv[1:]); print({'keras', 'tensorflow'} & {*sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code, f"--features={pets.uri}", "--output=model"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[-1] == "set()"
    assert re.fullmatch(
        r"Classifier [0-9a-f]{16}: L2 \d\.\de[+-]\d\d, the best of \d+ by 5 folds, [\d,]+ passes over \d+ rows, .* s\.",
        lines[2],
    )


def test_without_a_validation_split_folds_choose(pets: FeatureStore, tmp_path: Path) -> None:
    metrics = train(
        f"--features={pets.uri}", f"--output={tmp_path}/model", "--validation_fraction=0", "--test_fraction=0"
    )
    assert (metrics["images"], metrics["validation_accuracy"]) == ({"train": 900}, None)
    assert metrics["train_accuracy"] > 0.9
    page = (tmp_path / "model" / "report.html").read_text()
    assert "5 folds of the training split" in page
    assert "Calibration on the train split" in page


def test_the_learning_curve_says_whether_more_labels_help(pets: FeatureStore, tmp_path: Path) -> None:
    metrics = train(f"--features={pets.uri}", f"--output={tmp_path}/model", "--learning_curve")
    curve = metrics["learning_curve"]
    assert metrics["images"]["train"] == curve[-1]["rows"]
    shares = [point["rows"] / curve[-1]["rows"] for point in curve]
    # 1 % are fewer than ten rows.
    np.testing.assert_allclose(shares, [0.02, 0.05, 0.1, 0.2, 0.5, 1], atol=0.001)
    assert [len(point["log_losses"]) for point in curve] == [5, 5, 5, 5, 5, 1]
    assert all(len(set(point["log_losses"])) == 5 for point in curve[:-1])
    means = [np.mean(point["log_losses"]) for point in curve]
    assert means == sorted(means, reverse=True)
    # What is trained on all of it is the classifier.
    assert curve[-1]["log_losses"] == [metrics["test_log_loss"]]
    assert curve[-1]["accuracies"] == [metrics["test_accuracy"]]
    page = (tmp_path / "model" / "report.html").read_text()
    assert "Do more labels help?" in page
    assert page.count('<polygon class="band') == 2


def test_stores_are_compared_on_the_images_that_all_have(
    pets: FeatureStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second store is of another base, has 100 images less, and features that are worth more."""
    extract(f"--input={write_pictures(tmp_path / 'one', 1)[0]}", f"--output={tmp_path}/base", *EARLY)
    labels = pets.scan().to_numpy("label")[:800]
    features = np.random.default_rng(0).normal(size=(800, 32)) + 6 * np.eye(3, 32)[np.searchsorted(PETS, labels)]
    other = store_of_features(tmp_path / "other", features, FeatureStore.open(f"{tmp_path}/base"), label=[*labels])
    stores = (f"--features={pets.uri}", f"--features={other.uri}")
    metrics = train(*stores, f"--output={tmp_path}/model")
    assert sum(metrics["images"].values()) == 800
    printed = capsys.readouterr().out
    assert "Left out, as not all stores have them: 100, 0 images of the stores." in printed
    assert "\n  MobileNet conv_pw_13_relu: validation accuracy 0." in printed
    card = Classifier.open(f"{tmp_path}/model").card
    assert (card.fingerprint, card.layer, card.store) == (other.fingerprint, "conv_pw_3_relu", other.uri)
    first, second = csv.DictReader((tmp_path / "model" / "leaderboard.csv").open())
    assert (first["layer"], first["features"], first["mcnemar_p"]) == ("conv_pw_3_relu", "32", "")
    assert (second["layer"], second["features"], second["store"]) == ("conv_pw_13_relu", "256", pets.uri)
    assert 0 < float(second["mcnemar_p"]) <= 1
    page = (tmp_path / "model" / "report.html").read_text()
    assert "Compared on the validation split" in page
    assert page.index("<tr><th>other, conv_pw_3_relu</th>") < page.index("<tr><th>store, conv_pw_13_relu</th>")
    assert page.count("<svg") == 8
    model = keras.saving.load_model(tmp_path / "model" / "end_to_end.keras")
    assert model.layers[-1].input_shape == (None, 32)


def test_labels_of_a_file_and_an_older_version(pets: FeatureStore, tmp_path: Path) -> None:
    lines = [f"file:///image-{number},{'odd' if number % 2 else 'even'}" for number in range(600)]
    (tmp_path / "labels.csv").write_text("\n".join(["uri,parity", *lines]))
    options = (f"--labels={tmp_path}/labels.csv", "--label_column=parity", "--table_version=1", "--test_fraction=0")
    metrics = train(f"--features={pets.uri}", f"--output={tmp_path}/model", *options, *QUICK)
    assert metrics["kind"] == "binary"
    assert metrics["test_accuracy"] is None
    assert sum(metrics["images"].values()) == 600
    assert Classifier.open(f"{tmp_path}/model").card.left_out["unlabelled"] == 300


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--features=/nowhere",), "There is no feature store at /nowhere"),
        (("--layer=conv_pw_12_relu",), "no features of a layer 'conv_pw_12_relu'; did you mean 'conv_pw_13_relu'?"),
        (("--fingerprint=0123",), "holds features with the fingerprint [0-9a-f]{16}, 0123 was asked"),
        (("--conv_base=VGG16",), "features of another spec: conv_base is MobileNet in the store, VGG16 was asked"),
        (("--table_version=99",), "The table has no version 99; its newest is 1"),
        (("--table_version=0",), "No image has a label"),
        (("--label_column=breed",), "The table has no column 'breed'"),
        (("--labels=missing.csv",), r"^There is no file of labels at missing\.csv\.$"),
        (("--split=column",), "The train, validation and test splits are empty"),
        (("--validation_fraction=0", "--recipe=dropout"), "The validation split is empty"),
        (("--optimizer=lbfgs", "--epochs=3"), "epochs belongs to a training in epochs"),
        (("--validation_fraction=0.6", "--test_fraction=0.4"), "leave nothing to train"),
        (("--dropout=2",), "dropout is 2.0; it must be at least 0 and below 1"),
        (("--hidden=a",), "'a' is no value of hidden"),
        (("--sweep=droput=1",), "no field 'droput'; did you mean 'dropout'?"),
        (("--memory_mb=0",), "'0' is not a whole number above 0"),
        (("--recipe=cake",), "Argument --recipe: invalid choice: 'cake'"),
        (("--optimiser=adam",), "Unrecognized arguments: --optimiser=adam"),
    ],
)
def test_refusals(options: tuple[str, ...], sentence: str, pets: FeatureStore, tmp_path: Path) -> None:
    with pytest.raises(ConvbaseError, match=sentence) as caught:
        train_command.main([f"--features={pets.uri}", f"--output={tmp_path}/model", *options])
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ([None] * 6, "No image has a label"),
        (["cat"] * 6, "Every labelled image is of the class 'cat'"),
        (["cat", "dog", "cat", "cat", "cat", "dog"], "The validation split has no example of 'dog'"),
    ],
)
def test_labels_that_teach_nothing_are_refused(labels: list[str | None], sentence: str, tmp_path: Path) -> None:
    splits = ["train", "train", "validation", "validation", "test", "test"]
    store = store_of_features(tmp_path / "store", np.zeros((6, 4)), label=labels, split=splits)
    with pytest.raises(ConvbaseError, match=sentence):
        train_command.main([f"--features={store.uri}", f"--output={tmp_path}/model"])


def test_features_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    features, classes = clusters((50, 50), features=4)
    features[7, 2] = np.nan
    store = store_of_features(tmp_path / "store", features, label=[PETS[index] for index in classes])
    with pytest.raises(ConvbaseError, match=r"1 of 100 rows have NaN or infinite features .*: file:///image-7"):
        train_command.main([f"--features={store.uri}", f"--output={tmp_path}/model"])


def test_a_refusal_is_one_sentence_and_exit_code_2(run: Run) -> None:
    done = run("train", "--features=nowhere", "--output=model")
    assert done.returncode == 2
    assert done.stderr == (
        "error: There is no feature store at nowhere; pipelines.extract --output=nowhere makes one.\n"
    )


def test_a_folder_that_cannot_be_written_is_refused(pets: FeatureStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConvbaseError, match=r"The classifier's folder .*/file/model cannot be written"):
        train_command.main([f"--features={pets.uri}", f"--output={tmp_path}/file/model"])


# Trains, and prints by how many megabytes the memory of the process grew at most after TensorFlow was there.
GROWTH = """
import sys
from pipelines.train import main
from transforms.runtime import import_tensorflow, peak_memory

import_tensorflow()
before = peak_memory()
print(main(sys.argv[1:]), (peak_memory() - before) // 10**6)
"""


def test_a_table_four_times_larger_than_the_memory_allowed_is_streamed(
    small_store: FeatureStore, tmp_path: Path
) -> None:
    """410 MB of features with 100 MB allowed: the process never has more of them in memory, and little else."""
    images = 400_000
    features, classes = clusters((images // 2, images // 2), features=256, distance=2.5)
    features = features.astype(np.float16).astype(np.float32)  # So that the file is half as large.
    labels = [PETS[index] for index in classes]
    store = store_of_features(tmp_path / "store", features, small_store, label=labels)
    options = (f"--features={store.uri}", "--epochs=1", "--patience=0")
    held = train(*options, f"--output={tmp_path}/held", "--memory_mb=1000")
    done = subprocess.run(
        [sys.executable, "-c", GROWTH, *options, f"--output={tmp_path}/streamed", "--memory_mb=100"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    code, grown = map(int, done.stdout.splitlines()[-1].split())
    assert code == 0
    assert grown < 350
    assert [Classifier.open(f"{tmp_path}/{name}").card.streamed for name in ("held", "streamed")] == [False, True]
    streamed = json.loads((tmp_path / "streamed" / "metrics.json").read_text())
    for name in ("train_accuracy", "validation_accuracy", "test_accuracy", "test_auc"):
        assert streamed[name] == pytest.approx(held[name], abs=0.005)
    assert streamed["test_log_loss"] == pytest.approx(held["test_log_loss"], abs=0.02)
    assert streamed["test_accuracy"] > 0.85
    print(
        f"Peak memory grew by {grown} MB, test accuracy {streamed['test_accuracy']:.4f}, {held['test_accuracy']:.4f}."
    )
