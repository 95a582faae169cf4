"""Likely wrong labels: those that were turned are found, by the published method."""

import numpy as np
import pytest

from schemas.classifiers import LabelKind, LabelSet
from tests.conftest import clusters
from transforms.exploration import find_label_issues
from transforms.training import out_of_fold_scores


def literal_prune_by_noise_rate(targets: np.ndarray, scores: np.ndarray) -> set[int]:
    """Confident learning as the paper writes it down, an image and a pair of classes at a time."""
    images, classes = range(len(targets)), range(scores.shape[1])
    thresholds = [np.mean([scores[x, j] for x in images if targets[x] == j]) for j in classes]
    joint = {(i, j): 0 for i in classes for j in classes}
    for x in images:
        confident = [j for j in classes if scores[x, j] >= thresholds[j]]
        if confident:
            joint[targets[x], max(confident, key=lambda j: scores[x, j])] += 1
    found = set()
    for i in classes:
        labelled = [x for x in images if targets[x] == i]
        for j in classes:
            count = round(joint[i, j] * len(labelled) / sum(joint[i, other] for other in classes))
            ranked = sorted(labelled, key=lambda x: scores[x, i] - scores[x, j])
            found |= {x for x in ranked[:count] if scores[x, j] > scores[x, i]} if i != j else set()
    return found


def test_the_images_are_those_of_the_published_method() -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 4, 400).astype(np.int32)
    logits = rng.standard_normal((400, 4)) + 2.0 * np.eye(4)[targets]
    scores = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)
    labels = LabelSet(LabelKind.MULTI_CLASS, ("a", "b", "c", "d"))
    issues = find_label_issues(labels, targets, scores)
    assert set(issues.rows.tolist()) == literal_prune_by_noise_rate(targets, scores)
    assert len(issues.rows) > 20
    further = scores[issues.rows, issues.suggested] - scores[issues.rows, targets[issues.rows]]
    np.testing.assert_allclose(issues.margins, further)
    assert (np.diff(issues.margins) <= 0).all()


@pytest.mark.parametrize("classes", [2, 5])
def test_labels_that_were_turned_are_the_first(classes: int) -> None:
    features, targets = clusters([300] * classes, distance=5.0)
    turned = np.random.default_rng(1).choice(len(targets), 20, replace=False)
    given = targets.astype(np.int32)
    given[turned] = (given[turned] + 1) % classes
    kind = LabelKind.BINARY if classes == 2 else LabelKind.MULTI_CLASS
    labels = LabelSet(kind, tuple("abcde"[:classes]))
    scores = out_of_fold_scores(features, labels, given, np.arange(len(given), dtype=np.uint64))
    assert scores.shape == (len(given), classes)
    issues = find_label_issues(labels, given, scores)
    assert len(issues.rows) >= 15
    assert len(set(issues.rows[:20].tolist()) - set(turned.tolist())) <= 1
    first = issues.rows[0]
    assert issues.suggested[0] == targets[first]


def test_of_several_labels_the_turned_one_is_suggested() -> None:
    features, classes = clusters([300, 300, 300], distance=5.0)
    true = np.stack([classes == 0, classes != 1, classes == 2], axis=1).astype(np.int8)
    given = true.copy()
    turned = np.random.default_rng(1).choice(len(true), 15, replace=False)
    given[turned, 0] ^= 1
    labels = LabelSet(LabelKind.MULTI_LABEL, ("a", "b", "c"))
    scores = out_of_fold_scores(features, labels, given, np.arange(len(given), dtype=np.uint64))
    issues = find_label_issues(labels, given, scores)
    assert len(issues.rows) >= 12
    assert len(set(issues.rows[:15].tolist()) - set(turned.tolist())) <= 1
    np.testing.assert_array_equal(issues.suggested[0], true[issues.rows[0]])


def test_a_class_of_one_image_is_judged_by_none() -> None:
    features, targets = clusters([30, 30, 1])
    labels = LabelSet(LabelKind.MULTI_CLASS, ("a", "b", "c"))
    scores = out_of_fold_scores(features, labels, targets.astype(np.int32), np.arange(61, dtype=np.uint64))
    issues = find_label_issues(labels, targets.astype(np.int32), scores)
    assert np.isfinite(issues.margins).all()
