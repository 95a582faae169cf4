"""Nearest neighbours by cosine distance: exact, by blocks of matrix products, in memory that is bounded."""

import dataclasses
import math
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from schemas.errors import InvalidFeatures

_QUERIES_AT_ONCE: Final = 1024
# Squares of lengths that float32 holds as well as it holds other numbers.
_LEAST_SQUARE: Final = 1e-30
_MOST_SQUARE: Final = 1e30


@dataclasses.dataclass(frozen=True)
class Neighbours:
    """The nearest rows of some vectors.

    Attributes:
        rows: int64 [n, k], the numbers of rows, the nearest first; -1 where there are fewer than k.
        distances: float32 [n, k], cosine distances, 0 to 2; infinite where there is no row.
    """

    rows: np.ndarray
    distances: np.ndarray


class RunningNeighbours:
    """The nearest rows that were found so far. Of rows that are equally near, that with the lower number is first."""

    def __init__(self, queries: int, k: int) -> None:
        """Begins without rows.

        Args:
            queries: Vectors whose neighbours are looked for.
            k: Neighbours of each.
        """
        self._rows = np.full((queries, k), -1, np.int64)
        self._similarities = np.full((queries, k), -np.inf, np.float32)

    @property
    def least(self) -> np.ndarray:
        """float32 [queries], the cosine that a row has to exceed to be among the neighbours."""
        least: np.ndarray = self._similarities[:, -1]
        return least

    def add(self, queries: np.ndarray, rows: np.ndarray, similarities: np.ndarray) -> None:
        """Takes pairs in, the rows of each query in ascending order, and above those that it was given before.

        Args:
            queries: int64 [c].
            rows: int64 [c].
            similarities: float32 [c], their cosines.
        """
        if not len(queries):
            return
        small = queries.astype(np.uint16) if len(self._rows) <= 2**16 else queries  # Which is sorted by its digits.
        order = np.argsort(small, kind="stable")
        touched, starts, counts = np.unique(queries[order], return_index=True, return_counts=True)
        k, of_touched = self._rows.shape[1], np.repeat(np.arange(len(touched)), counts)
        places = k + np.arange(len(order)) - starts[of_touched]
        all_rows = np.full((len(touched), k + counts.max()), -1, np.int64)
        all_similarities = np.full(all_rows.shape, -np.inf, np.float32)
        all_rows[:, :k], all_similarities[:, :k] = self._rows[touched], self._similarities[touched]
        all_rows[of_touched, places], all_similarities[of_touched, places] = rows[order], similarities[order]
        best = np.argsort(-all_similarities, axis=1, kind="stable")[:, :k]
        self._rows[touched] = np.take_along_axis(all_rows, best, 1)
        self._similarities[touched] = np.take_along_axis(all_similarities, best, 1)

    def found(self) -> Neighbours:
        """Returns the neighbours among all rows so far."""
        return Neighbours(
            self._rows, np.where(self._rows < 0, np.float32(np.inf), cosine_distances(self._similarities))
        )


def cosine_distances(similarities: np.ndarray) -> np.ndarray:
    """Returns 1 - cosine, float32, and 0 where rounding makes the cosine larger than 1."""
    return np.maximum(np.float32(1) - similarities, np.float32(0))


def unit_vectors(features: np.ndarray) -> np.ndarray:
    """Returns features as vectors of length 1; one of zeros stays as it is, and is at distance 1 from all others.

    Args:
        features: float32 [n, D], or [n, H, W, C], which are averaged over H and W.

    Returns:
        float32 [n, D].

    Raises:
        InvalidFeatures: If some are NaN or infinite.
    """
    vectors = as_vectors(features)
    lengths = _lengths(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    units: np.ndarray = vectors / lengths[:, None]
    return units


def as_vectors(features: np.ndarray) -> np.ndarray:
    """Returns features as vectors, float32 [n, D]; those of maps, [n, H, W, C], averaged over H and W."""
    vectors: np.ndarray = (
        features.mean(axis=(1, 2))
        if features.ndim == 4
        else features.reshape(len(features), math.prod(features.shape[1:]))
    )
    return vectors


def lengths_of(vectors: np.ndarray) -> np.ndarray:
    """Returns float32 [n], the lengths of vectors, 1 for one of zeros, in a fraction of the time of `unit_vectors`.

    Args:
        vectors: float32 [n, D].

    Raises:
        InvalidFeatures: If some are NaN or infinite.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.vecdot(vectors, vectors)
    if not ((squares > _LEAST_SQUARE) & (squares < _MOST_SQUARE)).all():
        squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    return _lengths(squares)


def _lengths(squares: np.ndarray) -> np.ndarray:
    bad = np.count_nonzero(~np.isfinite(squares))
    if bad:
        raise InvalidFeatures(f"{bad:,} of {len(squares):,} features are NaN or infinite, and are near to nothing.")
    lengths: np.ndarray = np.sqrt(squares)
    lengths[lengths == 0] = 1
    return lengths.astype(np.float32, copy=False)


def floors(similarities: np.ndarray, least: np.ndarray, k: int) -> np.ndarray:
    """Returns float32 [n], what a cosine of a block has to exceed to be among the k nearest.

    Args:
        similarities: float32 [n, b]; minus infinity for pairs that do not count.
        least: float32 [n], what it had to exceed before; where that is minus infinity, the block alone decides.
        k: Neighbours of each.
    """
    unknown = np.isneginf(least)
    width = similarities.shape[1]
    if width <= k or not unknown.any():
        return least
    known_none = similarities if unknown.all() else similarities[unknown]
    raised = least.copy()
    raised[unknown] = np.nextafter(np.partition(known_none, width - k, axis=1)[:, width - k], np.float32(-np.inf))
    return raised


def true_places(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns what `np.nonzero` of a matrix does, in a tenth of its time where few are true."""
    return np.divmod(np.flatnonzero(mask), mask.shape[1])


class Near(NamedTuple):
    """Pairs of a query and a row of a block that may be among its nearest.

    Attributes:
        queries: int64 [c], ascending.
        rows: int64 [c], by their numbers in the block, ascending for each query.
        similarities: float32 [c], their cosines.
    """

    queries: np.ndarray
    rows: np.ndarray
    similarities: np.ndarray


def near_in_block(
    queries: np.ndarray, block: np.ndarray, lengths: np.ndarray | None, least: np.ndarray, k: int
) -> Near:
    """Finds the rows of a block that may be among the nearest; `RunningNeighbours` takes them in.

    Args:
        queries: float32 [n, D] of length 1.
        block: float32 [b, D], vectors.
        lengths: float32 [b], their lengths; None where they are 1.
        least: float32 [n], what a cosine has to exceed; minus infinity where that is not known yet.
        k: Neighbours of each query.
    """
    found = []
    for start in range(0, max(len(queries), 1), _QUERIES_AT_ONCE):
        similarities = queries[start : start + _QUERIES_AT_ONCE] @ block.T
        if lengths is not None:
            similarities /= lengths
        floor = floors(similarities, least[start : start + _QUERIES_AT_ONCE], k)
        of_query, rows = true_places(similarities > floor[:, None])
        found.append(Near(start + of_query, rows, similarities[of_query, rows]))
    return found[0] if len(found) == 1 else Near(*map(np.concatenate, zip(*found, strict=True)))


def nearest_rows(queries: np.ndarray, blocks: Iterable[np.ndarray], k: int) -> Neighbours:
    """Finds the rows that are nearest to each query.

    Args:
        queries: float32 [n, D] of length 1.
        blocks: The vectors of all rows in order and in blocks, float32 [b, D] of length 1.
        k: Neighbours of each query.
    """
    running = RunningNeighbours(len(queries), k)
    first = 0
    for block in blocks:
        near = near_in_block(queries, block, None, running.least, k)
        running.add(near.queries, first + near.rows, near.similarities)
        first += len(block)
    return running.found()
