"""Metrics: how good a classifier is on one part of the table. scikit-learn computes them; this chooses and names them.

scikit-learn is imported when a function here is called: it takes a second.
"""

import dataclasses
from typing import Final

import numpy as np

from schemas.labels import THRESHOLD, LabelKind, LabelSet

CALIBRATION_BINS: Final = 10
# The most points of a curve that are kept: more than a report can show.
_CURVE_POINTS: Final = 200


@dataclasses.dataclass(frozen=True)
class ClassMetrics:
    """How well one class is told from the others.

    Attributes:
        name: The class.
        images: Images that have it.
        precision: Of the images said to have it, the share that does, 0 to 1; 0 where none is said to.
        recall: Of the images that have it, the share that is said to, 0 to 1; 0 where none has it.
        f1: The harmonic mean of both.
        auc: The area under the ROC curve, this class against the rest; None where all images have it, or none.
        average_precision: The area under the precision–recall curve; None likewise.
    """

    name: str
    images: int
    precision: float
    recall: float
    f1: float
    auc: float | None
    average_precision: float | None


@dataclasses.dataclass(frozen=True)
class PartMetrics:
    """How good a classifier is on one part.

    Attributes:
        images: The images of the part.
        accuracy: The share of images whose most probable class is theirs, 0 to 1. For multi-label the share of (image,
            class) pairs that are right; `exact_match` is the share of images that are right in all classes.
        exact_match: Images right in every class; the accuracy unless multi-label.
        log_loss: The mean of -log p of the true class (natural logarithm); for multi-label the mean over images and
            classes of the binary cross-entropy.
        auc: The mean of the classes' areas under the ROC curve; None where no class has both kinds of images.
        calibration_error: The expected calibration error (Naeini et al., 2015) over ten bins of equal width.
        classes: A row a class.
    """

    images: int
    accuracy: float
    exact_match: float
    log_loss: float
    auc: float | None
    calibration_error: float
    classes: tuple[ClassMetrics, ...]


@dataclasses.dataclass(frozen=True)
class Curve:
    """A line in a diagram: x and y float64 [n], with its name and the area under it."""

    name: str
    x: np.ndarray
    y: np.ndarray
    area: float


@dataclasses.dataclass(frozen=True)
class CalibrationBin:
    """Predictions of about the same confidence.

    Attributes:
        predictions: How many.
        confidence: Their mean score, 0 to 1.
        frequency: The share of them that is right, 0 to 1.
    """

    predictions: int
    confidence: float
    frequency: float


def predicted_indicators(labels: LabelSet, scores: np.ndarray) -> np.ndarray:
    """Returns the predicted classes as int8 [n, classes] of 0 and 1: the most probable one, or those from a half on."""
    if labels.kind == LabelKind.MULTI_LABEL:
        return (scores >= THRESHOLD).astype(np.int8)
    indicators: np.ndarray = np.eye(len(labels.classes), dtype=np.int8)[scores.argmax(axis=1)]
    return indicators


def part_metrics(labels: LabelSet, targets: np.ndarray, scores: np.ndarray) -> PartMetrics | None:
    """Computes the metrics of a part.

    Args:
        labels: The classes.
        targets: int32 [n] or int8 [n, classes], every image labelled.
        scores: float32 [n, classes] in 0 to 1.

    Returns:
        The metrics; None where there are no images.
    """
    if not len(targets):
        return None
    true, predicted = labels.indicators(targets), predicted_indicators(labels, scores)
    exact = float((true == predicted).all(axis=1).mean())
    rows = _class_metrics(labels, true, predicted, scores)
    areas = [row.auc for row in rows if row.auc is not None]
    bins = calibration_bins(labels, targets, scores)
    return PartMetrics(
        images=len(targets),
        accuracy=float((true == predicted).mean()) if labels.kind == LabelKind.MULTI_LABEL else exact,
        exact_match=exact,
        log_loss=_log_loss(labels, true, scores),
        auc=float(np.mean(areas)) if areas else None,
        calibration_error=_calibration_error(bins),
        classes=rows,
    )


def _class_metrics(
    labels: LabelSet, true: np.ndarray, predicted: np.ndarray, scores: np.ndarray
) -> tuple[ClassMetrics, ...]:
    from sklearn import metrics

    columns = zip(
        *metrics.precision_recall_fscore_support(true, predicted, average=None, zero_division=0.0), strict=True
    )
    rows = []
    for index, (precision, recall, f1, images) in enumerate(columns):
        both = 0 < images < len(true)
        auc = float(metrics.roc_auc_score(true[:, index], scores[:, index])) if both else None
        average = float(metrics.average_precision_score(true[:, index], scores[:, index])) if both else None
        name = labels.classes[index]
        rows.append(ClassMetrics(name, int(images), float(precision), float(recall), float(f1), auc, average))
    return tuple(rows)


def _log_loss(labels: LabelSet, true: np.ndarray, scores: np.ndarray) -> float:
    least = np.finfo(np.float32).eps
    bounded = np.clip(scores.astype(np.float64), least, 1 - least)
    if labels.kind == LabelKind.MULTI_LABEL:
        return float(-np.where(true == 1, np.log(bounded), np.log1p(-bounded)).mean())
    return float(-np.log(bounded[true == 1]).mean())


def confusion_matrix(labels: LabelSet, targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Returns int64 [classes, classes], images by true class (rows) and predicted class (columns); not multi-label."""
    from sklearn import metrics

    matrix: np.ndarray = metrics.confusion_matrix(targets, scores.argmax(axis=1), labels=range(len(labels.classes)))
    return matrix


def roc_curves(labels: LabelSet, targets: np.ndarray, scores: np.ndarray) -> list[Curve]:
    """Returns true against false positive rates: of the second class where there are two, else of each class."""
    from sklearn import metrics

    curves = []
    for name, true, score in _one_against_rest(labels, targets, scores):
        false_rate, true_rate, _ = metrics.roc_curve(true, score)
        curves.append(_thinned(name, false_rate, true_rate, float(metrics.auc(false_rate, true_rate))))
    return curves


def precision_recall_curves(labels: LabelSet, targets: np.ndarray, scores: np.ndarray) -> list[Curve]:
    """Returns precision against recall, of the classes of `roc_curves`; the area is the average precision."""
    from sklearn import metrics

    curves = []
    for name, true, score in _one_against_rest(labels, targets, scores):
        precision, recall, _ = metrics.precision_recall_curve(true, score)
        curves.append(
            _thinned(name, recall[::-1], precision[::-1], float(metrics.average_precision_score(true, score)))
        )
    return curves


def _one_against_rest(
    labels: LabelSet, targets: np.ndarray, scores: np.ndarray
) -> list[tuple[str, np.ndarray, np.ndarray]]:
    true = labels.indicators(targets)
    indices = [1] if labels.kind == LabelKind.BINARY else range(len(labels.classes))
    return [
        (labels.classes[index], true[:, index], scores[:, index])
        for index in indices
        if 0 < true[:, index].sum() < len(true)
    ]


def _thinned(name: str, x: np.ndarray, y: np.ndarray, area: float) -> Curve:
    kept = np.unique(np.linspace(0, len(x) - 1, min(len(x), _CURVE_POINTS)).astype(int))
    return Curve(name, x[kept], y[kept], area)


def calibration_bins(labels: LabelSet, targets: np.ndarray, scores: np.ndarray) -> list[CalibrationBin]:
    """Groups predictions by their score, in ten bins of equal width; empty bins are left out.

    The predictions are those of the second class where there are two, of the most probable class where there are
    more, and of every class for multi-label.
    """
    if labels.kind == LabelKind.MULTI_LABEL:
        confidence, right = scores.ravel(), targets.ravel() == 1
    elif labels.kind == LabelKind.BINARY:
        confidence, right = scores[:, 1], targets == 1
    else:
        confidence, right = scores.max(axis=1), scores.argmax(axis=1) == targets
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    return [
        CalibrationBin(
            int((bins == number).sum()), float(confidence[bins == number].mean()), float(right[bins == number].mean())
        )
        for number in np.unique(bins)
    ]


def _calibration_error(bins: list[CalibrationBin]) -> float:
    predictions = sum(found.predictions for found in bins)
    return sum(found.predictions * abs(found.confidence - found.frequency) for found in bins) / predictions
