"""Commands as functions: what they return is what their commands print, and what is wrong is raised."""

import dataclasses
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipelines import explore, extract, open_store, predict, search, train
from schemas.errors import ConvbaseError, RunFailed, RunInterrupted, StoreNotFound, UsageError
from schemas.store import FeatureStore
from tests.conftest import REPOSITORY, write_pictures
from transforms.conv_bases import OpenVINOEngine

BASE = {"conv_base": "MobileNet", "conv_base_arg": {"alpha": 0.25}, "weights": "none", "input_shape": (32, 32, 3)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store of twelve pictures in two classes, one of them unreadable, and a classifier."""
    folder = tmp_path_factory.mktemp("functions")
    for split, count in (("train", 4), ("validation", 2)):
        for number, name in enumerate(("cats", "d<o>gs")):
            write_pictures(folder / "photos" / split / name, count, seed=number)
    (folder / "photos" / "train" / "cats" / "bad.jpg").write_text("no picture")
    extracted = extract(
        folder / "photos", output=folder / "store", labels_from="parent", max_failure_ratio=0.5,
        layers=["conv_pw_1_relu"], **BASE,
    )  # fmt: skip
    assert (extracted.counts["extracted"], extracted.counts["failed"]) == (12, 1)
    assert extracted.store.scan(["uri"]).count() == 12
    train(features=folder / "store", output=folder / "model", test_fraction=0)
    return folder


def test_an_extraction_returns_what_its_command_prints(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = extract(input=[folder / "photos"], output=folder / "store", max_failure_ratio=0.5)
    assert capsys.readouterr().out == ""
    assert repr(again).startswith(f"Run {again.counts['run_id']} is complete.\n  images in the input")
    html = again._repr_html_()
    for cells in ("<td>already in the store</td><td>13</td>", "<td>extracted</td><td>0</td>"):
        assert cells in html
    assert f"<td>table</td><td>{again.store.uri}/features</td>" in html
    plan = extract(folder / "photos", output=folder / "other", dry_run=True, **BASE)
    assert (plan.store, plan.counts["to extract"]) == (None, 13)


def test_a_classifier_is_a_folder_with_metrics(folder: Path) -> None:
    trained = train(
        features=folder / "store", output=folder / "model", overwrite=True, test_fraction=0, sweep={"l2": [0.1, 1]}
    )
    assert trained.uri == str(folder / "model")
    assert 0 <= trained.metrics["validation_accuracy"] <= 1
    assert f"Classifier {trained.card.model_id}" in repr(trained)
    assert "<td>validation, 4 images</td><td>accuracy " in trained._repr_html_()
    card = dataclasses.replace(trained.card, images={**trained.card.images, "validation": 1})
    assert "<td>validation, 1 image</td>" in dataclasses.replace(trained, card=card)._repr_html_()


def test_predictions_are_a_table(folder: Path, tmp_path: Path) -> None:
    predicted = predict(folder / "photos/validation", model=folder / "model", output=tmp_path / "out")
    assert sorted(predicted.to_pandas()["label"].unique()) <= ["cats", "d<o>gs"]
    assert "<td>predicted</td><td>4</td>" in predicted._repr_html_()
    assert "4 images predicted, 0 failed" in repr(predicted)
    of_store = predict(model=folder / "model", features=folder / "store", output=tmp_path / "out")
    assert of_store.to_arrow().num_rows == 12


def test_an_exploration_is_a_page_and_a_search_has_hits(folder: Path, tmp_path: Path) -> None:
    found = explore(folder / "store", output=tmp_path / "explore", thumbnails=0)
    assert Path(found.page).is_file()
    assert "<td>images</td><td>12</td>" in found._repr_html_()
    near = search(folder / "store", image=folder / "photos/train/cats/000.jpg", k=3)
    assert near.hits.num_rows == 3
    assert near.to_pandas()["distance"].iloc[0] < 1e-5
    assert "d&lt;o&gt;gs" in search(folder / "store", image=folder / "photos/train/d<o>gs/000.jpg", k=12)._repr_html_()


def test_a_store_is_opened_by_name(folder: Path) -> None:
    assert isinstance(open_store(folder / "store"), FeatureStore)
    assert "MobileNet" in repr(open_store(f"{folder}/store"))
    with pytest.raises(StoreNotFound, match="There is no feature store at"):
        open_store(folder / "nowhere")


def test_what_is_wrong_is_raised_and_ends_no_process(folder: Path, tmp_path: Path) -> None:
    for wrong in (
        lambda: extract(tmp_path / "nowhere", output=tmp_path / "store"),
        lambda: extract(folder / "photos", output=folder / "store", pooling="max"),
        lambda: extract(folder / "photos", output=tmp_path / "store", runner="NoRunner", no_such_option=1),
        lambda: train(features=folder / "nowhere", output=tmp_path / "model"),
        lambda: train(features=folder / "store", output=tmp_path / "model", epoch=3),
        lambda: predict(model=folder / "model", output=tmp_path / "out"),
    ):
        with pytest.raises(UsageError):
            wrong()
    with pytest.raises(ConvbaseError) as failed:
        extract(folder / "photos/train/cats/bad.jpg", output=tmp_path / "failed", **BASE)
    assert isinstance(failed.value, RunFailed)


def test_an_interrupted_call_says_so_and_the_process_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, submit = signal.getsignal(signal.SIGINT), OpenVINOEngine.submit

    def interrupted(self: OpenVINOEngine, pixels: np.ndarray) -> object:
        monkeypatch.undo()
        signal.raise_signal(signal.SIGINT)
        return submit(self, pixels)

    write_pictures(tmp_path / "photos", 5)
    monkeypatch.setattr(OpenVINOEngine, "submit", interrupted)
    with pytest.raises(RunInterrupted, match="is interrupted; nothing of it is visible"):
        extract(tmp_path / "photos", output=tmp_path / "store", **BASE)
    assert signal.getsignal(signal.SIGINT) is before
    assert extract(tmp_path / "photos", output=tmp_path / "store", **BASE).counts["extracted"] == 5


@pytest.mark.parametrize(
    "code",
    [
        "import pipelines.extract; from pipelines import extract",
        "from pipelines import *",
    ],
)
def test_a_command_is_module_and_function_whatever_is_imported_first(code: str) -> None:
    code += (
        "; import sys; assert extract is sys.modules['pipelines.extract']; assert callable(extract); extract.parser()"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)
