"""Metrics: how good a classifier is on one split of the table. Scores that are equal stay together in every curve.

They are those of scikit-learn, whose import takes a second, and which sorts a million scores once for each metric, by
their places. Here a class is ranked once, for all that follows from it, by sorting plain numbers.
"""

import concurrent.futures
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

import numpy as np

from schemas.classifiers import THRESHOLD, LabelKind, LabelSet
from schemas.threads import bounded_map
from transforms.evaluation.chance import interval_of_error
from transforms.evaluation.ranking import Ranking, influences_on_auc, ordered_bits
from transforms.runtime import available_cores

T = TypeVar("T")

CALIBRATION_BINS: Final = 10
# The most points of a curve that are kept: more than a report can show.
_CURVE_POINTS: Final = 200


@dataclasses.dataclass(frozen=True)
class ClassMetrics:
    """How well one class is distinguished from the others.

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
class SplitMetrics:
    """How good a classifier is on one split.

    Attributes:
        images: The images of the split.
        accuracy: The share of images whose most probable class is theirs, 0 to 1. For multi-label the share of (image,
            class) pairs that are right; `exact_match` is the share of images that are right in all classes.
        exact_match: Images right in every class; the accuracy unless multi-label.
        log_loss: The mean of -log p of the true class (natural logarithm); for multi-label the mean over images and
            classes of the binary cross-entropy.
        auc: The mean of the classes' areas under the ROC curve; None where no class has both kinds of images.
        calibration_error: The expected calibration error (Naeini et al., 2015) over ten bins of equal width.
        classes: A row a class.
        accuracy_interval: The interval of the accuracy over images, with a confidence of 95 % (Wilson, 1927).
        auc_interval: The interval of the AUC likewise; its standard error is that of the mean of the classes' influence
            functions over images (DeLong et al., 1988), to which a bootstrap over images tends. None where the AUC is.
    """

    images: int
    accuracy: float
    exact_match: float
    log_loss: float
    auc: float | None
    calibration_error: float
    classes: tuple[ClassMetrics, ...]
    accuracy_interval: tuple[float, float]
    auc_interval: tuple[float, float] | None


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


def score_text(score: float | None) -> str:
    """Returns a metric for people; a dash where it has no value."""
    return "–" if score is None else f"{score:.4f}"


def interval_text(interval: tuple[float, float] | None) -> str:
    """Returns an interval for people; nothing where there is none."""
    return "" if interval is None else f"({interval[0]:.3f} to {interval[1]:.3f})"


def predicted_indicators(labels: LabelSet, scores: np.ndarray) -> np.ndarray:
    """Returns the predicted classes as int8 [n, classes] of 0 and 1: the most probable one, or those from a half on."""
    if labels.kind == LabelKind.MULTI_LABEL:
        return (scores >= THRESHOLD).astype(np.int8)
    return labels.indicators(scores.argmax(axis=1))


def split_metrics(labels: LabelSet, targets: np.ndarray, scores: np.ndarray) -> SplitMetrics | None:
    """Computes the metrics of a split.

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
    exact = (true == predicted).all(axis=1)
    right = (true == predicted).mean(axis=1) if labels.kind == LabelKind.MULTI_LABEL else exact
    rows, influences = _class_metrics(labels, true, predicted, scores)
    areas = [row.auc for row in rows if row.auc is not None]
    auc = float(np.mean(areas)) if areas else None
    accuracy = float(right.mean())
    images = len(targets)
    bins = calibration_bins(labels, targets, scores)
    return SplitMetrics(
        images=images,
        accuracy=accuracy,
        exact_match=float(exact.mean()),
        log_loss=_log_loss(labels, targets, scores),
        auc=auc,
        calibration_error=_calibration_error(bins),
        classes=rows,
        accuracy_interval=interval_of_error(accuracy, float(right.std()) / math.sqrt(images), images),
        auc_interval=None
        if auc is None
        else interval_of_error(auc, float(influences.std()) / (len(areas) * math.sqrt(images)), images),
    )


def _class_metrics(
    labels: LabelSet, true: np.ndarray, predicted: np.ndarray, scores: np.ndarray
) -> tuple[tuple[ClassMetrics, ...], np.ndarray]:
    """Returns the metrics of each class, and the sum of the influences of each image on their AUCs, float64 [n]."""

    def areas(index: int) -> tuple[float | None, float | None, np.ndarray | float]:
        has, score = true[:, index], ordered_bits(scores[:, index])
        if not 0 < has.sum(dtype=np.int64) < len(has):
            return None, None, 0.0
        ranking = Ranking.of(has, score)
        return ranking.auc, ranking.average_precision, influences_on_auc(has, score, ranking.auc)

    images, said, hits = (found.sum(axis=0, dtype=np.int64) for found in (true, predicted, true & predicted))
    counted = [*(hits / np.maximum(number, 1) for number in (said, images)), 2 * hits / np.maximum(images + said, 1)]
    influences = np.zeros(len(true))
    rows = []
    for index, (auc, average, influence) in enumerate(_in_threads(areas, range(len(labels.classes)))):
        influences += influence
        precision, recall, f1 = (float(values[index]) for values in counted)
        rows.append(ClassMetrics(labels.classes[index], int(images[index]), precision, recall, f1, auc, average))
    return tuple(rows), influences


def _in_threads(function: Callable[[int], T], classes: Sequence[int]) -> Iterator[T]:
    """Maps classes in order, as many at a time as there are cores."""
    if len(classes) <= 2:
        yield from map(function, classes)
        return
    cores = available_cores()
    with concurrent.futures.ThreadPoolExecutor(cores) as pool:
        yield from bounded_map(pool, function, classes, cores)


def _log_loss(labels: LabelSet, targets: np.ndarray, scores: np.ndarray) -> float:
    if labels.kind == LabelKind.MULTI_LABEL:
        of_truths = [np.where(has == 1, score, 1 - score) for has, score in zip(targets.T, scores.T, strict=True)]
    else:
        of_truths = [scores[np.arange(len(targets)), targets]]
    least = np.finfo(np.float32).eps
    losses = (-np.log(np.clip(found.astype(np.float64), least, 1 - least)).mean() for found in of_truths)
    return float(np.mean([*losses]))


def confusion_matrix(labels: LabelSet, targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Returns int64 [classes, classes], images by true class (rows) and predicted class (columns); not multi-label."""
    classes = len(labels.classes)
    pairs = targets.astype(np.int64) * classes + scores.argmax(axis=1)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def confused_pairs(labels: LabelSet, targets: np.ndarray, scores: np.ndarray, most: int) -> list[tuple[str, str, int]]:
    """Returns the pairs of true and predicted class that are confused most often, with the images; not multi-label."""
    said = scores.argmax(axis=1)
    wrong = said != targets
    pairs, images = np.unique(targets[wrong] * np.int64(len(labels.classes)) + said[wrong], return_counts=True)
    worst = np.argsort(-images, kind="stable")[:most]
    return [
        (labels.classes[true], labels.classes[predicted], int(count))
        for true, predicted, count in zip(*np.divmod(pairs[worst], len(labels.classes)), images[worst], strict=True)
    ]


def roc_curves(labels: LabelSet, targets: np.ndarray, scores: np.ndarray) -> list[Curve]:
    """Returns true against false positive rates: of the second class where there are two, else of each class."""
    rankings = _one_against_rest(labels, targets, scores)
    return [_thinned(name, *ranking.roc, ranking.auc) for name, ranking in rankings]


def precision_recall_curves(labels: LabelSet, targets: np.ndarray, scores: np.ndarray) -> list[Curve]:
    """Returns precision against recall, of the classes of `roc_curves`; the area is the average precision.

    A curve begins at recall 0 with precision 1, a point without a threshold.
    """
    return [
        _thinned(name, np.append(0, ranking.recall), np.append(1, ranking.precision), ranking.average_precision)
        for name, ranking in _one_against_rest(labels, targets, scores)
    ]


def _one_against_rest(labels: LabelSet, targets: np.ndarray, scores: np.ndarray) -> Iterator[tuple[str, Ranking]]:
    true = labels.indicators(targets)
    counts = true.sum(axis=0)
    ranked = [1] if labels.kind == LabelKind.BINARY else range(len(labels.classes))
    ranked = [index for index in ranked if 0 < counts[index] < len(true)]
    rankings = _in_threads(lambda index: Ranking.of(true[:, index], ordered_bits(scores[:, index])), ranked)
    yield from zip([labels.classes[index] for index in ranked], rankings, strict=True)


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
