"""The loss of a linear head, and its gradient. Products are float32, sums over pieces float64."""

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np

from schemas.classifiers import LabelKind
from transforms.linear.head import LinearHead, Piece, sigmoid


@dataclasses.dataclass(frozen=True)
class Examples:
    """Rows to which a linear head is fitted, or by which it is judged.

    Attributes:
        vectors: Returns the rows' vectors, in order and in blocks, float32 [b, D]; called once a pass.
        targets: int32 [n], or int8 [n, classes] for multi-label.
        weights: float32 [n]; rows that weigh 0 do not count.
        places: uint64 [n], of their images; see `hash_places`.
    """

    vectors: Callable[[], Iterable[np.ndarray]]
    targets: np.ndarray
    weights: np.ndarray
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.targets)

    def only(self, rows: np.ndarray) -> "Examples":
        """Returns the same, with rows that are not among bool [n] weighing 0."""
        return dataclasses.replace(self, weights=np.where(rows, self.weights, np.float32(0)))


@dataclasses.dataclass(frozen=True)
class Judged:
    """What a linear head is worth on some rows.

    Attributes:
        loss: The weighted mean of the cross-entropy over rows, and over classes for multi-label, without the penalty.
        accuracy: The share of rows that are right, or of (row, class) pairs for multi-label, 0 to 1.
    """

    loss: float
    accuracy: float


def judge_linear(head: LinearHead, examples: Examples) -> Judged:
    """Judges a head in one pass. To be called where BLAS has one thread."""

    def judge(piece: Piece) -> tuple[float, float]:
        targets, weights = examples.targets[piece.rows], examples.weights[piece.rows]
        if head.kind == LabelKind.MULTI_CLASS:
            hits = piece.logits.argmax(axis=1) == targets
        else:
            hits = ((piece.logits >= 0) == (_indicators(targets) == 1)).mean(axis=1)
        right = float(hits[weights > 0].sum(dtype=np.float64))
        return _losses_into_residuals(head.kind, piece.logits, targets, weights), right

    judged = list(head.each_piece(examples.vectors(), len(examples), judge))
    loss, right = (sum(values) for values in zip(*judged, strict=True))
    total = float(examples.weights.sum(dtype=np.float64))
    return Judged(loss / total, float(right / np.count_nonzero(examples.weights)))


def loss_and_gradient(head: LinearHead, examples: Examples) -> tuple[float, np.ndarray, np.ndarray]:
    """Returns the loss, as in `Judged`, and its gradient, in one pass. To be called where BLAS has one thread.

    Returns:
        The loss, and its derivatives by the kernel, float64 [D, outputs], and by the bias, float64 [outputs].
    """
    loss = 0.0
    by_kernel = np.zeros(head.kernel.shape)
    by_bias = np.zeros(head.bias.shape)

    def differentiate(piece: Piece) -> tuple[float, np.ndarray, np.ndarray]:
        targets, weights = examples.targets[piece.rows], examples.weights[piece.rows]
        loss = _losses_into_residuals(head.kind, piece.logits, targets, weights)
        return loss, (piece.logits.T @ piece.vectors).T, piece.logits.sum(axis=0)

    for part, by_part_kernel, by_part_bias in head.each_piece(examples.vectors(), len(examples), differentiate):
        loss += part
        by_kernel += by_part_kernel
        by_bias += by_part_bias
    if head.moments is not None:
        by_kernel /= head.moments.deviation[:, None]
    total = float(examples.weights.sum(dtype=np.float64))
    return loss / total, by_kernel / total, by_bias / total


def _losses_into_residuals(kind: LabelKind, logits: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> float:
    """Returns the weighted sum of the losses of rows, and puts its derivatives by the logits in their place."""
    if kind == LabelKind.MULTI_CLASS:
        logits -= logits.max(axis=1, keepdims=True)
        places = np.arange(len(logits)), targets
        true = logits[places]
        np.exp(logits, out=logits)
        sums = logits.sum(axis=1)
        logits *= (weights / sums)[:, None]
        logits[places] -= weights
        return float(np.dot(np.log(sums, dtype=np.float64) - true, weights))
    indicators = _indicators(targets)
    shares = weights / indicators.shape[1]
    losses = np.maximum(logits, 0) - logits * indicators + np.log1p(np.exp(-np.abs(logits)))
    logits[...] = sigmoid(logits)
    logits -= indicators
    logits *= shares[:, None]
    return float(np.dot(losses.sum(axis=1, dtype=np.float64), shares))


def _indicators(targets: np.ndarray) -> np.ndarray:
    """Returns the targets of sigmoids, float32 [n, outputs] of 0 and 1."""
    columns: np.ndarray = (targets[:, None] if targets.ndim == 1 else targets).astype(np.float32, order="F")
    return columns
