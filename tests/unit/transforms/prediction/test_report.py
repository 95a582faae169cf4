"""How right predictions are: by split, with the report of a training on the last of them."""

import re

import numpy as np
import pyarrow as pa
import pytest

from schemas.classifiers import LabelKind, LabelSet
from schemas.store import STRINGS
from transforms.prediction import PredictedRows, predictions_html

LABELS = LabelSet(LabelKind.MULTI_CLASS, ("<a>", "b", "c"))


def predicted(true: list[list[str] | None], splits: list[str | None], said: list[int]) -> PredictedRows:
    scores = np.full((len(said), 3), 0.1, np.float32)
    scores[np.arange(len(said)), said] = 0.8
    table = pa.table(
        {
            "uri": [f"file:///{number}.jpg" for number in range(len(said))],
            "scores": pa.array(scores.tolist(), pa.list_(pa.float32())),
            "split": pa.array(splits, pa.string()),
        }
    )
    return PredictedRows.of(table, LABELS, pa.array(true, STRINGS))


def report(rows: PredictedRows) -> str:
    return predictions_html(rows, "night", "m-1", lambda _: None)


def test_each_split_has_its_metrics_and_images_without_one_come_last() -> None:
    rows = predicted(
        [["<a>"], ["b"], ["b"], ["c"], None, ["other"], ["<a>", "b"]],
        ["test", "train", None, "holdout", "test", "test", "test"],
        [0, 0, 1, 2, 0, 0, 0],
    )
    assert [(name, images, metrics.accuracy) for name, images, metrics in rows.metrics] == [
        ("train", 1, 0.0), ("holdout", 1, 1.0), ("test", 1, 1.0), ("all", 1, 1.0),
    ]  # fmt: skip
    page = report(rows)
    assert re.findall("<h2>(.*?)</h2>", page)[0] == "Confusion matrix on images without a split"
    assert "7 images of run <code>night</code>, 4 of them with a label" in page


def test_the_report_shows_the_mistakes_and_escapes_what_others_named() -> None:
    rows = predicted([["<a>"], ["b"], ["c"], ["b"]], ["test"] * 4, [1, 1, 2, 2])
    page = report(rows)
    assert "Worst mistakes on the test split" in page
    assert page.count("cannot be read") == 2
    assert "true <strong>&lt;a&gt;</strong>, predicted <strong>b</strong>" in page
    assert "<a>" not in page


@pytest.mark.parametrize("true", ["b", "c"])
def test_labels_of_one_class_alone_make_a_report(true: str) -> None:
    page = report(predicted([[true]] * 3, [None] * 3, [1, 1, 0]))
    assert "Confusion matrix on all images" in page


def test_one_image_is_counted_in_the_singular() -> None:
    assert "1 image of run <code>night</code>, 1 of them with a label" in report(predicted([["b"]], [None], [1]))


def test_lists_of_labels_are_judged_class_by_class() -> None:
    labels = LabelSet(LabelKind.MULTI_LABEL, ("x", "y"))
    table = pa.table(
        {"uri": ["a", "b"], "scores": [[0.9, 0.2], [0.4, 0.6]], "split": pa.array([None, None], pa.string())}
    )
    rows = PredictedRows.of(table, labels, pa.array([["x"], ["x", "y"]], STRINGS))
    assert rows.metrics[0][2].accuracy == 0.75
    assert rows.said.tolist() == [1, 1]
    assert "Images can have several labels, so there is no confusion matrix" in report(rows)
