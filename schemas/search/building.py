"""Building an index of a snapshot, or bringing the one that is there up to it."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from schemas.delta import Scan
from schemas.errors import UsageError
from schemas.neighbours import unit_vectors
from schemas.search.cells import Cells, cells_for, sample_for, use_threads
from schemas.search.index_files import IndexedFile, StoredIndex, find_index, numbers_of, read_cells, write_index
from schemas.spec import Shape
from schemas.storage import PublishedFile
from schemas.tables import AUGMENTATION, feature_array

# Centres that were found of so many fewer vectors are found again.
_GROWTH: Final = 4
_BATCH_BYTES: Final = 32 * 2**20

Say = Callable[[str, float], None]


@dataclasses.dataclass(frozen=True)
class BuiltIndex:
    """What was done.

    Attributes:
        stored: The index.
        is_new: Whether its centres were found now.
        came: Images that were put into it.
        left: Rows of files that left it; those of copies and of images that came again in other files among them.
        cells: How many cells there are.
    """

    stored: StoredIndex
    is_new: bool
    came: int
    left: int
    cells: int


@dataclasses.dataclass(frozen=True)
class IndexedLayer:
    """What is indexed.

    Attributes:
        store_uri: The store.
        rows: All rows of a snapshot of `features`.
        version: The version of that.
        layer: The feature column.
        shape: The shape of one feature.
    """

    store_uri: str
    rows: Scan
    version: int
    layer: str
    shape: Shape


def build_index(
    indexed: IndexedLayer, *, threads: int, rebuild: bool = False, say: Say = lambda _, __: None
) -> BuiltIndex:
    """Builds the index of a layer, or brings the one that is there up to a snapshot, and writes it beside the table.

    The vectors of files that have left the table leave it, those of further files come in. Memory holds all vectors.

    Args:
        indexed: What is indexed.
        threads: Threads to work with.
        rebuild: Whether to begin from nothing.
        say: Told what is being done, and the share of it that is, 0 to 1.

    Raises:
        UsageError: If there is no image.
        InvalidFeatures: If some features are NaN or infinite.
        RunFailed: If the index that is there is damaged.
    """
    use_threads(threads)
    rows = sum(file.rows for file in indexed.rows.files)
    old = None if rebuild else find_index(indexed.store_uri, indexed.layer)
    if old is not None and rows > _GROWTH * old.trained_on:
        old = None
    paths = [file.path for file in indexed.rows.files]
    kept = [] if old is None else old.covered(paths)
    gone = [] if old is None else sorted(set(old.files) - set(kept), key=lambda file: file.first)
    cells = _trained(indexed, rows, say) if old is None else _without(indexed.store_uri, old, gone, say)
    before = len(cells)
    further = _add(cells, indexed, kept, 0 if old is None else old.after, say)
    say("measuring", 0.0)
    recall = cells.tune()
    say("writing", 0.0)
    stored = StoredIndex(
        layer=indexed.layer,
        table_version=indexed.version,
        images=len(cells),
        trained_on=rows if old is None else old.trained_on,
        probes=cells.probes,
        recall=recall,
        cells=PublishedFile("", "none"),
        files=(*kept, *further),
    )
    written = write_index(indexed.store_uri, cells, stored)
    return BuiltIndex(written, old is None, len(cells) - before, sum(file.rows for file in gone), cells.cells)


def _without(store_uri: str, old: StoredIndex, gone: list[IndexedFile], say: Say) -> Cells:
    """Reads the cells of an index, and removes the rows of files that have left the table."""
    say("reading the index", 0.0)
    cells = read_cells(store_uri, old, mapped=False)
    if gone:
        cells.remove(numbers_of(gone, old.after))
    return cells


def _trained(indexed: IndexedLayer, rows: int, say: Say) -> Cells:
    """Finds centres by vectors at equal steps through the table."""
    step, sample, first = max(rows // sample_for(max(rows, 1)), 1), list[np.ndarray](), 0
    for count, of_images, features in _features(indexed, indexed.rows):
        sample.append(unit_vectors(features[(first + of_images) % step == 0]))
        first += count
        say("reading", first / rows)
    chosen = np.concatenate(sample) if sample else np.empty((0, 0), np.float32)
    if not len(chosen):
        raise UsageError("There is no image to index.")
    say("finding centres", 0.0)
    return Cells.train(chosen, min(cells_for(rows), len(chosen)))


def _add(cells: Cells, indexed: IndexedLayer, kept: list[IndexedFile], first: int, say: Say) -> list[IndexedFile]:
    """Puts the images of files that are not known yet into the cells, and returns these files."""
    known = {file.path for file in kept}
    scan = indexed.rows.of_files([file.path for file in indexed.rows.files if file.path not in known])
    further, after = list[IndexedFile](), first
    for path, rows in scan.files:
        further.append(IndexedFile(path, rows, after))
        after += rows
    number = first
    for count, of_images, features in _features(indexed, scan):
        cells.add(number + of_images, unit_vectors(features))
        number += count
        say("adding", (number - first) / (after - first))
    return further


def _features(indexed: IndexedLayer, scan: Scan) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yields how many rows a batch has, which of them are images and no copies (int64 [m]), and their features."""
    has_copies = AUGMENTATION in scan.schema.names
    columns = [indexed.layer, *([AUGMENTATION] if has_copies else [])]
    for batch in scan.only(columns).to_batches(max(_BATCH_BYTES // (4 * math.prod(indexed.shape)), 1)):
        features = feature_array(batch.column(0), indexed.shape)
        rows = np.flatnonzero(batch.column(1).to_numpy() == 0) if has_copies else np.arange(batch.num_rows)
        yield batch.num_rows, rows, features[rows] if has_copies else features
