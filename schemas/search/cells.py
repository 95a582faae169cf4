"""Cells: vectors by the nearest of some centres, so that a search looks into a few cells and not at all vectors.

It is the inverted file of faiss (Jégou, Douze and Schmid, "Product quantization for nearest neighbor search", TPAMI
33, 2011) with whole vectors in it: distances are exact, and what a search misses lies in the cells that it left out.
"""

import importlib.util
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from schemas.errors import UsageError, first_line
from schemas.neighbours import Neighbours, cosine_distances

# The share of the nearest neighbours, as comparing with all finds them, that a search finds at least.
LEAST_RECALL: Final = 0.98

# Cells for the square root of the number of vectors, and vectors of each cell by which centres are found: faiss's own
# guide says 4 to 16, and 30 to 256.
_CELLS_PER_ROOT: Final = 4
_TRAINED_ON: Final = 64
_LEAST_PER_CELL: Final = 40
_ROUNDS: Final = 10
_SEED: Final = 2017
_FILLED_AT_ONCE: Final = 16_384
# How many vectors are asked, and for how many neighbours, where recall is measured.
_JUDGED: Final = 200
_JUDGED_NEIGHBOURS: Final = 20
# Cells that are looked into for near-duplicates at the least: their neighbours are shown, too.
_LEAST_FOR_COPIES: Final = 8


def is_faiss_installed() -> bool:
    """Whether there is what makes and reads cells."""
    return importlib.util.find_spec("faiss") is not None


def check_faiss() -> None:
    """Refuses to make an index without what makes it.

    Raises:
        UsageError: If it is not installed.
    """
    if not is_faiss_installed():
        raise UsageError("An index needs faiss, which is not installed: pip install faiss-cpu.")


def use_threads(threads: int) -> None:
    """Says by how many threads this process fills and searches cells."""
    import faiss

    faiss.omp_set_num_threads(threads)


def cells_for(vectors: int) -> int:
    """Returns into how many cells so many vectors are put."""
    return max(min(round(_CELLS_PER_ROOT * math.sqrt(vectors)), vectors // _LEAST_PER_CELL), 1)


def sample_for(vectors: int) -> int:
    """Returns of how many vectors the centres are found."""
    return min(cells_for(vectors) * _TRAINED_ON, vectors)


class Cells:
    """Vectors of length 1 in cells, each with a number of its own.

    Attributes:
        probes: Into how many cells a search looks.
    """

    def __init__(self, index: Any, probes: int) -> None:
        """Use `train` or `read`."""
        self._index = index
        self.probes = probes

    @classmethod
    def train(cls, sample: np.ndarray, cells: int) -> Self:
        """Finds centres, by spherical k-means; the same ones each time.

        Args:
            sample: float32 [m, D] of length 1, at least as many as cells.
            cells: How many.
        """
        import faiss

        index = faiss.IndexIVFFlat(
            faiss.IndexFlatIP(sample.shape[1]), sample.shape[1], cells, faiss.METRIC_INNER_PRODUCT
        )
        index.cp.niter, index.cp.seed, index.cp.spherical = _ROUNDS, _SEED, True
        index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, len(sample) // cells + 1
        index.train(np.ascontiguousarray(sample))
        return cls(index, 1)

    @classmethod
    def read(cls, path: Path, probes: int, *, mapped: bool) -> Self:
        """Reads cells from a file.

        Args:
            path: The file, which may be removed as soon as this returns.
            probes: Into how many cells a search looks.
            mapped: Whether vectors stay in the file, and are read where a search comes to them; none can be added.

        Raises:
            ValueError: If it is none that `write` wrote.
        """
        import faiss

        try:
            return cls(faiss.read_index(str(path), faiss.IO_FLAG_MMAP if mapped else 0), probes)
        except RuntimeError as error:
            raise ValueError(first_line(error)) from error

    def write(self, sink: Callable[[bytes], object]) -> None:
        """Gives the file of the cells to a function, piece by piece."""
        import faiss

        faiss.write_index(self._index, faiss.PyCallbackIOWriter(sink))

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def cells(self) -> int:
        """How many there are."""
        return int(self._index.nlist)

    def add(self, numbers: np.ndarray, vectors: np.ndarray) -> None:
        """Puts vectors into the cells of their nearest centres.

        Args:
            numbers: int64 [n], their numbers, which no others have.
            vectors: float32 [n, D] of length 1.
        """
        self._index.add_with_ids(np.ascontiguousarray(vectors), np.ascontiguousarray(numbers))

    def fill(self, vectors: np.ndarray, on_done: Callable[[float], None] = lambda _: None) -> None:
        """Puts vectors into empty cells, numbered by their places, in room that is made for them before.

        Cells that grow as vectors are added take up to twice their memory.

        Args:
            vectors: float32 [n, D] of length 1.
            on_done: Told the share of them, 0 to 1, whose cells are known.
        """
        import faiss

        cell_of = np.empty(len(vectors), np.int64)
        for part in _parts(len(vectors)):
            cell_of[part] = self._index.quantizer.search(np.ascontiguousarray(vectors[part]), 1)[1][:, 0]
            on_done(part.stop / len(vectors))
        for cell, size in enumerate(np.bincount(cell_of, minlength=self.cells).tolist()):
            self._index.invlists.resize(cell, size)
            self._index.invlists.resize(cell, 0)
        for part in _parts(len(vectors)):
            numbers = np.arange(part.start, part.stop)
            given = (np.ascontiguousarray(vectors[part]), numbers, cell_of[part])
            self._index.add_core(len(numbers), *map(faiss.swig_ptr, given))

    def remove(self, gone: np.ndarray) -> None:
        """Removes vectors; nothing of them is left.

        Args:
            gone: bool [m], by its number whether a vector is removed.
        """
        import faiss

        self._index.remove_ids(faiss.IDSelectorBitmap(np.packbits(gone, bitorder="little")))

    def by_cell(self) -> Iterator[np.ndarray]:
        """Yields int64 [c], the numbers of the vectors of each cell."""
        import faiss

        lists = self._index.invlists
        for cell in range(self.cells):
            size = lists.list_size(cell)
            yield faiss.rev_swig_ptr(lists.get_ids(cell), size).copy() if size else np.empty(0, np.int64)

    def search(
        self, queries: np.ndarray, k: int, allowed: np.ndarray | None = None, *, probes: int | None = None
    ) -> Neighbours:
        """Finds the vectors that are nearest, in the cells whose centres are.

        Args:
            queries: float32 [n, D] of length 1.
            k: Neighbours of each.
            allowed: bool [m], by its number whether a vector counts; None where all do.
            probes: Into how many cells; as many as `probes` says where it is None.
        """
        import faiss

        allowing = {}
        if allowed is not None:
            allowing["sel"] = faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
        parameters = faiss.IVFSearchParameters(nprobe=self.probes if probes is None else probes, **allowing)
        similarities, numbers = self._index.search(np.ascontiguousarray(queries), k, params=parameters)
        return Neighbours(
            numbers, np.where(numbers < 0, np.float32(np.inf), cosine_distances(similarities.astype(np.float32)))
        )

    def tune(self) -> float:
        """Makes searches look into as few cells as give `LEAST_RECALL`, by powers of two.

        Returns:
            The recall, as `recall` measures it.
        """
        queries, expected = self._judged()
        return self._widen(queries, expected, 1)

    def tune_for_copies(self, distance: float) -> float:
        """Makes searches look into as few cells as find near-duplicates, which may be far fewer than for neighbours.

        Args:
            distance: The cosine distance of near-duplicates.

        Returns:
            The share of vectors, 0 to 1, that are found by others which are so far from them, in a random direction, of
            those that looking into all cells finds.
        """
        numbers, vectors = self._some(_JUDGED)
        noise = np.random.default_rng(_SEED).standard_normal(vectors.shape, np.float32)
        noise -= np.vecdot(noise, vectors)[:, None] * vectors
        noise /= np.maximum(np.linalg.norm(noise, axis=1, keepdims=True), np.float32(1e-12))
        cosine = 1 - distance
        copies = np.float32(cosine) * vectors + np.float32(math.sqrt(max(1 - cosine**2, 0))) * noise
        # Of hundreds of the same vector, others are found in the place of one, into however many cells a search looks.
        found = self.search(copies, _JUDGED_NEIGHBOURS + 1, probes=self.cells).rows
        return self._widen(copies, np.where(found == numbers[:, None], found, -1), _LEAST_FOR_COPIES)

    def recall(self) -> float:
        """Measures the share of the nearest neighbours of some vectors, besides themselves, that a search finds.

        Which they are is found by looking into all cells.

        Returns:
            The share, 0 to 1.
        """
        queries, expected = self._judged()
        return recall_of(self.search(queries, _JUDGED_NEIGHBOURS + 1).rows, expected)

    def _judged(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns float32 [n, D] and int64 [n, k], some vectors and their neighbours; -1 in the place of themselves."""
        numbers, queries = self._some(_JUDGED)
        expected = self.search(queries, _JUDGED_NEIGHBOURS + 1, probes=self.cells).rows
        return queries, np.where(expected == numbers[:, None], -1, expected)

    def _widen(self, queries: np.ndarray, expected: np.ndarray, probes: int) -> float:
        """Looks into more cells until `LEAST_RECALL` is reached, and returns the recall that is."""
        while True:
            self.probes = min(probes, self.cells)
            recall = recall_of(self.search(queries, _JUDGED_NEIGHBOURS + 1).rows, expected)
            if recall >= LEAST_RECALL or self.probes == self.cells:
                return recall
            probes *= 2

    def _some(self, most: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns int64 [n] and float32 [n, D], the numbers and vectors of some, at equal steps through the cells."""
        import faiss

        lists = self._index.invlists
        after = np.cumsum([lists.list_size(cell) for cell in range(self.cells)])
        chosen = np.unique(np.linspace(0, len(self), most, endpoint=False, dtype=np.int64)) if len(self) else after[:0]
        found = []
        for at in chosen.tolist():
            cell = int(np.searchsorted(after, at, "right"))
            place = at - int(after[cell]) + lists.list_size(cell)
            codes = faiss.rev_swig_ptr(lists.get_single_code(cell, place), self._index.code_size)
            found.append((lists.get_single_id(cell, place), codes.view(np.float32).copy()))
        numbers = np.array([number for number, _ in found], np.int64)
        return numbers, np.array([vector for _, vector in found], np.float32).reshape(len(found), self._index.d)


def _parts(vectors: int) -> Iterator[slice]:
    return (slice(start, min(start + _FILLED_AT_ONCE, vectors)) for start in range(0, vectors, _FILLED_AT_ONCE))


def recall_of(found: np.ndarray, expected: np.ndarray) -> float:
    """Returns the share of expected neighbours that were found, 0 to 1; 1 where none is expected.

    Args:
        found: int64 [n, k].
        expected: int64 [n, k]; -1 is no neighbour.
    """
    hits = (found[:, :, None] == expected[:, None, :]).any(axis=1) & (expected >= 0)
    count = int((expected >= 0).sum())
    return float(hits.sum() / count) if count else 1.0
