"""The command pipelines.predict: every image a row of predictions or of failures, once a run, all of it or nothing."""

import argparse
import dataclasses
import datetime
import json
import os
import re
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import onnxruntime
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from pipelines import maintain as maintain_command
from pipelines import predict as predict_command
from pipelines.prediction import prediction_job
from pipelines.runners import pipeline as pipeline_module
from schemas.classifiers import Classifier, publish_classifier
from schemas.delta import Scan
from schemas.errors import ConvbaseError, RunFailed, UsageError
from schemas.fragments import TableName
from schemas.store import FeatureStore, PredictionTables
from tests.conftest import SMALL_BASE, Run, clusters, extract, store_of_features, train, write_pictures
from transforms.extraction import ShardResult
from transforms.images import decoder
from transforms.prediction import Prediction

if TYPE_CHECKING:
    import pandas as pd
    from apache_beam.options.pipeline_options import PipelineOptions

SHAPES = ("discs", "squares", "stripes")


@pytest.fixture(scope="session")
def early_store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """A store of 12 pictures with an early layer of a random base, whose features differ; do not change it."""
    folder = tmp_path_factory.mktemp("early")
    for number, name in enumerate(SHAPES):
        write_pictures(folder / "pictures" / "train" / name, 4, seed=number)
    options = (f"--input={folder}/pictures", "--labels_from=parent", "--layers=conv_pw_3_relu")
    extract(*options, f"--output={folder}/store", *SMALL_BASE)
    return FeatureStore.open(f"{folder}/store")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory, early_store: FeatureStore) -> Path:
    """A classifier of three classes on the conv base of the early store; do not change it.

    It is trained on features of the scale of those of real pictures, so that it says something else of each of these.
    """
    features, classes = clusters((60, 60, 60), features=32, distance=4.0)
    real = early_store.scan().to_numpy()
    features = real.mean(axis=0) + features * real.std(axis=0)
    labels = [SHAPES[index] for index in classes]
    folder = tmp_path_factory.mktemp("predict")
    store = store_of_features(folder / "store", features, early_store, label=labels)
    train(f"--features={store.uri}", f"--output={folder}/model", "--epochs=2", "--test_fraction=0")
    return folder / "model"


def predict(model: Path, *arguments: object) -> int:
    return predict_command.main([f"--model={model}", *map(str, arguments)])


def rows(folder: object, name: TableName = TableName.PREDICTIONS) -> list[dict[str, Any]]:
    found = Scan(PredictionTables(str(folder)).table(name)).to_arrow().to_pylist()
    return sorted(found, key=lambda row: (row["run_id"], row["uri"]))


def pictures_of(store: FeatureStore) -> str:
    return store.uri.removesuffix("/store") + "/pictures"


def test_images_and_features_get_the_probabilities_of_the_keras_models(
    model: Path, early_store: FeatureStore, tmp_path: Path
) -> None:
    predict(model, f"--input={pictures_of(early_store)}", f"--output={tmp_path}/images", "--labels_from=parent")
    predict(model, f"--features={early_store.uri}", f"--output={tmp_path}/features")
    images, features = rows(tmp_path / "images"), rows(tmp_path / "features")
    assert [row["uri"] for row in images] == sorted(early_store.scan().to_numpy("uri"))
    scores = [np.array([row["scores"] for row in found]) for found in (images, features)]
    assert scores[0].std(axis=0).max() > 0.05
    np.testing.assert_allclose(*scores, atol=1e-5)
    pixels = np.stack(
        [
            np.asarray(
                keras.utils.load_img(row["uri"].removeprefix("file://"), target_size=(32, 32), interpolation="bilinear")
            )
            for row in images
        ]
    )
    end_to_end = keras.saving.load_model(model / "end_to_end.keras")
    assert end_to_end.inputs[0].dtype == "uint8"
    np.testing.assert_allclose(end_to_end.predict(pixels, verbose=0), scores[0], atol=1e-5)
    onnx = onnxruntime.InferenceSession(model / "end_to_end.onnx", providers=["CPUExecutionProvider"])
    (said,) = onnx.run(None, {onnx.get_inputs()[0].name: pixels.astype(np.uint8)})
    np.testing.assert_allclose(said, scores[0], atol=1e-5)
    for column in ("version", "true_labels", "split", "label", "model_id"):
        assert [row[column] for row in images] == [row[column] for row in features], column


def test_a_row_says_what_it_is(model: Path, early_store: FeatureStore, tmp_path: Path) -> None:
    predict(model, f"--features={early_store.uri}", f"--output={tmp_path}/out", "--run_id=nightly")
    found = rows(tmp_path / "out")
    classifier = Classifier.open(str(model))
    assert classifier.labels.classes == SHAPES
    for row in found:
        assert row["label"] == SHAPES[int(np.argmax(row["scores"]))]
        assert row["score"] == max(row["scores"])
        assert row["labels"] == [row["label"]]
        assert sum(row["scores"]) == pytest.approx(1)
        assert row["true_labels"] == [row["uri"].split("/")[-2]]
        assert (row["model_id"], row["run_id"], row["split"]) == (classifier.card.model_id, "nightly", "train")


def test_the_tables_say_what_each_column_holds(model: Path, early_store: FeatureStore, tmp_path: Path) -> None:
    predict(model, f"--features={early_store.uri}", f"--output={tmp_path}/out")
    for field in Scan(PredictionTables(f"{tmp_path}/out").table(TableName.PREDICTIONS)).schema:
        assert field.metadata[b"comment"], field.name


def test_no_image_is_read_for_features(model: Path, early_store: FeatureStore, tmp_path: Path) -> None:
    store = store_of_features(tmp_path / "store", np.zeros((600, 32)), early_store)  # Their images never existed.
    predict(model, f"--features={store.uri}", f"--output={tmp_path}/out")
    found = rows(tmp_path / "out")
    assert len(found) == 600
    assert all(row["scores"] == pytest.approx(found[0]["scores"], abs=1e-6) for row in found)
    assert {row["true_labels"] for row in found} == {None}


def test_splits_come_out_in_one_spelling(model: Path, early_store: FeatureStore, tmp_path: Path) -> None:
    features = np.repeat(early_store.scan().to_numpy()[:1], 4, axis=0)
    store = store_of_features(tmp_path / "store", features, early_store, split=["Training", " val ", "EVAL", None])
    predict(model, f"--features={store.uri}", f"--output={tmp_path}/predictions")
    assert [row["split"] for row in rows(tmp_path / "predictions")] == ["train", "validation", "test", None]


def test_bad_images_are_rows_in_failures(model: Path, tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures", 8)
    (tmp_path / "pictures" / "page.jpg").write_bytes(b"<html>")
    (tmp_path / "pictures" / "empty.jpg").write_bytes(b"")
    (tmp_path / "more.txt").write_text("pictures/missing.jpg\npictures/000.jpg\n")
    inputs = (f"--input={tmp_path}/pictures", f"--input={tmp_path}/more.txt", f"--output={tmp_path}/out")
    assert predict(model, *inputs, "--max_failure_ratio=0.5", "--batch_size=3") == 0
    assert [row["uri"][-7:] for row in rows(tmp_path / "out")] == [f"{number:03}.jpg" for number in range(8)]
    failed = rows(tmp_path / "out", TableName.FAILURES)
    assert {row["uri"].rpartition("/")[2]: row["code"] for row in failed} == {
        "page.jpg": "not_an_image", "empty.jpg": "empty_file", "missing.jpg": "not_found"
    }  # fmt: skip
    assert all(row["message"] and row["run_id"] for row in failed)


def test_too_many_failures_commit_nothing(run: Run, model: Path, tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures", 3)
    (tmp_path / "pictures" / "page.jpg").write_bytes(b"<html>")
    done = run("predict", f"--model={model}", "--input=pictures", "--output=out")
    assert done.returncode == 1
    assert done.stderr == (
        "error: 1 of 4 images failed (25.0%; 1 not_an_image), more than --max_failure_ratio=0.1 allows; "
        "nothing was committed.\n"
        f"  not_an_image  file://{tmp_path}/pictures/page.jpg  The file is no image that Pillow knows.\n"
    )
    assert rows(tmp_path / "out") == rows(tmp_path / "out", TableName.FAILURES) == []


def test_a_folder_that_cannot_be_written_is_refused_before_the_input_is_looked_at(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # Root may write everywhere.
    said = rf"^The predictions file://{tmp_path}/out cannot be written: Permission denied: '{tmp_path}'\.$"
    with pytest.raises(UsageError, match=said):
        predict(model, "--input=/nowhere", f"--output={tmp_path}/out")


def test_a_run_is_told_to_prometheus_however_it_ends(model: Path, tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures", 3)
    (tmp_path / "pictures" / "page.jpg").write_bytes(b"<html>")
    file = tmp_path / "run.prom"
    options = (f"--input={tmp_path}/pictures", f"--output={tmp_path}/out", f"--metrics_file={file}")
    labels = f'command="predict",store="file://{tmp_path}/out"'
    with pytest.raises(RunFailed, match="1 of 4 images failed"):
        predict(model, *options)
    lines = file.read_text().splitlines()
    assert f'convbase_images{{{labels},outcome="predicted"}} 0.0' in lines
    assert f"convbase_exit_code{{{labels}}} 1.0" in lines
    assert predict(model, *options, "--max_failure_ratio=0.5") == 0
    lines = file.read_text().splitlines()
    assert f'convbase_images{{{labels},outcome="listed"}} 4.0' in lines
    assert f'convbase_images{{{labels},outcome="predicted"}} 3.0' in lines
    assert f'convbase_failures{{{labels},code="not_an_image"}} 1.0' in lines
    assert f"convbase_exit_code{{{labels}}} 0.0" in lines
    with pytest.raises(UsageError, match="Name either --input"):
        predict(model, *options, "--features=store")
    assert f"convbase_exit_code{{{labels}}} 2.0" in file.read_text().splitlines()
    with pytest.raises(UsageError, match=r"--metrics_file=.*cannot be written"):
        predict(model, *options, f"--metrics_file={file}/below")


def test_too_little_memory_stops_the_run(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object, **__: object) -> None:
        raise MemoryError

    write_pictures(tmp_path / "pictures", 3)
    monkeypatch.setattr(decoder, "decode_image", exhausted)
    monkeypatch.setattr(prediction_job, "decoders_a_process", lambda _: 0)
    with pytest.raises(RunFailed, match="MemoryError"):
        # The worker of another test, which has its decoder processes, is for batches of another size.
        predict(model, f"--input={tmp_path}/pictures", f"--output={tmp_path}/out", "--batch_size=5")
    assert rows(tmp_path / "out") == []


def test_a_run_commits_once_and_a_later_one_replaces_its_rows(
    model: Path,
    early_store: FeatureStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(pipeline_module, "find_runner", lambda _: FnApiRunner(bundle_repeat=2))
    options = (f"--features={early_store.uri}", f"--output={tmp_path}/out")
    for run_id in ("a", "a"):
        predict(model, *options, f"--run_id={run_id}")
        assert [row["run_id"] for row in rows(tmp_path / "out")] == ["a"] * 12
    assert "replaced" not in capsys.readouterr().out
    predict(model, *options)
    (run_id,) = {row["run_id"] for row in rows(tmp_path / "out")}
    assert (run_id == "a", len(rows(tmp_path / "out"))) == (False, 12)
    assert "12 predictions of the same images by this classifier are replaced" in capsys.readouterr().out


def test_pictures_that_are_predicted_again_are_there_once(model: Path, tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "pictures", 4)
    (tmp_path / "pictures" / "page.jpg").write_bytes(b"<html>")
    options = (f"--input={tmp_path}/pictures", f"--output={tmp_path}/out", "--max_failure_ratio=0.5")
    predict(model, *options, "--run_id=first")
    write_pictures(tmp_path / "changed", 1, seed=9)[0].replace(pictures[0])
    predict(model, *options, "--run_id=second")
    found = rows(tmp_path / "out")
    assert len({(row["uri"], row["version"], row["model_id"]) for row in found}) == len(found) == 5
    assert [row["run_id"] for row in found] == ["first", *["second"] * 4]
    assert [row["run_id"] for row in rows(tmp_path / "out", TableName.FAILURES)] == ["second"]


def test_upkeep_of_predictions(
    model: Path, early_store: FeatureStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    images = (f"--input={pictures_of(early_store)}", f"--output={out}")
    predict(model, *images, "--run_id=first")
    predict(model, f"--features={early_store.uri}", f"--output={out}", "--run_id=second")
    write_pictures(tmp_path / "more", 2)
    predict(model, f"--input={tmp_path}/more", f"--output={out}", "--run_id=third")
    lost = out / "predictions" / "ds=2026-01-31" / f"lost-{uuid.uuid4()}.parquet"
    lost.parent.mkdir()
    lost.write_bytes(b"PAR1")
    long_ago = datetime.datetime.now(datetime.UTC).timestamp() - 30 * 86400
    os.utime(lost, (long_ago, long_ago))
    before = rows(out)
    for arguments, said in (
        (("compact", "--dry_run"), "predictions: 2 of 2 files"),
        (("compact",), "predictions: 2 of 2 files"),
        (("vacuum", "--retention=0h", "--allow_short_retention"), "Removed 3 files of older versions, 1 uncommitted"),
        (("history",), " compact "),
        (("check", "--deep"), "predictions: 1 file, none damaged."),
    ):
        assert maintain_command.main([str(out), *arguments]) == 0, arguments
        assert said in capsys.readouterr().out, arguments
    assert rows(out) == before
    (file,) = (out / "predictions").rglob("compacted-*.parquet")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(RunFailed, match="is damaged"):
        maintain_command.main([str(out), "check"])
    assert file.name in capsys.readouterr().out
    assert maintain_command.main([str(out), "check", "--repair"]) == 0
    predict(model, *images, "--run_id=fourth")
    assert len(rows(out)) == 12
    for command in (["takedown", "--uris=gone.txt"], ["restore", "--table_version=1"], ["republish"]):
        with pytest.raises(UsageError, match=f"is a folder of predictions; {command[0]} is for feature stores"):
            maintain_command.main([str(out), *command])
    with pytest.raises(ConvbaseError, match="There is no feature store at"):
        maintain_command.main([str(tmp_path), "compact"])


def test_images_that_get_lost_on_the_way_fail_the_run(
    model: Path, early_store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transforms.prediction.beam.predict_shard", lambda *_: ShardResult())
    with pytest.raises(RunFailed, match="12 images went in, 0 were predicted and 0 failed; nothing was committed"):
        predict(model, f"--input={pictures_of(early_store)}", f"--output={tmp_path}/out")


def test_metrics_are_printed_where_labels_are_known(
    model: Path, early_store: FeatureStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uris = early_store.scan().to_numpy("uri")
    lines = [f"{uri},{SHAPES[number % 3]}" for number, uri in enumerate(uris[:9])]
    (tmp_path / "labels.csv").write_text("\n".join(["uri,label", *lines]))
    options = (f"--features={early_store.uri}", f"--output={tmp_path}/out")
    predict(model, *options)
    assert "train       accuracy 0." in capsys.readouterr().out
    predict(model, *options, f"--labels={tmp_path}/labels.csv", "--run_id=labelled")
    printed = capsys.readouterr().out
    said = {row["uri"]: row["label"] for row in rows(tmp_path / "out")}
    right = sum(said[uri] == SHAPES[number % 3] for number, uri in enumerate(uris[:9]))
    assert f"accuracy {right / 9:.4f}" in printed
    assert "(9 images)" in printed
    predict(model, f"--input={pictures_of(early_store)}", f"--output={tmp_path}/out")
    assert "accuracy" not in capsys.readouterr().out


def test_up_to_twenty_pictures_are_printed_and_how_the_rest_is_read(
    model: Path, early_store: FeatureStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict(model, f"--features={early_store.uri}", f"--output={tmp_path}/out", "--run_id=r")
    printed = capsys.readouterr().out
    shown = re.findall(r"^    (\w+/\d+\.jpg) +(\w+) (\d\.\d{3}), \w+ \d\.\d{3}, \w+ \d\.\d{3}$", printed, flags=re.M)
    found = {"/".join(row["uri"].split("/")[-2:]): row for row in rows(tmp_path / "out")}
    assert [name for name, _, _ in shown] == sorted(found)
    assert len(shown) == 12
    for name, label, score in shown:
        assert (label, score) == (found[name]["label"], f"{found[name]['score']:.3f}")
    assert len(read_as_told(printed)) == 12
    many = store_of_features(tmp_path / "many", np.zeros((25, 32)), early_store)
    predict(model, f"--features={many.uri}", f"--output={tmp_path}/out", "--run_id=many", "--thumbnails=0")
    printed = capsys.readouterr().out
    assert len(re.findall(r"^    image-\d+  ", printed, flags=re.M)) == 20
    assert "    … and 5 more\n" in printed
    assert len(read_as_told(printed)) == 25


def read_as_told(printed: str) -> "pd.DataFrame":
    """Reads predictions by the line of Python that the command prints."""
    import deltalake
    import pandas as pd

    (line,) = re.findall("^  to read them: (.*)$", printed, flags=re.M)
    return eval(line, {"deltalake": deltalake, "pandas": pd})


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_run_can_be_one_file(
    kind: str, model: Path, early_store: FeatureStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = (f"--features={early_store.uri}", f"--output={tmp_path}/out", f"--output_format={kind}")
    predict(model, *options, "--run_id=r")
    found = read_as_told(capsys.readouterr().out)
    expected = rows(tmp_path / "out")
    found = found.sort_values("uri")
    assert found["uri"].tolist() == [row["uri"] for row in expected]
    assert found["label"].tolist() == [row["label"] for row in expected]
    if kind == "csv":
        scores = found[[f"score_{name}" for name in SHAPES]].to_numpy()
        np.testing.assert_allclose(scores, [row["scores"] for row in expected], rtol=1e-6)
        assert found["true_labels"].tolist() == [row["true_labels"][0] for row in expected]
    file = tmp_path / "out" / f"predictions.{kind}"
    file.unlink()
    predict(model, *options, "--run_id=r")  # It is committed; the file is written again.
    assert file.exists()
    predict(model, *options[:2], "--run_id=later")
    file.unlink()
    predict(model, *options, "--run_id=r")  # Its rows are replaced: an empty file would be none of them.
    assert not file.exists()


def test_a_file_that_cannot_be_written_fails_a_run_that_is_complete(
    model: Path, early_store: FeatureStore, tmp_path: Path, run: Run
) -> None:
    (tmp_path / "out" / "predictions.csv").mkdir(parents=True)
    options = (f"--model={model}", f"--features={early_store.uri}", "--output=out", "--output_format=csv")
    done = run("predict", *options, "--run_id=r")
    assert done.returncode == 1
    assert re.fullmatch(
        r"error: Run r is complete, but a file beside its tables cannot be written: .*predictions\.csv'?\. The same "
        r"command with --run_id=r writes it\.\n",
        done.stderr,
    )
    assert len(rows(tmp_path / "out")) == 12


def test_the_pages_show_pictures_unless_none_is_wanted(model: Path, early_store: FeatureStore, tmp_path: Path) -> None:
    predict(model, f"--features={early_store.uri}", f"--output={tmp_path}/out", "--thumbnails=5")
    page = (tmp_path / "out" / "least_sure.html").read_text()
    assert page.count("data:image/jpeg;base64,") == page.count("<figure") == 5
    least = min(rows(tmp_path / "out"), key=lambda row: -np.subtract(*np.sort(row["scores"])[-2:]))
    assert re.findall('<figure class="card" title="(.*?)"', page)[0] == least["uri"]
    report = (tmp_path / "out" / "report.html").read_text()
    mistakes = sum(row["labels"] != row["true_labels"] for row in rows(tmp_path / "out"))
    assert report.count("data:image/jpeg;base64,") == mistakes
    assert "Confusion matrix on the train split" in report
    predict(model, f"--features={early_store.uri}", f"--output={tmp_path}/blank", "--thumbnails=0")
    assert not (tmp_path / "blank" / "least_sure.html").exists()
    assert "data:image" not in (tmp_path / "blank" / "report.html").read_text()
    predict(model, f"--input={pictures_of(early_store)}", f"--output={tmp_path}/unlabelled")
    assert not (tmp_path / "unlabelled" / "report.html").exists()


def test_several_labels_and_two_classes(
    early_store: FeatureStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    features, classes = clusters((60, 60, 60), features=32, distance=6.0)
    tags = [(["x"], ["x", "y"], ["y"])[index] for index in classes]
    labels = [SHAPES[min(index, 1)] for index in classes]
    store = store_of_features(tmp_path / "store", features, early_store, tags=tags, label=labels)
    quick = ("--epochs=30", "--learning_rate=0.05", "--test_fraction=0")
    train(f"--features={store.uri}", f"--output={tmp_path}/tags", "--label_column=tags", *quick)
    train(f"--features={store.uri}", f"--output={tmp_path}/two", *quick)
    capsys.readouterr()
    predict(tmp_path / "tags", f"--features={store.uri}", f"--output={tmp_path}/a", "--label_column=tags")
    assert re.search(r"\n  all         accuracy (0\.9|1\.0).* \(180 images\)\n", capsys.readouterr().out)
    for row in rows(tmp_path / "a"):
        said = [name for name, score in zip("xy", row["scores"], strict=True) if score >= 0.5]
        assert row["labels"] == said
    predict(tmp_path / "two", f"--features={store.uri}", f"--output={tmp_path}/b")
    for row in rows(tmp_path / "b"):
        assert sum(row["scores"]) == pytest.approx(1)
        assert len(row["scores"]) == 2


def test_features_of_another_spec_are_refused(model: Path, tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures", 1)
    extract(
        f"--input={tmp_path}/pictures", f"--output={tmp_path}/store", "--conv_base=MobileNet",
        "--conv_base_arg=alpha=0.25", "--weights=none", "--input_shape=64,64,3",
    )  # fmt: skip
    with pytest.raises(ConvbaseError, match=r"The classifier takes features with the fingerprint .*input_shape") as got:
        predict(model, f"--features={tmp_path}/store", f"--output={tmp_path}/out")
    assert got.value.exit_code == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--input=PICTURES", "--features=STORE"), "Name either --input, .*, or --features"),
        ((), "Name either --input"),
        (("--input=/nowhere",), "/nowhere"),
        (("--features=/nowhere",), "There is no feature store at /nowhere"),
        (("--model=/nowhere", "--features=STORE"), "There is no classifier at /nowhere"),
        (("--features=STORE", "--table_version=7"), "The table has no version 7; its newest is 1"),
        (("--features=STORE", "--label_column=lable"), "There is no column 'lable' with labels; did you mean 'label'?"),
        (("--input=PICTURES", "--label_column=tags"), "There is no column 'tags' with labels"),
        (("--features=STORE", "--labels=/nowhere.csv"), r"^There is no file of labels at /nowhere\.csv\.$"),
        (("--features=STORE", "--batch_size=0"), "'0' is not a whole number above 0"),
        (("--features=STORE", "--max_failure_ratio=2"), "'2' is not"),
        (("--features=STORE", "--ouptut=x"), "Neither this command nor Beam knows the argument '--ouptut=x'"),
        (("--features=STORE", "--output=/dev/null/x"), "The predictions .*/dev/null/x cannot be written"),
        (("--features=STORE", "--output=STORE"), "holds a feature store; predictions need a folder of their own"),
        (
            ("--features=STORE", "--output=a/b.csv"),
            "would be a folder: --output=a/b --output_format=csv writes into one",
        ),
        (("--features=STORE", "--output_format=xml"), "'xml'"),
    ],
)
def test_refusals(
    options: tuple[str, ...], sentence: str, model: Path, early_store: FeatureStore, tmp_path: Path
) -> None:
    given = [
        option.replace("PICTURES", pictures_of(early_store)).replace("STORE", early_store.uri) for option in options
    ]
    with pytest.raises(ConvbaseError, match=sentence) as caught:
        predict(model, f"--output={tmp_path}/out", *given)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("card", ["with checksums", "of before there were any"])
def test_networks_that_were_tampered_with_are_refused(
    card: str, model: Path, early_store: FeatureStore, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(model, tmp_path / "model"))
    if card != "with checksums":
        make_old(copy)
    weights = copy / "openvino" / "classifier.bin"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(RunFailed, match=r"classifier\.bin is not the file that was published with its classifier"):
        predict(copy, f"--features={early_store.uri}", f"--output={tmp_path}/out")
    assert rows(tmp_path / "out") == []


def make_old(model: Path) -> None:
    """Makes a classifier's folder one of before the card listed its files."""
    card = json.loads((model / "model_card.json").read_text())
    networks = [file for file in card["files"] if file["name"].startswith("openvino/")]
    listed = {file["name"].partition("/")[2]: file["sha256"] for file in networks}
    (model / "openvino" / "published.json").write_text(json.dumps({"spec": card["spec"], "sha256": listed}))
    old = {name: value for name, value in card.items() if name not in {"files", "card_sha256"}}
    (model / "model_card.json").write_text(json.dumps(old, indent=2))


def test_a_classifier_of_before_there_were_checksums_is_opened(
    model: Path, early_store: FeatureStore, tmp_path: Path
) -> None:
    old = Path(shutil.copytree(model, tmp_path / "old"))
    make_old(old)
    for name, folder in (("old", old), ("new", model)):
        predict(folder, f"--features={early_store.uri}", f"--output={tmp_path}/{name}-predictions", "--run_id=r")
    found = [[row["scores"] for row in rows(tmp_path / f"{name}-predictions")] for name in ("old", "new")]
    assert found[0] == found[1]


def test_a_classifier_that_is_replaced_meanwhile_ends_the_run(
    model: Path, early_store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(model, tmp_path / "model"))
    prepare = predict_command.new_prediction

    def overtaken(given: argparse.Namespace, classifier: Classifier, options: "PipelineOptions") -> Prediction:
        network = copy / "openvino" / "classifier.bin"
        contents = {file.name: classifier.files.read(file.name) for file in classifier.card.files}
        contents["openvino/classifier.bin"] = bytes(network.stat().st_size)
        publish_classifier(str(copy), dataclasses.replace(classifier.card, model_id="another"), contents)
        return prepare(given, classifier, options)

    monkeypatch.setattr(predict_command, "new_prediction", overtaken)
    with pytest.raises(RunFailed, match=r"classifier\.bin .* If the classifier was replaced meanwhile, start again"):
        predict(copy, f"--features={early_store.uri}", f"--output={tmp_path}/out")
    assert rows(tmp_path / "out") == []


def test_workers_need_no_tensorflow(run: Run, model: Path, tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures", 2)
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['tensorflow'] = sys.modules['keras'] = None\n")
    search = f"{tmp_path}:{Path(__file__).parents[2]}"
    done = run("predict", f"--model={model}", "--input=pictures", "--output=out", PYTHONPATH=search)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "2 images predicted, 0 failed" in done.stdout
