"""Evaluation: everything that is said of a classifier once it is trained."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from schemas.labels import LabelKind, LabelSet
from transforms.metrics import (
    CalibrationBin,
    Curve,
    PartMetrics,
    calibration_bins,
    confusion_matrix,
    part_metrics,
    precision_recall_curves,
    roc_curves,
)
from transforms.mistakes import Mistake, worst_mistakes
from transforms.splitting import PARTS, Part
from transforms.training import Fitted, predict_part
from transforms.training_data import TrainingData

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


def evaluate(fitted: Fitted, data: TrainingData) -> Evaluation:
    """Judges a trained head on every part, by the images themselves: random copies that it trained on do not count.

    The scores of one part are held at once: four bytes a row and class, even where features are streamed.
    """
    rows, images = data.rows, data.images
    labels = images.labels
    judged = Part.TEST if len(rows.test) else Part.VALIDATION
    by_part: dict[Part, PartMetrics | None] = {}
    for part in PARTS:
        numbers = rows.of(part).numbers
        judged_rows = images.are_images[numbers]
        targets = images.targets[numbers[judged_rows]]
        scores = labels.scores(predict_part(fitted.head, rows.of(part))[judged_rows])
        by_part[part] = part_metrics(labels, targets, scores)
        if part == judged:
            judged_targets, judged_scores = targets, scores
    several = labels.kind == LabelKind.MULTI_LABEL
    return Evaluation(
        labels=labels,
        by_part=by_part,
        judged=judged,
        confusion=None if several else confusion_matrix(labels, judged_targets, judged_scores),
        roc=roc_curves(labels, judged_targets, judged_scores),
        precision_recall=precision_recall_curves(labels, judged_targets, judged_scores),
        calibration=calibration_bins(labels, judged_targets, judged_scores),
        mistakes=worst_mistakes(labels, rows.of(judged), judged_targets, judged_scores, MISTAKES_SHOWN),
    )
