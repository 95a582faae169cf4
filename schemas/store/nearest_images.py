"""The images of a snapshot whose features are nearest to given ones: exact, some batches at a time."""

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa

from schemas.delta import Scan
from schemas.errors import InvalidFeatures
from schemas.neighbours import nearest_rows, unit_vectors
from schemas.spec import Shape
from schemas.tables import feature_array, feature_shape

_BATCH_BYTES: Final = 32 * 2**20


def nearest_images(scan: Scan, layer: str, shape: Shape, features: np.ndarray, k: int) -> pa.Table:
    """Finds the rows that are nearest to features, and returns them with their columns; see `FeatureStore.neighbours`.

    Args:
        scan: The rows that are looked at, with all columns.
        layer: The feature column.
        shape: The shape of one feature of the column.
        features: float32 [n, *shape], or [n, C] where the column holds maps of C channels.
        k: Neighbours of each.
    """
    queries = unit_vectors(features)
    if queries.shape[1] != (shape[-1] if len(shape) == 3 else math.prod(shape)):
        raise InvalidFeatures(f"The features have {queries.shape[1:]} numbers, those of the layer {layer} are {shape}.")
    rows_per_batch = max(_BATCH_BYTES // (4 * math.prod(shape)), 1)
    found = nearest_rows(queries, _vectors(scan, layer, shape, rows_per_batch), min(k, max(scan.count(), 1)))
    query, place = np.nonzero(found.rows >= 0)
    others = [field.name for field in scan.schema if feature_shape(field) is None]
    images = take_rows(scan.only(others), found.rows[query, place])
    columns = {"query": pa.array(query, pa.int64()), "distance": pa.array(found.distances[query, place])}
    for name in others:
        columns.setdefault(name, images.column(name))
    return pa.table(columns)


def take_rows(scan: Scan, rows: np.ndarray) -> pa.Table:
    """Reads some rows of a scan.

    Args:
        scan: The scan.
        rows: int64 [n], the numbers of rows in the scan's order; in any order, also more than once.
    """
    wanted, places = np.unique(rows, return_inverse=True)
    parts, first = [scan.schema.empty_table()], 0
    for batch in scan.to_batches():
        within = wanted[(first <= wanted) & (wanted < first + batch.num_rows)] - first
        parts.append(pa.table(batch.take(pa.array(within))).cast(scan.schema))
        first += batch.num_rows
    return pa.concat_tables(parts).take(pa.array(places))


def _vectors(scan: Scan, layer: str, shape: Shape, rows_per_batch: int) -> Iterator[np.ndarray]:
    for batch in scan.only([layer]).to_batches(rows_per_batch):
        yield unit_vectors(feature_array(batch.column(0), shape))
