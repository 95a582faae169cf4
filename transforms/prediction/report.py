"""How right predictions are whose labels are known: metrics by split, and the report, which is that of a training."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.classifiers import SPLITS, UNLABELLED, LabelKind, LabelSet, Split
from schemas.errors import with_count
from schemas.store import STRINGS, lists_of_one
from transforms.evaluation import (
    MOST_SCORES,
    ScoredSplit,
    SplitMetrics,
    illustrated,
    judge,
    judged_parts,
    predicted_indicators,
    render,
    split_metrics,
)

_FOLDER: Final = Path(__file__).parent
_NO_SPLIT: Final = "all"
_ORDER: Final = (*(split.word for split in SPLITS), _NO_SPLIT)


@dataclasses.dataclass(frozen=True, eq=False)
class PredictedRows:
    """Predictions, and what the labels of their images are.

    Attributes:
        labels: The classes.
        uris: string [n], the images.
        scores: float32 [n, classes], 0 to 1.
        targets: int32 [n], or int8 [n, classes] for multi-label, `UNLABELLED` where there is none.
        splits: The name of the split of each image, or `all`.
    """

    labels: LabelSet
    uris: pa.Array
    scores: np.ndarray
    targets: np.ndarray
    splits: np.ndarray

    @classmethod
    def of(cls, rows: pa.Table, labels: LabelSet, true: pa.Array) -> "PredictedRows":
        """Takes rows of the table of predictions.

        Args:
            rows: With `uri`, `scores` and `split`.
            labels: The classes of the classifier.
            true: string or list<string> [n], the labels, null where there is none.
        """
        return cls(
            labels=labels,
            uris=rows["uri"].combine_chunks(),
            scores=pc.list_flatten(rows["scores"]).to_numpy().reshape(-1, len(labels.classes)),
            targets=_targets(true, labels),
            splits=pc.fill_null(rows["split"], _NO_SPLIT).to_numpy(),
        )

    @functools.cached_property
    def are_labelled(self) -> np.ndarray:
        """Whether the label of an image is known: bool [n]."""
        known: np.ndarray = (self.targets if self.targets.ndim == 1 else self.targets[:, 0]) != UNLABELLED
        return known

    @functools.cached_property
    def said(self) -> np.ndarray:
        """int64 [classes], the images that are said to have each class."""
        counts: np.ndarray = predicted_indicators(self.labels, self.scores).sum(axis=0, dtype=np.int64)
        return counts

    @functools.cached_property
    def metrics(self) -> Sequence[tuple[str, int, SplitMetrics]]:
        """Of each split with labels its name, its images, and its metrics; training first, those without one last."""
        names = sorted(set(self.splits[self.are_labelled]), key=lambda name: (_rank(name), name))
        rows_of = {name: np.flatnonzero(self.are_labelled & (self.splits == name)) for name in names}
        found = {
            name: split_metrics(self.labels, self.targets[rows], self.scores[rows]) for name, rows in rows_of.items()
        }
        return [(name, len(rows_of[name]), metrics) for name, metrics in found.items() if metrics is not None]


def predictions_html(rows: PredictedRows, run_id: str, model_id: str, picture_of: Callable[[str], str | None]) -> str:
    """Returns the report on predictions, of which some have labels; its charts are of the last of their splits.

    Args:
        rows: The predictions.
        run_id: The run that made them.
        model_id: The classifier.
        picture_of: Returns the small picture of an image as a JPEG in base64, if there is one.
    """
    name = rows.metrics[-1][0]
    chosen = np.flatnonzero(rows.are_labelled & (rows.splits == name))
    most = max(MOST_SCORES // len(rows.labels.classes), 1)
    if len(chosen) > most:
        chosen = np.sort(np.random.default_rng(0).choice(chosen, most, replace=False))
    scored = ScoredSplit(
        targets=rows.targets[chosen],
        scores=rows.scores[chosen],
        uris_of=lambda places: rows.uris.take(pa.array(chosen[places])).to_pylist(),
    )
    evaluation = illustrated(judge(rows.labels, lambda _: scored, (Split.LEFT_OUT,)), picture_of)
    return render(
        "predictions.html.j2",
        _FOLDER,
        run_id=run_id,
        model_id=model_id,
        images=with_count(len(rows.uris), "image"),
        labelled=int(np.count_nonzero(rows.are_labelled)),
        by_split=rows.metrics,
        **judged_parts(evaluation, _in_a_sentence(name, len(rows.metrics))),
    )


def _in_a_sentence(name: str, splits: int) -> str:
    if name != _NO_SPLIT:
        return f"the {name} split"
    return "all images" if splits == 1 else "images without a split"


def _rank(name: str) -> int:
    return _ORDER.index(name) if name in _ORDER else len(SPLITS) - 1


def _targets(true: pa.Array, labels: LabelSet) -> np.ndarray:
    """Returns targets of labels of either kind; an image with several classes has no single one."""
    lists = pa.types.is_list(true.type)
    if labels.kind == LabelKind.MULTI_LABEL:
        return labels.targets(true if lists else lists_of_one(true))
    if not lists:
        return labels.targets(true)
    single = pc.equal(pc.list_value_length(true), 1)
    first = pc.list_element(pc.if_else(pc.fill_null(single, False), true, pa.scalar([""], STRINGS)), 0)
    return labels.targets(first)
