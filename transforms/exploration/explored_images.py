"""What is explored: the images of one snapshot, or some of them, with the features of one layer as vectors."""

import dataclasses
import functools
import math
from typing import Final

import numpy as np
import pyarrow as pa

from schemas.classifiers import hash_places
from schemas.delta import Scan, Where
from schemas.errors import InvalidFeatures, UsageError
from schemas.neighbours import unit_vectors
from schemas.search import is_faiss_installed
from schemas.store import FeatureStore
from schemas.tables import feature_array, feature_shape
from transforms.runtime import available_memory

# Images that are compared with each other exactly, and so many that it takes some minutes, if there is another way.
MOST_IMAGES: Final = 1_000_000
MOST_WITHOUT_CELLS: Final = 200_000

_BATCH_BYTES: Final = 16 * 2**20
_URIS_SHOWN: Final = 3


@dataclasses.dataclass(frozen=True, eq=False)
class ExploredImages:
    """Images of a snapshot.

    Attributes:
        layer: The feature column.
        version: The version of the table.
        table: A row for each image with all columns but features, in the table's order.
        vectors: float32 [n, D], their features, of length 1.
        pooled: Whether whole feature maps were averaged.
        matching: Images of the snapshot that were asked for, of which these may be a sample.
    """

    layer: str
    version: int
    table: pa.Table
    vectors: np.ndarray
    pooled: bool
    matching: int

    def __len__(self) -> int:
        return len(self.vectors)

    @functools.cached_property
    def places(self) -> np.ndarray:
        """uint64 [n], the first bits of the SHA-256 of each image's bytes."""
        return hash_places(self.table["sha256"].combine_chunks())


def read_explored(
    store: FeatureStore, layer: str, version: int, where: Where | None, sample: int | None, *, exact: bool = False
) -> ExploredImages:
    """Reads the images that are explored.

    Args:
        store: The store.
        layer: The feature column.
        version: The version of the table.
        where: Which images; see `Scan`.
        sample: The most of them, chosen by their hashes and so the same ones each time; all where it is None.
        exact: Whether they are to be compared with all others, however many there are.

    Raises:
        UsageError: If there are fewer than two, too many to be compared, or more than there is memory for.
        InvalidFeatures: If some features are NaN or infinite.
    """
    scan = store.scan_images(where=where, table_version=version)
    others = [field.name for field in scan.schema if feature_shape(field) is None]
    table = scan.only(others).to_arrow()
    matching = table.num_rows
    rows = np.arange(matching)
    if sample is not None and sample < matching:
        order = np.argsort(hash_places(table["sha256"].combine_chunks()), kind="stable")
        rows = np.sort(order[:sample])
        table = table.take(pa.array(rows))
    shape = store.spec.shape_by_layer[layer]
    dimensions = shape[-1] if len(shape) == 3 else math.prod(shape)
    _check_size(len(rows), dimensions, by_cells=is_compared_by_cells(len(rows), exact=exact))
    vectors = np.empty((len(rows), dimensions), np.float32)
    _read_vectors(scan.only(["uri", layer]), rows, vectors)
    return ExploredImages(layer, version, table, vectors, len(shape) == 3, matching)


def is_compared_by_cells(images: int, *, exact: bool) -> bool:
    """Whether so many images are compared with those that are in cells near them, and not with all others."""
    return images > MOST_WITHOUT_CELLS and not exact and is_faiss_installed()


def _check_size(images: int, dimensions: int, *, by_cells: bool) -> None:
    if images < 2:
        found = "no image" if images == 0 else "one image alone"
        raise UsageError(f"There is {found} to look at: exploring compares images with each other. See --where.")
    if images > MOST_IMAGES and not by_cells:
        raise UsageError(
            f"{images:,} images are more than the {MOST_IMAGES:,} that are compared with each other exactly: install "
            f"faiss (pip install faiss-cpu), or take --sample={MOST_IMAGES}, or some of them with --where."
        )
    # Cells hold the vectors once more.
    needed, free = 4 * images * dimensions * (2 if by_cells else 1), available_memory() // 2
    if needed > free:
        raise UsageError(
            f"The features of {images:,} images take {needed / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB of memory are "
            f"meant for them: take --sample={images * free // needed}."
        )


def _read_vectors(scan: Scan, rows: np.ndarray, vectors: np.ndarray) -> None:
    """Reads the features of some rows, ascending, into their places; finds all that are no numbers."""
    shape = feature_shape(scan.schema[1]) or ()
    first, bad, shown = 0, 0, list[str]()
    for batch in scan.to_batches(max(_BATCH_BYTES // (4 * math.prod(shape)), 1)):
        start, stop = np.searchsorted(rows, [first, first + batch.num_rows])
        within = rows[start:stop] - first
        features = feature_array(batch.column(1), shape)[within]
        finite = np.isfinite(features.reshape(len(features), math.prod(shape))).all(axis=1)
        if not finite.all():
            bad += int(np.count_nonzero(~finite))
            shown += batch.column(0).take(pa.array(within[~finite])).to_pylist()
        elif not bad:
            vectors[start:stop] = unit_vectors(features)
        first += batch.num_rows
    if bad:
        named = ", ".join(shown[:_URIS_SHOWN]) + (f" and {bad - _URIS_SHOWN:,} more" if bad > _URIS_SHOWN else "")
        raise InvalidFeatures(
            f"{bad:,} of {len(rows):,} images have NaN or infinite features of the layer '{scan.schema[1].name}': "
            f"{named}. Leave them out with --where."
        )
