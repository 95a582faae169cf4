"""Metrics: they are what their definitions say, on every kind of labels and with scores that are equal."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from schemas.classifiers import LabelKind, LabelSet
from transforms.evaluation import predicted_indicators, split_metrics
from transforms.evaluation.chance import mcnemar, wilson_interval
from transforms.evaluation.metrics import calibration_bins, confusion_matrix, precision_recall_curves, roc_curves

BINARY = LabelSet(LabelKind.BINARY, ("cat", "dog"))
MULTI_CLASS = LabelSet(LabelKind.MULTI_CLASS, ("cat", "cow", "dog", "owl"))
MULTI_LABEL = LabelSet(LabelKind.MULTI_LABEL, ("indoors", "night", "people"))
KINDS = [pytest.param(labels, id=str(labels.kind)) for labels in (BINARY, MULTI_CLASS, MULTI_LABEL)]
# The second rounds the scores to eleven values, so that most of them are equal.
TIES = [pytest.param(False, id="distinct"), pytest.param(True, id="ties")]


def example(labels: LabelSet, *, ties: bool, images: int = 500) -> tuple[np.ndarray, np.ndarray]:
    """Targets, and scores that know something of them."""
    rng = np.random.default_rng(len(labels.classes) + ties)
    classes = len(labels.classes)
    if labels.kind == LabelKind.MULTI_LABEL:
        targets = (rng.random((images, classes)) < [0.5, 0.2, 0.05]).astype(np.int8)
        logits = rng.normal(size=(images, classes)) + 1.5 * (targets - 0.5)
        scores = 1 / (1 + np.exp(-logits))
    else:
        targets = rng.integers(0, classes, images).astype(np.int32)
        logits = rng.normal(size=(images, classes)) + np.eye(classes)[targets]
        scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return targets, (np.round(scores, 1) if ties else scores).astype(np.float32)


def area_by_pairs(true: np.ndarray, score: np.ndarray) -> float:
    """The share of pairs of an image with the class and one without in which the first has the higher score."""
    differences = score[true == 1][:, None].astype(np.float64) - score[true == 0][None, :]
    return float(np.mean((differences > 0) + 0.5 * (differences == 0)))


def curve_by_thresholds(true: np.ndarray, score: np.ndarray) -> list[tuple[float, float, float]]:
    """False positive rate, recall and precision at each distinct score, the highest first."""
    points = []
    for threshold in sorted(set(score.tolist()), reverse=True):
        said = score >= threshold
        hits = int((true[said] == 1).sum())
        points.append(((said.sum() - hits) / (true == 0).sum(), hits / (true == 1).sum(), hits / said.sum()))
    return points


def average_precision_by_thresholds(true: np.ndarray, score: np.ndarray) -> float:
    total = recall_before = 0.0
    for _, recall, precision in curve_by_thresholds(true, score):
        total += (recall - recall_before) * precision
        recall_before = recall
    return total


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("labels", KINDS)
def test_each_class_has_the_metrics_of_their_definitions(labels: LabelSet, ties: bool) -> None:
    targets, scores = example(labels, ties=ties)
    found = split_metrics(labels, targets, scores)
    assert found is not None
    true, predicted = labels.indicators(targets), predicted_indicators(labels, scores)
    assert [row.name for row in found.classes] == list(labels.classes)
    for index, row in enumerate(found.classes):
        has, said = true[:, index] == 1, predicted[:, index] == 1
        hits = (has & said).sum()
        assert row.images == has.sum()
        assert row.precision == pytest.approx(hits / max(1, said.sum()), rel=1e-12)
        assert row.recall == pytest.approx(hits / has.sum(), rel=1e-12)
        harmonic = 2 * row.precision * row.recall / (row.precision + row.recall) if hits else 0
        assert row.f1 == pytest.approx(harmonic, rel=1e-12)
        assert row.auc == pytest.approx(area_by_pairs(true[:, index], scores[:, index]), abs=1e-12)
        average = average_precision_by_thresholds(true[:, index], scores[:, index])
        assert row.average_precision == pytest.approx(average, abs=1e-12)


@pytest.mark.parametrize("labels", KINDS)
def test_the_part_has_the_metrics_of_their_definitions(labels: LabelSet) -> None:
    targets, scores = example(labels, ties=False)
    found = split_metrics(labels, targets, scores)
    assert found is not None
    true, predicted = labels.indicators(targets), predicted_indicators(labels, scores)
    assert found.images == len(targets)
    assert found.exact_match == pytest.approx(
        np.mean([(row == other).all() for row, other in zip(true, predicted, strict=True)])
    )
    areas = [area_by_pairs(true[:, index], scores[:, index]) for index in range(true.shape[1])]
    assert found.auc == pytest.approx(np.mean(areas), abs=1e-12)
    if labels.kind == LabelKind.MULTI_LABEL:
        assert found.accuracy == pytest.approx(np.mean(true == predicted))
        loss = -np.mean(np.log(np.where(true == 1, scores, 1 - scores)))
    else:
        assert found.accuracy == found.exact_match
        loss = -np.mean(np.log(scores[np.arange(len(targets)), targets]))
    assert found.log_loss == pytest.approx(loss, rel=1e-5)


def test_metrics_that_were_computed_by_hand() -> None:
    # Scores of the second class .9 .8 .8 .3 .1, of which the first, second and fourth have it.
    second = np.array([0.9, 0.8, 0.8, 0.3, 0.1], np.float32)
    targets, scores = np.array([1, 1, 0, 1, 0], np.int32), np.stack([1 - second, second], axis=1)
    found = split_metrics(BINARY, targets, scores)
    assert found is not None
    dog = found.classes[1]
    assert (dog.images, found.accuracy) == (3, 0.6)
    assert (dog.precision, dog.recall, dog.f1) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    # Of six pairs four are in order, and one is level.
    assert dog.auc == pytest.approx(4.5 / 6)
    assert dog.average_precision == pytest.approx(1 / 3 * 1 + 1 / 3 * 2 / 3 + 1 / 3 * 3 / 4)
    np.testing.assert_array_equal(confusion_matrix(BINARY, targets, scores), [[1, 1], [1, 2]])
    (roc,) = roc_curves(BINARY, targets, scores)
    np.testing.assert_allclose((roc.x, roc.y), ([0, 0, 0.5, 0.5, 1], [0, 1 / 3, 2 / 3, 1, 1]))
    (curve,) = precision_recall_curves(BINARY, targets, scores)
    np.testing.assert_allclose(curve.x, [0, 1 / 3, 2 / 3, 1, 1])
    np.testing.assert_allclose(curve.y, [1, 1, 2 / 3, 3 / 4, 3 / 5])


def test_the_interval_of_a_share_is_wilson_s() -> None:
    """Of R's `binom::binom.confint(8, 10, methods = "wilson")`."""
    assert wilson_interval(0.8, 10) == pytest.approx((0.4901625, 0.9433178), abs=1e-7)
    assert wilson_interval(1.0, 10) == pytest.approx((0.7224672, 1.0), abs=1e-7)


def test_mcnemar_s_test_is_that_of_a_coin() -> None:
    """Nine images are got right by one alone, and one by the other: 2 · (1 + 10) / 2^10."""
    right = np.array([True] * 9 + [False] + [True] * 50 + [False] * 20)
    other = np.array([False] * 9 + [True] + [True] * 50 + [False] * 20)
    assert mcnemar(right, other) == mcnemar(other, right) == pytest.approx(22 / 1024)
    assert mcnemar(right, right) == 1


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("labels", KINDS)
def test_intervals_are_as_wide_as_those_of_a_bootstrap_over_images(labels: LabelSet, ties: bool) -> None:
    targets, scores = example(labels, ties=ties, images=300)
    found = split_metrics(labels, targets, scores)
    assert found is not None
    assert found.auc is not None
    assert found.auc_interval is not None
    true, predicted = labels.indicators(targets), predicted_indicators(labels, scores)
    rng = np.random.default_rng(0)
    accuracies, areas = [], []
    for _ in range(300):
        drawn = rng.integers(0, len(targets), len(targets))
        right = true[drawn] == predicted[drawn]
        accuracies.append(right.mean() if labels.kind == LabelKind.MULTI_LABEL else right.all(axis=1).mean())
        areas.append(np.mean([roc_auc_score(true[drawn, row], scores[drawn, row]) for row in range(true.shape[1])]))
    for interval, value, values in (
        (found.accuracy_interval, found.accuracy, accuracies),
        (found.auc_interval, found.auc, areas),
    ):
        assert interval[0] < value < interval[1]
        assert interval[1] - interval[0] == pytest.approx(2 * 1.96 * np.std(values), rel=0.2)


@pytest.mark.parametrize("labels", KINDS[:2])
def test_the_confusion_matrix_counts_pairs_of_classes(labels: LabelSet) -> None:
    targets, scores = example(labels, ties=False)
    expected = np.zeros((len(labels.classes),) * 2, np.int64)
    for target, row in zip(targets, scores, strict=True):
        expected[target, row.argmax()] += 1
    np.testing.assert_array_equal(confusion_matrix(labels, targets, scores), expected)
    np.testing.assert_array_equal(confusion_matrix(labels, targets[:0], scores[:0]), np.zeros_like(expected))


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("labels", KINDS)
def test_curves_have_a_point_for_each_score(labels: LabelSet, ties: bool) -> None:
    targets, scores = example(labels, ties=ties, images=150)  # So few that no point is left out.
    true = labels.indicators(targets)
    indices = [1] if labels.kind == LabelKind.BINARY else range(len(labels.classes))
    roc, precision_recall = roc_curves(labels, targets, scores), precision_recall_curves(labels, targets, scores)
    assert [curve.name for curve in roc] == [labels.classes[index] for index in indices]
    for curve, other, index in zip(roc, precision_recall, indices, strict=True):
        false_positives, recall, precision = np.transpose(curve_by_thresholds(true[:, index], scores[:, index]))
        np.testing.assert_allclose((curve.x, curve.y), ([0, *false_positives], [0, *recall]), atol=1e-12)
        assert curve.area == pytest.approx(area_by_pairs(true[:, index], scores[:, index]), abs=1e-12)
        np.testing.assert_allclose((other.x, other.y), ([0, *recall], [1, *precision]), atol=1e-12)
        average = average_precision_by_thresholds(true[:, index], scores[:, index])
        assert other.area == pytest.approx(average, abs=1e-12)


def test_a_long_curve_keeps_its_ends_and_its_area() -> None:
    targets, scores = example(BINARY, ties=False, images=5000)
    (curve,) = roc_curves(BINARY, targets, scores)
    assert len(curve.x) == 200
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)
    assert curve.area == pytest.approx(area_by_pairs(targets, scores[:, 1]), abs=1e-12)


def test_a_class_without_images_has_no_area() -> None:
    targets = np.zeros(10, np.int32)
    scores = np.full((10, 4), 0.25, np.float32)
    found = split_metrics(MULTI_CLASS, targets, scores)
    assert found is not None
    assert found.auc is None
    assert [(row.images, row.auc, row.average_precision) for row in found.classes] == [
        (10, None, None), (0, None, None), (0, None, None), (0, None, None)
    ]  # fmt: skip
    assert roc_curves(MULTI_CLASS, targets, scores) == []


def test_a_part_without_images_has_no_metrics() -> None:
    assert split_metrics(BINARY, np.empty(0, np.int32), np.empty((0, 2), np.float32)) is None


def test_scores_of_nought_and_one_have_a_finite_loss() -> None:
    scores = np.array([[1, 0], [1, 0]], np.float32)
    found = split_metrics(BINARY, np.array([0, 1], np.int32), scores)
    assert found is not None
    assert found.log_loss == pytest.approx(-np.log(np.finfo(np.float32).eps) / 2, rel=1e-3)


def test_calibration_compares_scores_with_frequencies() -> None:
    scores = np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.2, 0.8], [0.0, 1.0]], np.float32)
    targets = np.array([0, 1, 1, 1, 1], np.int32)
    bins = calibration_bins(BINARY, targets, scores)
    assert [(found.predictions, round(found.confidence, 3), found.frequency) for found in bins] == [
        (2, 0.1, 0.5), (2, 0.8, 1.0), (1, 1.0, 1.0)
    ]  # fmt: skip
    found = split_metrics(BINARY, targets, scores)
    assert found is not None
    assert found.calibration_error == pytest.approx((2 * 0.4 + 2 * 0.2 + 0) / 5)
