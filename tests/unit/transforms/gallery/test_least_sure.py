"""The least sure predictions: those whose two best scores are nearest, or whose scores are nearest to a half."""

import numpy as np
import pyarrow as pa

from schemas.classifiers import LabelKind, LabelSet
from transforms.gallery import least_sure_html
from transforms.gallery.least_sure import least_sure
from transforms.prediction import PredictedRows

THREE = LabelSet(LabelKind.MULTI_CLASS, ("a", "b", "c"))


def test_the_least_sure_is_the_first() -> None:
    scores = np.array([[0.9, 0.05, 0.05], [0.4, 0.2, 0.4], [0.34, 0.33, 0.33], [0.5, 0.5, 0.0]], np.float32)
    assert least_sure(THREE, scores, 3).tolist() == [1, 3, 2]
    several = LabelSet(LabelKind.MULTI_LABEL, ("a", "b", "c"))
    assert least_sure(several, scores, 9).tolist() == [3, 1, 2, 0]
    assert least_sure(THREE, scores[:0], 3).tolist() == []


def test_the_page_has_a_card_for_each_with_its_scores_and_its_label() -> None:
    scores = np.array([[0.9, 0.06, 0.04], [0.45, 0.35, 0.2]], np.float32)
    table = pa.table(
        {"uri": ["file:///x/sure.jpg", "file:///x/<b>.jpg"], "scores": scores.tolist(), "split": ["test", "test"]}
    )
    rows = PredictedRows.of(table, THREE, pa.array([None, "c"], pa.string()))
    page = least_sure_html(rows, 1, "night", {"file:///x/<b>.jpg": "AAAA"}.get)
    assert "Of 2 predictions of run night, the 1 whose two best scores are nearest" in page
    assert "a 0.450<br>\nb 0.350<br>\nc 0.200<br>\ntrue c<br>" in page
    assert 'src="data:image/jpeg;base64,AAAA"' in page
    assert "sure.jpg" not in page.replace("least_sure", "")
    assert "<b>" not in page


def test_one_prediction_is_said_in_the_singular() -> None:
    table = pa.table({"uri": ["file:///x/a.jpg"], "scores": [[0.5, 0.3, 0.2]], "split": ["test"]})
    rows = PredictedRows.of(table, THREE, pa.array([None], pa.string()))
    assert "Of 1 prediction of run night, all whose" in least_sure_html(rows, 1, "night", {}.get)
