"""The predictions of which a classifier is least sure, as a page."""

from collections.abc import Callable
from typing import Final

import numpy as np
import pyarrow as pa

from schemas.classifiers import THRESHOLD, LabelKind, LabelSet
from schemas.errors import with_count
from transforms.gallery.cards import Card, cards_html
from transforms.prediction import PredictedRows

_CLASSES_SHOWN: Final = 3


def least_sure_html(rows: PredictedRows, most: int, run_id: str, picture_of: Callable[[str], str | None]) -> str:
    """Returns the page, the least sure prediction first.

    Args:
        rows: The predictions.
        most: The most of them.
        run_id: The run that made them.
        picture_of: Returns the small picture of an image as a JPEG in base64, or None if it cannot be read.
    """
    shown = least_sure(rows.labels, rows.scores, most)
    uris = rows.uris.take(pa.array(shown)).to_pylist()
    cards = [Card(uri, _lines(rows, row)) for uri, row in zip(uris, shown.tolist(), strict=True)]
    how = "score is nearest to a half" if rows.labels.kind == LabelKind.MULTI_LABEL else "two best scores are nearest"
    of = f"the {len(cards):,}" if len(cards) < len(rows.uris) else "all"
    predictions = with_count(len(rows.uris), "prediction")
    summary = f"Of {predictions} of run {run_id}, {of} whose {how}: the first to check or to label."
    return cards_html("Least certain predictions", summary, cards, picture_of)


def least_sure(labels: LabelSet, scores: np.ndarray, most: int) -> np.ndarray:
    """Returns int64 [m], the predictions of which a classifier is least sure, the least sure first.

    Args:
        labels: The classes.
        scores: float32 [n, classes], 0 to 1.
        most: The most of them.
    """
    if labels.kind == LabelKind.MULTI_LABEL:
        sure = np.abs(scores - THRESHOLD).min(axis=1)
    else:
        best = np.partition(scores, len(labels.classes) - 2, axis=1)[:, -2:]
        sure = best[:, 1] - best[:, 0]
    order: np.ndarray = np.argsort(sure, kind="stable")[:most]
    return order


def _lines(rows: PredictedRows, row: int) -> list[str]:
    labels, scores = rows.labels, rows.scores[row]
    best = np.argsort(-scores, kind="stable")[:_CLASSES_SHOWN]
    lines = [f"{labels.classes[number]} {scores[number]:.3f}" for number in best]
    if rows.are_labelled[row]:
        true = np.flatnonzero(labels.indicators(rows.targets[row : row + 1])[0])
        lines.append("true " + (", ".join(labels.classes[number] for number in true) or "none"))
    return lines
