"""`LinearHead`: a linear classifier as arrays, and what it says of features.

Features are taken some megabytes at a time, which stay in a core's cache while they are standardised and multiplied:
they are fetched from memory once, and never copied as a whole.
"""

import collections
import concurrent.futures
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Self, TypeVar

import numpy as np

from schemas.classifiers import LabelKind
from schemas.threads import bounded_map
from transforms.linear.standardisation import Moments, reduced_maps
from transforms.runtime import available_cores, single_threaded_blas

T = TypeVar("T")

_PIECE_BYTES: Final = 2 * 2**20
_LEAST_PIECE_ROWS: Final = 32


@dataclasses.dataclass(frozen=True)
class Piece:
    """Some rows that go through a head together.

    Attributes:
        rows: Their places among all rows.
        vectors: float32 [b, D], less the mean where vectors are standardised.
        logits: float32 [b, outputs], those of an output next to each other in memory.
    """

    rows: slice
    vectors: np.ndarray
    logits: np.ndarray


@dataclasses.dataclass(frozen=True)
class LinearHead:
    """A linear classifier on standardised vectors.

    Attributes:
        kernel: float32 [D, outputs].
        bias: float32 [outputs].
        moments: What standardises the vectors; None where they are taken as they are.
        map_reduction: How feature maps become vectors; see `Recipe`.
        kind: What labels an image can have: a softmax for multi-class, else a sigmoid for each output.
        l2: The weight of the penalty, the sum of squares of the kernel, with which it was fitted.
    """

    kernel: np.ndarray
    bias: np.ndarray
    moments: Moments | None
    map_reduction: str
    kind: LabelKind
    l2: float = 0.0

    def with_weights(self, kernel: np.ndarray, bias: np.ndarray) -> Self:
        """Returns the head with other weights, in float32."""
        return dataclasses.replace(self, kernel=kernel.astype(np.float32), bias=bias.astype(np.float32))

    def named_weights(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yields the name and the values of everything that decides what the head says."""
        if self.moments is not None:
            yield "mean", self.moments.mean
            yield "deviation", self.moments.deviation
        yield "kernel", self.kernel
        yield "bias", self.bias

    def predict(self, features: Iterable[np.ndarray], rows: int) -> np.ndarray:
        """Returns probabilities, float32 [rows, outputs].

        Args:
            features: The features of so many rows in blocks, float32 [b, D] or [b, H, W, C].
            rows: Rows in all blocks.
        """
        probabilities = np.empty((rows, len(self.bias)), np.float32)

        def put(piece: Piece) -> None:
            probabilities[piece.rows] = self._probabilities(piece.logits)

        vectors = (reduced_maps(block, self.map_reduction) for block in features)
        with single_threaded_blas():
            collections.deque(self.each_piece(vectors, rows, put), maxlen=0)
        return probabilities

    def _probabilities(self, logits: np.ndarray) -> np.ndarray:
        if self.kind != LabelKind.MULTI_CLASS:
            return sigmoid(logits)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
        return probabilities

    def each_piece(self, blocks: Iterable[np.ndarray], rows: int, function: Callable[[Piece], T]) -> Iterator[T]:
        """Calls a function with vectors and logits, a piece at a time on each core, and yields its results in order.

        To be called where BLAS has one thread.

        Args:
            blocks: The vectors of so many rows, float32 [b, D].
            rows: Rows in all blocks.
            function: What is called.
        """
        kernel = self.kernel if self.moments is None else self.kernel / self.moments.deviation[:, None]
        by_output = np.ascontiguousarray(kernel.T)
        most = max(_PIECE_BYTES // (4 * max(kernel.shape)), _LEAST_PIECE_ROWS)

        def compute(cut: tuple[slice, np.ndarray]) -> T:
            place, vectors = cut
            centred = vectors if self.moments is None else vectors - self.moments.mean
            # Rows are next to each other in memory, so that what is done with each output is done with many at a time.
            logits = (by_output @ centred.T).T
            logits += self.bias
            return function(Piece(place, centred, logits))

        cuts, cores = _cut(blocks, most), available_cores()
        if rows <= most:
            yield from map(compute, cuts)
            return
        with concurrent.futures.ThreadPoolExecutor(cores) as pool:
            yield from bounded_map(pool, compute, cuts, 2 * cores)


def _cut(blocks: Iterable[np.ndarray], most: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Yields blocks in pieces of at most so many rows, and the places of these among all rows."""
    done = 0
    for block in blocks:
        for start in range(0, len(block), most):
            piece = block[start : start + most]
            yield slice(done, done + len(piece)), piece
            done += len(piece)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Returns the logistic function of logits, without overflow."""
    small = np.exp(-np.abs(logits))
    probabilities: np.ndarray = np.where(logits >= 0, np.float32(1), small) / (1 + small)
    return probabilities
