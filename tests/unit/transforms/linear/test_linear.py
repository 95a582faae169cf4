"""Linear heads: their loss, its gradient and its minimum are what definitions and scikit-learn say."""

import dataclasses
import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from schemas.classifiers import LabelKind
from schemas.errors import RunFailed
from tests.conftest import clusters
from transforms.linear import (
    Curvature,
    Examples,
    LinearHead,
    Minimum,
    RunningMoments,
    curvature_of,
    judge_linear,
    loss_and_gradient,
    minimise,
)

KINDS = pytest.mark.parametrize("kind", list(LabelKind))
ROWS, FEATURES, CLASSES = 300, 6, 3
# Features that move together, of other scales, far from 0, and one that does not move.
MIXING = np.eye(FEATURES, dtype=np.float32) * np.float32(0.1) + np.float32(1)
SCALES = np.float32([1, 20, 0.01, 3, 1, 0])
SHIFTS = np.float32([0, 300, 1, -2, 0, 5])


def vectors() -> np.ndarray:
    return clusters((100, 100, 100), FEATURES)[0] @ MIXING * SCALES + SHIFTS


def examples(kind: LabelKind) -> Examples:
    """Rows in three uneven blocks, with weights."""
    rng = np.random.default_rng(1)
    values, classes = vectors(), clusters((100, 100, 100), FEATURES)[1].astype(np.int32)
    targets = {
        LabelKind.BINARY: (classes > 1).astype(np.int32),
        LabelKind.MULTI_CLASS: classes,
        LabelKind.MULTI_LABEL: rng.integers(0, 2, (ROWS, CLASSES)).astype(np.int8),
    }[kind]
    weights = rng.random(ROWS).astype(np.float32)
    return Examples(lambda: (values[:7], values[7:200], values[200:]), targets, weights, np.zeros(ROWS, np.uint64))


def head(kind: LabelKind, seed: int | None = None) -> LinearHead:
    """A head of random weights, or of none."""
    moments = RunningMoments("avg")
    moments.add(vectors())
    outputs = 1 if kind == LabelKind.BINARY else CLASSES
    rng = np.random.default_rng(seed)
    kernel, bias = rng.normal(size=(FEATURES, outputs)), rng.normal(size=outputs)
    found = LinearHead(np.zeros(0), np.zeros(0), moments.moments(), "avg", kind)
    return found.with_weights(kernel, bias) if seed is not None else found.with_weights(0 * kernel, 0 * bias)


def definition(found: LinearHead, rows: Examples) -> float:
    """The weighted mean of the cross-entropy, in float64, by its definition."""
    assert found.moments is not None
    standardised = (vectors().astype(np.float64) - found.moments.mean) / found.moments.deviation
    logits = standardised @ found.kernel + found.bias
    if found.kind == LabelKind.MULTI_CLASS:
        losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(ROWS), rows.targets]
    else:
        truths = rows.targets.reshape(ROWS, -1)
        losses = (np.log1p(np.exp(logits)) - logits * truths).mean(axis=1)
    return float(np.average(losses, weights=rows.weights))


@KINDS
def test_the_loss_is_the_cross_entropy_and_the_gradient_its_derivative(kind: LabelKind) -> None:
    found, rows = head(kind, seed=2), examples(kind)
    loss, by_kernel, by_bias = loss_and_gradient(found, rows)
    assert loss == pytest.approx(definition(found, rows), rel=1e-5)
    assert judge_linear(found, rows).loss == pytest.approx(loss, rel=1e-7)
    for index in np.ndindex(found.kernel.shape):
        step = np.zeros(found.kernel.shape)
        step[index] = 0.01
        sides = [definition(found.with_weights(found.kernel + sign * step, found.bias), rows) for sign in (1, -1)]
        assert by_kernel[index] == pytest.approx((sides[0] - sides[1]) / 0.02, abs=1e-5)
    for index, derivative in enumerate(by_bias):
        step = 0.01 * np.eye(len(found.bias))[index]
        sides = [definition(found.with_weights(found.kernel, found.bias + sign * step), rows) for sign in (1, -1)]
        assert derivative == pytest.approx((sides[0] - sides[1]) / 0.02, abs=1e-5)


@KINDS
def test_rows_that_weigh_nothing_do_not_count(kind: LabelKind) -> None:
    found, rows = head(kind, seed=2), examples(kind)
    kept = np.arange(ROWS) % 3 == 0
    values = vectors()[kept]
    alone = Examples(lambda: (values,), rows.targets[kept], rows.weights[kept], rows.places[kept])
    masked = rows.only(kept)
    assert judge_linear(found, masked).loss == pytest.approx(judge_linear(found, alone).loss, rel=1e-6)
    assert judge_linear(found, masked).accuracy == judge_linear(found, alone).accuracy
    np.testing.assert_allclose(loss_and_gradient(found, masked)[1], loss_and_gradient(found, alone)[1], atol=1e-6)


@pytest.mark.parametrize("kind", [LabelKind.BINARY, LabelKind.MULTI_CLASS])
@pytest.mark.parametrize("l2", [1.0, 1e-3])
def test_the_minimum_is_that_of_scikit_learn(kind: LabelKind, l2: float) -> None:
    """Its penalty is half the sum of squares beside C times the sum of losses."""
    start, rows = head(kind), examples(kind)
    assert start.moments is not None
    curvature = curvature_of(rows, start.moments, kind, np.full(len(start.bias), 0.3))
    found = minimise(Minimum(start, math.inf, 0), rows, l2, curvature, 1e-10)
    peer = LogisticRegression(C=1 / (2 * l2 * rows.weights.sum()), tol=1e-8, max_iter=10_000)
    peer.fit((vectors() - start.moments.mean) / start.moments.deviation, rows.targets, rows.weights)
    np.testing.assert_allclose(found.head.predict(rows.vectors(), ROWS)[:, -1], peer.predict_proba(
        (vectors() - start.moments.mean) / start.moments.deviation)[:, -1], atol=1e-3)  # fmt: skip
    assert found.loss == pytest.approx(judge_linear(found.head, rows).loss, abs=1e-6)
    assert found.head.l2 == l2


@KINDS
def test_what_is_known_of_the_hessian_changes_the_passes_and_not_the_minimum(kind: LabelKind) -> None:
    start, rows = head(kind), examples(kind)
    curvature = curvature_of(rows, start.moments, kind, np.full(len(start.bias), 0.3))
    found = [
        minimise(Minimum(start, math.inf, 0), rows, 1e-4, known, 1e-9)
        for known in (curvature, Curvature(None, curvature.of_bias))
    ]
    assert 1.5 * found[0].passes < found[1].passes
    said = [each.head.predict(rows.vectors(), ROWS) for each in found]
    np.testing.assert_allclose(said[0], said[1], atol=2e-3)


def test_an_l2_that_no_float_holds_is_named() -> None:
    start, rows = head(LabelKind.BINARY), examples(LabelKind.BINARY)
    start = start.with_weights(start.kernel + 1, start.bias)
    with np.errstate(all="ignore"), pytest.raises(RunFailed, match=r"loss is not finite with an L2 of 1e\+308\.$"):
        minimise(Minimum(start, math.inf, 0), rows, 1e308, Curvature(None, np.full(1, 0.2)), 1e-7)


def test_features_too_large_to_be_taken_as_they_are_fail_in_a_sentence() -> None:
    rows = examples(LabelKind.BINARY)
    large = dataclasses.replace(rows, vectors=lambda: (np.full((ROWS, FEATURES), 3e38, np.float32),))
    start = dataclasses.replace(head(LabelKind.BINARY), moments=None)
    with (
        np.errstate(all="ignore"),
        pytest.raises(RunFailed, match="The training diverged: the loss is not finite; features this large"),
    ):
        minimise(Minimum(start, math.inf, 0), large, 1e-4, Curvature(None, np.full(1, 0.2)), 1e-7)
