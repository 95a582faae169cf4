"""Feature rows: the features of the splits of a table, held in memory where they fit, else read window by window.

A window is a set of row groups, drawn again and in another order in every epoch, whose rows are shuffled together. So a
table of any size is trained on with the memory of one window; a split that is held is a single window.
"""

import concurrent.futures
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from schemas.classifiers import SPLITS, Split
from schemas.delta import Scan
from schemas.errors import InvalidFeatures
from schemas.loaders import batches_of, packed, rows_by_group
from schemas.spec import Shape
from schemas.tables import feature_array, feature_shape
from schemas.threads import bounded_map
from transforms.runtime import available_cores

_FLOAT_BYTES: Final = 4
_URIS_SHOWN: Final = 3
# A block of a pass in the table's order: as large as a row group.
_BLOCK_BYTES: Final = 16 * 2**20


@dataclasses.dataclass(frozen=True)
class FeatureRows:
    """The features of one column of a snapshot, row group by row group.

    Attributes:
        column: The column.
        shape: The shape of one feature.
        schema: The schema of the table; files of other writers may have other types of strings and lists.
        groups: The row groups, in the order of the snapshot's scans.
        starts: int64 [groups + 1], the number of the first row of each group, and of all rows.
    """

    column: str
    shape: Shape
    schema: pa.Schema
    groups: Sequence[ds.ParquetFileFragment]
    starts: np.ndarray

    @classmethod
    def of(cls, scan: Scan, column: str) -> "FeatureRows":
        """Prepares the rows of a feature column; only the footers of the files are read."""
        groups = scan.to_row_groups()
        shape = feature_shape(scan.schema.field(column))
        if shape is None:
            raise InvalidFeatures(f"The column '{column}' holds no features.")
        return cls(column, shape, scan.schema, groups, np.cumsum([0, *rows_by_group(groups)]))

    @property
    def row_bytes(self) -> int:
        """The bytes of one feature."""
        return _FLOAT_BYTES * int(np.prod(self.shape))

    def read(self, group: int) -> np.ndarray:
        """Reads a row group: float32 [n, *shape]."""
        return feature_array(self._read(group, self.column).combine_chunks(), self.shape)

    def uris(self, rows: np.ndarray) -> list[str]:
        """Reads the URIs of rows, in ascending order of their numbers."""
        found: list[str] = []
        for group in np.unique(np.searchsorted(self.starts, rows, "right") - 1):
            within = rows[(rows >= self.starts[group]) & (rows < self.starts[group + 1])] - self.starts[group]
            found += self._read(int(group), "uri").take(within).to_pylist()
        return found

    def _read(self, group: int, column: str) -> pa.ChunkedArray:
        return self.groups[group].to_table(schema=self.schema, columns=[column]).column(0)


@dataclasses.dataclass(frozen=True)
class SplitRows:
    """The features of one split of the table.

    Attributes:
        rows: The table's features.
        numbers: int64 [n], the numbers of the split's rows, ascending.
        window_bytes: The most bytes of features that are read at once, but one row group at least.
        held: float32 [n, *shape], the features, where they are held in memory.
    """

    rows: FeatureRows
    numbers: np.ndarray
    window_bytes: int
    held: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, places: np.ndarray) -> "SplitRows":
        """Returns some rows of the split, int64 [m], ascending."""
        held = None
        if self.held is not None:
            held = self.held.take(places, 0, _aligned((len(places), *self.rows.shape)), "clip")
        return dataclasses.replace(self, numbers=self.numbers[places], held=held)

    def batches(
        self, batch_size: int, shuffling: np.random.Generator | None = None
    ) -> Iterator[tuple[np.ndarray, ...]]:
        """Yields the split once, in batches of `batch_size`, of which only the last may be smaller.

        Args:
            batch_size: Rows a batch.
            shuffling: Where the order comes from; the table's order where it is None.

        Yields:
            float32 [b, *shape], the features, and int64 [b], the numbers of their rows.
        """
        ordered = (
            (window, np.arange(len(window[1])) if shuffling is None else shuffling.permutation(len(window[1])))
            for window in self._windows(shuffling)
        )
        yield from batches_of(ordered, batch_size)

    def places(
        self, batch_size: int, shuffling: np.random.Generator | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields a split that is held as `batches` does, with int64 [b], where its features are in `held`, for them."""
        order = np.arange(len(self)) if shuffling is None else shuffling.permutation(len(self))
        for start in range(0, len(order), batch_size):
            places = order[start : start + batch_size]
            yield places, self.numbers[places]

    def _windows(self, shuffling: np.random.Generator | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        if self.held is not None:
            yield self.held, self.numbers
            return
        bounds = np.searchsorted(self.numbers, self.rows.starts)
        groups = np.flatnonzero(np.diff(bounds))
        if shuffling is not None:
            groups = shuffling.permutation(groups)
        for window in packed(groups, np.diff(bounds) * self.rows.row_bytes, self.window_bytes):
            numbers = np.concatenate([self.numbers[bounds[group] : bounds[group + 1]] for group in window])
            yield self._read(window, bounds), numbers

    def blocks(self) -> Iterator[np.ndarray]:
        """Yields the split once, in the table's order, in blocks of some row groups.

        The blocks are the same whether the split is held or not, so that sums over them are so to the last bit. Held,
        they are views; else the next ones are read meanwhile, one a core.

        Yields:
            float32 [b, *shape].
        """
        bounds = np.searchsorted(self.numbers, self.rows.starts)
        groups = np.flatnonzero(np.diff(bounds))
        windows = packed(groups, np.diff(bounds) * self.rows.row_bytes, _BLOCK_BYTES)
        if self.held is not None:
            for window in windows:
                yield self.held[bounds[window[0]] : bounds[window[-1] + 1]]
            return
        cores = available_cores()
        with concurrent.futures.ThreadPoolExecutor(cores) as pool:
            yield from bounded_map(pool, lambda window: self._read(window, bounds), windows, cores + 1)

    def _read(self, window: Sequence[int], bounds: np.ndarray) -> np.ndarray:
        """Reads the split's rows of some row groups, of which `bounds` says where in `numbers` they begin and end."""
        features = np.empty((np.diff(bounds)[window].sum(), *self.rows.shape), np.float32)
        filled = 0
        for group in window:
            within = self.numbers[bounds[group] : bounds[group + 1]] - self.rows.starts[group]
            features[filled : filled + len(within)] = self.rows.read(group)[within]
            filled += len(within)
        return features


@dataclasses.dataclass(frozen=True)
class RowsBySplit:
    """The features of the three splits.

    Attributes:
        train: The split that is learned from.
        validation: The split by which the best weights and recipes are chosen.
        test: The split that is looked at in the end.
        streamed: Whether the training split is read window by window.
    """

    train: SplitRows
    validation: SplitRows
    test: SplitRows
    streamed: bool

    def of(self, split: Split) -> SplitRows:
        """Returns a split."""
        return {Split.TRAIN: self.train, Split.VALIDATION: self.validation, Split.TEST: self.test}[split]


def read_splits(
    rows: FeatureRows, splits: np.ndarray, memory_bytes: int, on_train: Callable[[np.ndarray], None]
) -> RowsBySplit:
    """Reads the table once: checks the features, shows those of the training split, and keeps what fits in memory.

    All splits are held where they take at most `memory_bytes` together. Else the training and the test split are read
    in windows of an eighth of it, and the validation split, which every epoch needs, is held if it takes no more than a
    quarter. There are at most four windows at once: training's, validation's, and the next of each.

    Args:
        rows: The features.
        splits: uint8 [n] of `Split`.
        memory_bytes: The most bytes of features that are held at once.
        on_train: Called with the training split's features, float32 [b, *shape], in the table's order.

    Raises:
        InvalidFeatures: If a feature of any split is NaN or infinite.
    """
    numbers = {split: np.flatnonzero(splits == split) for split in SPLITS}
    sizes = {split: len(numbers[split]) * rows.row_bytes for split in SPLITS}
    streamed = sum(sizes.values()) > memory_bytes
    held = {
        split: _aligned((len(numbers[split]), *rows.shape))
        for split in SPLITS
        if not streamed or (split == Split.VALIDATION and sizes[split] <= memory_bytes // 4)
    }
    filled = dict.fromkeys(SPLITS, 0)
    bad: list[np.ndarray] = []
    for group in range(len(rows.groups)):
        start, stop = rows.starts[group], rows.starts[group + 1]
        group_splits = splits[start:stop]
        if (group_splits == Split.LEFT_OUT).all():
            continue
        features = rows.read(group)
        finite = np.isfinite(features).all(axis=tuple(range(1, features.ndim)))
        bad.append(start + np.flatnonzero(~finite & (group_splits != Split.LEFT_OUT)))
        on_train(features[(group_splits == Split.TRAIN) & finite])
        for split, target in held.items():
            found = features[group_splits == split]
            target[filled[split] : filled[split] + len(found)] = found
            filled[split] += len(found)
    _refuse_bad(rows, np.concatenate([np.empty(0, np.int64), *bad]), splits)
    window = memory_bytes // 8
    train, validation, test = (SplitRows(rows, numbers[split], window, held.get(split)) for split in SPLITS)
    return RowsBySplit(train, validation, test, streamed)


def _aligned(shape: Shape) -> np.ndarray:
    """Returns float32 [*shape], undefined, which begins where Arrow's and TensorFlow's buffers do, at 64 bytes."""
    buffer = pa.allocate_buffer(_FLOAT_BYTES * math.prod(shape))
    return np.frombuffer(buffer, np.float32).reshape(shape)


def _refuse_bad(rows: FeatureRows, bad: np.ndarray, splits: np.ndarray) -> None:
    if not len(bad):
        return
    uris = rows.uris(bad[:_URIS_SHOWN])
    further = f" and {len(bad) - len(uris):,} more" if len(bad) > len(uris) else ""
    raise InvalidFeatures(
        f"{len(bad):,} of {np.count_nonzero(splits != Split.LEFT_OUT):,} rows have NaN or infinite features in the "
        f"column '{rows.column}': {', '.join(uris)}{further}."
    )
