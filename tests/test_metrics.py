"""Metrics: they are scikit-learn's, to rounding, on every kind of labels and with scores that are equal."""

import numpy as np
import pytest
from sklearn import metrics as sk

from schemas.labels import LabelKind, LabelSet
from transforms.metrics import (
    calibration_bins,
    confusion_matrix,
    part_metrics,
    precision_recall_curves,
    predicted_indicators,
    roc_curves,
)

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


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("labels", KINDS)
def test_each_class_has_the_metrics_of_scikit_learn(labels: LabelSet, ties: bool) -> None:
    targets, scores = example(labels, ties=ties)
    found = part_metrics(labels, targets, scores)
    assert found is not None
    true, predicted = labels.indicators(targets), predicted_indicators(labels, scores)
    expected = np.transpose(sk.precision_recall_fscore_support(true, predicted, zero_division=0.0))
    ours = [(row.precision, row.recall, row.f1, row.images) for row in found.classes]
    np.testing.assert_allclose(ours, expected, rtol=1e-12)
    for index, row in enumerate(found.classes):
        assert row.name == labels.classes[index]
        assert row.auc == pytest.approx(sk.roc_auc_score(true[:, index], scores[:, index]), abs=1e-12)
        average = sk.average_precision_score(true[:, index], scores[:, index])
        assert row.average_precision == pytest.approx(average, abs=1e-12)


@pytest.mark.parametrize("labels", KINDS)
def test_the_part_has_the_metrics_of_scikit_learn(labels: LabelSet) -> None:
    targets, scores = example(labels, ties=False)
    found = part_metrics(labels, targets, scores)
    assert found is not None
    true, predicted = labels.indicators(targets), predicted_indicators(labels, scores)
    assert found.images == len(targets)
    assert found.exact_match == pytest.approx(sk.accuracy_score(true, predicted))
    assert found.auc == pytest.approx(sk.roc_auc_score(true, scores, average="macro"), abs=1e-12)
    if labels.kind == LabelKind.MULTI_LABEL:
        assert found.accuracy == pytest.approx(1 - sk.hamming_loss(true, predicted))
        loss = np.mean([sk.log_loss(true[:, index], scores[:, index]) for index in range(true.shape[1])])
    else:
        assert found.accuracy == found.exact_match
        loss = sk.log_loss(targets, scores / scores.sum(axis=1, keepdims=True), labels=range(len(labels.classes)))
    assert found.log_loss == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("labels", KINDS[:2])
def test_the_confusion_matrix_is_that_of_scikit_learn(labels: LabelSet) -> None:
    targets, scores = example(labels, ties=False)
    names = range(len(labels.classes))
    expected = sk.confusion_matrix(targets, scores.argmax(axis=1), labels=names)
    np.testing.assert_array_equal(confusion_matrix(labels, targets, scores), expected)
    np.testing.assert_array_equal(confusion_matrix(labels, targets[:0], scores[:0]), np.zeros_like(expected))


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("labels", KINDS)
def test_curves_are_those_of_scikit_learn(labels: LabelSet, ties: bool) -> None:
    targets, scores = example(labels, ties=ties, images=150)  # So few that no point is left out.
    true = labels.indicators(targets)
    indices = [1] if labels.kind == LabelKind.BINARY else range(len(labels.classes))
    roc, precision_recall = roc_curves(labels, targets, scores), precision_recall_curves(labels, targets, scores)
    assert [curve.name for curve in roc] == [labels.classes[index] for index in indices]
    for curve, other, index in zip(roc, precision_recall, indices, strict=True):
        x, y, _ = sk.roc_curve(true[:, index], scores[:, index], drop_intermediate=False)
        np.testing.assert_allclose((curve.x, curve.y), (x, y), atol=1e-12)
        assert curve.area == pytest.approx(sk.auc(x, y), abs=1e-12)
        precision, recall, _ = sk.precision_recall_curve(true[:, index], scores[:, index])
        np.testing.assert_allclose((other.x, other.y), (recall[::-1], precision[::-1]), atol=1e-12)


def test_a_long_curve_keeps_its_ends_and_its_area() -> None:
    targets, scores = example(BINARY, ties=False, images=5000)
    (curve,) = roc_curves(BINARY, targets, scores)
    assert len(curve.x) == 200
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)
    assert curve.area == pytest.approx(sk.roc_auc_score(targets, scores[:, 1]), abs=1e-12)


def test_a_class_without_images_has_no_area() -> None:
    targets = np.zeros(10, np.int32)
    scores = np.full((10, 4), 0.25, np.float32)
    found = part_metrics(MULTI_CLASS, targets, scores)
    assert found is not None
    assert found.auc is None
    assert [(row.images, row.auc, row.average_precision) for row in found.classes] == [
        (10, None, None), (0, None, None), (0, None, None), (0, None, None)
    ]  # fmt: skip
    assert roc_curves(MULTI_CLASS, targets, scores) == []


def test_a_part_without_images_has_no_metrics() -> None:
    assert part_metrics(BINARY, np.empty(0, np.int32), np.empty((0, 2), np.float32)) is None


def test_scores_of_nought_and_one_have_a_finite_loss() -> None:
    scores = np.array([[1, 0], [1, 0]], np.float32)
    found = part_metrics(BINARY, np.array([0, 1], np.int32), scores)
    assert found is not None
    assert found.log_loss == pytest.approx(-np.log(np.finfo(np.float32).eps) / 2, rel=1e-3)


def test_calibration_compares_scores_with_frequencies() -> None:
    scores = np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.2, 0.8], [0.0, 1.0]], np.float32)
    targets = np.array([0, 1, 1, 1, 1], np.int32)
    bins = calibration_bins(BINARY, targets, scores)
    assert [(found.predictions, round(found.confidence, 3), found.frequency) for found in bins] == [
        (2, 0.1, 0.5), (2, 0.8, 1.0), (1, 1.0, 1.0)
    ]  # fmt: skip
    found = part_metrics(BINARY, targets, scores)
    assert found is not None
    assert found.calibration_error == pytest.approx((2 * 0.4 + 2 * 0.2 + 0) / 5)
