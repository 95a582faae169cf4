"""Evaluation: everything that is said of a classifier once it is trained."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from schemas.classifiers import PARTS, LabelKind, LabelSet, Part
from transforms.evaluation.metrics import (
    CalibrationBin,
    Curve,
    PartMetrics,
    calibration_bins,
    confusion_matrix,
    part_metrics,
    precision_recall_curves,
    roc_curves,
)
from transforms.evaluation.mistakes import Mistake, worst_mistakes
from transforms.training import Fitted, TrainingData, predict_part

MISTAKES_SHOWN: Final = 24


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """How good a classifier is.

    Attributes:
        labels: The classes.
        by_part: The metrics of each part; None for one without images.
        judged: The part on which what follows was computed: test, or validation where there is no test part.
        confusion: int64 [classes, classes], true by predicted; None for multi-label.
        roc: ROC curves.
        precision_recall: Precision–recall curves.
        calibration: Scores against frequencies.
        mistakes: The worst mistakes.
    """

    labels: LabelSet
    by_part: Mapping[Part, PartMetrics | None]
    judged: Part
    confusion: np.ndarray | None
    roc: Sequence[Curve]
    precision_recall: Sequence[Curve]
    calibration: Sequence[CalibrationBin]
    mistakes: Sequence[Mistake]

    def summary(self) -> dict[str, float | None]:
        """Returns accuracy, AUC and log loss by part, under names such as `validation_accuracy`."""
        return {
            f"{part.word}_{name}": None if metrics is None else getattr(metrics, name)
            for part, metrics in self.by_part.items()
            for name in ("accuracy", "exact_match", "auc", "log_loss", "calibration_error")
        }

    def to_dict(self) -> dict[str, Any]:
        """Returns all metrics as JSON values: the summary, and a row a class for each part."""
        parts = {part.word: metrics for part, metrics in self.by_part.items() if metrics is not None}
        return {
            **self.summary(),
            "kind": str(self.labels.kind),
            "images": {name: metrics.images for name, metrics in parts.items()},
            "classes": {name: [dataclasses.asdict(row) for row in metrics.classes] for name, metrics in parts.items()},
            "confusion": {
                "part": self.judged.word,
                "classes": self.labels.classes,
                "true_by_predicted": None if self.confusion is None else self.confusion.tolist(),
            },
        }


@dataclasses.dataclass(frozen=True)
class ScoredPart:
    """What a classifier says of the images of a part.

    Attributes:
        targets: Their targets, as `LabelSet.targets` gives them.
        scores: float32 [n, classes] in 0 to 1.
        uris_of: Returns the URIs of images, by their places in the part, ascending.
    """

    targets: np.ndarray
    scores: np.ndarray
    uris_of: Callable[[np.ndarray], Sequence[str]]


def evaluate(fitted: Fitted, data: TrainingData) -> Evaluation:
    """Judges a trained head on every part, by the images themselves: random copies that it trained on do not count.

    The scores of one part are held at once: four bytes a row and class, even where features are streamed.
    """
    labels = data.images.labels

    def score(part: Part) -> ScoredPart:
        rows = data.rows.of(part)
        are_images = data.images.are_images[rows.numbers]
        numbers = rows.numbers[are_images]
        return ScoredPart(
            targets=data.images.targets[numbers],
            scores=labels.scores(predict_part(fitted.head, rows)[are_images]),
            uris_of=lambda places: rows.rows.uris(numbers[places]),
        )

    return judge(labels, score)


def judge(labels: LabelSet, score: Callable[[Part], ScoredPart]) -> Evaluation:
    """Judges a classifier on every part.

    Args:
        labels: The classes.
        score: Returns what the classifier says of a part. It is called once a part.
    """
    by_part: dict[Part, PartMetrics | None] = {}
    for part in PARTS:
        scored = score(part)
        by_part[part] = part_metrics(labels, scored.targets, scored.scores)
        if len(scored.targets) or part == Part.VALIDATION:
            judged, judged_part = part, scored
    targets, scores = judged_part.targets, judged_part.scores
    several = labels.kind == LabelKind.MULTI_LABEL
    return Evaluation(
        labels=labels,
        by_part=by_part,
        judged=judged,
        confusion=None if several else confusion_matrix(labels, targets, scores),
        roc=roc_curves(labels, targets, scores),
        precision_recall=precision_recall_curves(labels, targets, scores),
        calibration=calibration_bins(labels, targets, scores),
        mistakes=worst_mistakes(labels, judged_part.uris_of, targets, scores, MISTAKES_SHOWN),
    )
