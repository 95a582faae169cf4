"""The images of a snapshot whose features are nearest to given ones: exact, some batches at a time, or by an index."""

import math
from typing import Final

import numpy as np
import pyarrow as pa

from schemas.delta import Scan
from schemas.errors import InvalidFeatures
from schemas.neighbours import Near, Neighbours, RunningNeighbours, as_vectors, lengths_of, near_in_block, unit_vectors
from schemas.search.index_files import IndexedFile, OpenIndex, numbers_of
from schemas.spec import Shape
from schemas.tables import feature_shape
from schemas.threads import one_blas_thread

_BATCH_BYTES: Final = 32 * 2**20


def nearest_images(
    scan: Scan, layer: str, shape: Shape, features: np.ndarray, k: int, *, index: OpenIndex | None = None
) -> pa.Table:
    """Finds the rows that are nearest to features, and returns them with their columns; see `FeatureStore.neighbours`.

    Args:
        scan: The rows that are looked at, with all columns.
        layer: The feature column.
        shape: The shape of one feature of the column.
        features: float32 [n, *shape], or [n, C] where the column holds maps of C channels.
        k: Neighbours of each.
        index: What the rows of files are looked up in that it has; then the scan has all images of its snapshot. Those
            of other files are compared.
    """
    queries = unit_vectors(features)
    if queries.shape[1] != (shape[-1] if len(shape) == 3 else math.prod(shape)):
        raise InvalidFeatures(f"The features have {queries.shape[1:]} numbers, those of the layer {layer} are {shape}.")
    covered = [] if index is None else index.stored.covered([file.path for file in scan.files])
    if index is None or not covered:
        return _compared(scan, layer, shape, queries, k)
    known = {file.path for file in covered}
    others = scan.of_files([file.path for file in scan.files if file.path not in known])
    parts = [_looked_up(index, covered, scan.of_files(known).all_rows(), queries, k)]
    return _nearest_of([*parts, _compared(others, layer, shape, queries, k)] if others.files else parts, k)


def _compared(scan: Scan, layer: str, shape: Shape, queries: np.ndarray, k: int) -> pa.Table:
    """Compares all rows: those of a row group on the thread that unpacks it, in some threads at once."""
    rows_per_batch = max(_BATCH_BYTES // (4 * math.prod(shape)), 1)
    running = RunningNeighbours(len(queries), min(k, max(sum(file.rows for file in scan.files), 1)))

    def near(features: np.ndarray) -> tuple[int, Near]:
        vectors = as_vectors(features)
        # What is known by now may be less than what will be known of the rows before these: then more are found.
        return len(vectors), near_in_block(queries, vectors, lengths_of(vectors), running.least.copy(), k)

    first = 0
    with one_blas_thread():
        for count, found in scan.only([layer]).map_features(near, rows_per_batch):
            running.add(found.queries, first + found.rows, found.similarities)
            first += count
    return _with_columns(scan, running.found())


def _looked_up(index: OpenIndex, covered: list[IndexedFile], rows: Scan, queries: np.ndarray, k: int) -> pa.Table:
    """Looks neighbours up among the images of files that an index has.

    Args:
        index: The index.
        covered: The files.
        rows: All of their rows.
        queries: float32 [n, D] of length 1.
        k: Neighbours of each.
    """
    stored = index.stored
    allowed = None if len(covered) == len(stored.files) else numbers_of(covered, stored.after)
    found = index.cells.search(queries, min(k, max(len(index.cells), 1)), allowed)
    row_of, row = {}, 0
    for path, count in rows.files:
        row_of[path] = row
        row += count
    by_first = sorted(covered, key=lambda file: file.first)
    firsts, starts = np.array([[file.first, row_of[file.path]] for file in by_first]).T
    place = np.searchsorted(firsts, found.rows, "right") - 1
    numbers = np.where(found.rows < 0, -1, found.rows - firsts[place] + starts[place])
    return _with_columns(rows, Neighbours(numbers, found.distances))


def _with_columns(scan: Scan, found: Neighbours) -> pa.Table:
    """Returns a row for each neighbour: `query`, `distance`, and the columns of the scan but features."""
    query, place = np.nonzero(found.rows >= 0)
    others = [field.name for field in scan.schema if feature_shape(field) is None]
    images = scan.only(others).take(found.rows[query, place])
    columns = {"query": pa.array(query, pa.int64()), "distance": pa.array(found.distances[query, place])}
    for name in others:
        columns.setdefault(name, images.column(name))
    return pa.table(columns)


def _nearest_of(parts: list[pa.Table], k: int) -> pa.Table:
    """Returns the k nearest of each query in several tables of neighbours."""
    hits = pa.concat_tables(parts).sort_by([("query", "ascending"), ("distance", "ascending")])
    query = hits["query"].to_numpy()
    return hits.filter(pa.array(np.arange(len(query)) - np.searchsorted(query, query) < k))
