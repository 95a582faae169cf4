"""Comparing all images with each other: exact, by a matrix product for each pair of blocks, one on each core."""

import concurrent.futures
import dataclasses
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np

from schemas.neighbours import Neighbours, RunningNeighbours, floors, nearest_rows, true_places
from schemas.threads import bounded_map
from transforms.runtime import available_cores, single_threaded_blas

# Rows a block: a product of two blocks takes 36 MB, and costs a core some tenths of a second.
_BLOCK: Final = 3072


@dataclasses.dataclass(frozen=True, eq=False)
class _Tile:
    """What the product of two blocks of rows tells.

    Attributes:
        near: For each of both blocks the pairs that may be among its nearest: rows, others, cosines.
        close: int64 [c] and int64 [c], pairs of rows that are closer than asked.
    """

    near: list[tuple[np.ndarray, ...]]
    close: tuple[np.ndarray, np.ndarray]


class Recall(NamedTuple):
    """What comparing with some rows alone finds of what comparing with all finds, as measured on a sample.

    Attributes:
        copies: The share of rows that are as far from each other as near-duplicates may be, 0 to 1.
        neighbours: The share of the nearest neighbours, 0 to 1.
    """

    copies: float
    neighbours: float


class ComparedRows(NamedTuple):
    """What comparing images with each other tells.

    Attributes:
        neighbours: Those of each row.
        first_of_group: int64 [n], for each row the first row of its group, itself where it is alone.
        recall: What was found of it; None where all rows were compared.
    """

    neighbours: Neighbours
    first_of_group: np.ndarray
    recall: Recall | None


def compare_all(
    vectors: np.ndarray,
    k: int,
    distance: float,
    contents: np.ndarray,
    on_done: Callable[[float], None] = lambda _: None,
) -> ComparedRows:
    """Finds the nearest neighbours of each row, and the groups of rows that are close to each other.

    Args:
        vectors: float32 [n, D] of length 1.
        k: Neighbours of each row, not itself; less than n.
        distance: Rows that are at most so far from each other, by cosine distance, are in one group; so are those
            that others connect.
        contents: [n], rows with the same value are in one group as well.
        on_done: Told the share of the work that is done, 0 to 1.

    """
    running = [RunningNeighbours(len(block), k) for block in _blocks(vectors)]
    groups = RowGroups(contents)
    pairs = [(row, column) for row in range(len(running)) for column in range(row, len(running))]
    compute = _tile_of(vectors, running, k, np.float32(1 - distance))
    cores = available_cores()
    with single_threaded_blas(), concurrent.futures.ThreadPoolExecutor(cores) as pool:
        for done, tile in enumerate(bounded_map(pool, compute, pairs, cores + 1), 1):
            for block, (rows, others, cosines) in zip(pairs[done - 1], tile.near, strict=False):
                running[block].add(rows, others, cosines)
            groups.join(*tile.close)
            on_done(done / len(pairs))
    found = [each.found() for each in running]
    rows, distances = (np.concatenate([getattr(each, name) for each in found]) for name in ("rows", "distances"))
    return ComparedRows(Neighbours(rows, distances), groups.first, None)


def nearest_distances(vectors: np.ndarray, most: int) -> np.ndarray:
    """Returns float32 [m], the distance to the nearest other row of `most` rows at equal steps, or of all."""
    rows = np.arange(0, len(vectors), max(len(vectors) // most, 1))
    found = nearest_rows(vectors[rows], _blocks(vectors), 2)
    is_itself = found.rows == rows[:, None]
    return np.where(is_itself[:, 0], found.distances[:, 1], found.distances[:, 0])


def _blocks(vectors: np.ndarray) -> Iterator[np.ndarray]:
    return (vectors[start : start + _BLOCK] for start in range(0, len(vectors), _BLOCK))


def _tile_of(
    vectors: np.ndarray, running: list[RunningNeighbours], k: int, closest: np.float32
) -> Callable[[tuple[int, int]], _Tile]:
    below_closest = np.nextafter(closest, np.float32(-np.inf))

    def compute(pair: tuple[int, int]) -> _Tile:
        first, second = (block * _BLOCK for block in pair)
        cosines = vectors[first : first + _BLOCK] @ vectors[second : second + _BLOCK].T
        if first == second:
            np.fill_diagonal(cosines, -np.inf)
        # Others may have found nearer rows meanwhile: that lets too many pairs through, never too few.
        of_rows = floors(cosines, running[pair[0]].least, k)
        of_columns = floors(cosines.T, running[pair[1]].least, k)
        # All are looked for at once: each look at a tile takes as long as a twentieth of its product.
        wanted = cosines > np.minimum(of_rows, below_closest)[:, None]
        if first != second:
            wanted |= cosines > of_columns
        rows, columns = true_places(wanted)
        values = cosines[rows, columns]
        near = [_chosen(values > of_rows[rows], rows, second + columns, values)]
        if first != second:
            near.append(_chosen(values > of_columns[columns], columns, first + rows, values))
        close = values >= closest
        return _Tile(near, (first + rows[close], second + columns[close]))

    return compute


def _chosen(mask: np.ndarray, *columns: np.ndarray) -> tuple[np.ndarray, ...]:
    return tuple(column[mask] for column in columns)


class RowGroups:
    """Groups of rows that pairs connect.

    Attributes:
        first: int64 [n], the first row of the group of each row, itself where it is alone.
    """

    def __init__(self, contents: np.ndarray) -> None:
        """Begins with groups of rows whose contents are the same.

        Args:
            contents: [n].
        """
        _, firsts, of_row = np.unique(contents, return_index=True, return_inverse=True)
        self.first = firsts[of_row]

    def join(self, rows: np.ndarray, others: np.ndarray) -> None:
        """Joins the groups of pairs of rows."""
        import scipy.sparse as sp

        left, right = self.first[rows], self.first[others]
        differ = left != right
        if not differ.any():
            return
        nodes, places = np.unique(np.concatenate([left[differ], right[differ]]), return_inverse=True)
        ends = places.reshape(2, -1)
        graph = sp.coo_array((np.ones(ends.shape[1], np.int8), (ends[0], ends[1])), shape=(len(nodes), len(nodes)))
        count, component = sp.csgraph.connected_components(graph, directed=False)
        least = np.full(count, len(self.first))
        np.minimum.at(least, component, nodes)
        renamed = np.arange(len(self.first))
        renamed[nodes] = least[component]
        self.first = renamed[self.first]
