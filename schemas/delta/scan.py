"""`Scan`: rows of one snapshot of a table, in whatever form they are wanted."""

import copy
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from deltalake import DeltaTable

from schemas.delta.dataset import dataset_of, of_fragments, row_groups_of
from schemas.delta.row_groups import mapped_features, matching_rows, rows_of_groups
from schemas.errors import RunFailed, UsageError, nearest_names
from schemas.loaders import BatchOrder, Reader, RowBatches, hugging_face_rows, jax_batches, tf_dataset
from schemas.tables import feature_array, feature_shape

if TYPE_CHECKING:
    import datasets
    import pandas as pd
    import tensorflow as tf

    from schemas.loaders.torch_batches import TorchBatches

ROWS_PER_BATCH: Final = 8192

# What loaders shuffle together unless they are told otherwise: eight row groups.
WINDOW_MB: Final = 128

# Row groups that are read ahead of the one that is put into place.
_BATCHES_AHEAD: Final = 4

T = TypeVar("T")
Where: TypeAlias = pc.Expression | Sequence[tuple[str, str, object]]


class Scan:
    """Rows of one snapshot, not read yet. All endings see the same rows in the same order.

    Attributes:
        schema: The Arrow schema of the columns asked for. A feature column has its shape in the field's metadata.
        files: The files of the snapshot, in the order of their rows.
    """

    def __init__(self, table: DeltaTable, columns: Sequence[str] | None = None, where: Where | None = None) -> None:
        """Prepares a scan.

        Args:
            table: A snapshot.
            columns: The columns to read, all of them by default.
            where: A PyArrow expression, or (column, operator, value) triples that must all hold, as in
                `[("split", "=", "train")]`.

        Raises:
            UsageError: If the table has no such column.
        """
        self.files, self._dataset = dataset_of(table)
        self._columns = list(columns) if columns is not None else self._dataset.schema.names
        self._filter = None if where is None else as_expression(where)
        self.schema: pa.Schema = pa.schema(map(self._field, self._columns))

    def to_batches(self, rows_per_batch: int = ROWS_PER_BATCH) -> Iterator[pa.RecordBatch]:
        """Yields record batches of at most `rows_per_batch` rows; memory stays bounded whatever the table's size."""
        scanner = self._dataset.scanner(columns=self._columns, filter=self._filter, batch_size=rows_per_batch)
        yield from (batch for batch in scanner.to_batches() if batch.num_rows)

    def map_features(self, function: Callable[[np.ndarray], T], rows_per_batch: int = ROWS_PER_BATCH) -> Iterator[T]:
        """Yields what a function returns for the features of some rows at a time, in their order.

        It is called on the threads that read and unpack them, of which there are as many as cores, and some more where
        files come from elsewhere. Memory holds a row group for each.

        Args:
            function: Takes float32 [n, *shape] of the scan's only feature column, as its shape says; several threads
                call it at once.
            rows_per_batch: The most rows that it is given, unless a row group of 128 MiB at most has more.

        Raises:
            UsageError: If the scan has not exactly one feature column.
            RunFailed: If a row has no feature of the column's shape.
        """
        name = self._only_feature_column()
        shape = feature_shape(self.schema.field(name)) or ()
        yield from mapped_features(self._dataset, self._filter, name, shape, function, rows_per_batch=rows_per_batch)

    def only(self, columns: Sequence[str]) -> "Scan":
        """Returns a scan of the same rows with some of its columns."""
        fewer = copy.copy(self)
        fewer._columns = list(columns)
        fewer.schema = pa.schema(map(self._field, columns))
        return fewer

    def of_files(self, paths: Collection[str]) -> "Scan":
        """Returns a scan of the rows that are in some of the files."""
        fewer = copy.copy(self)
        pairs = zip(self.files, self._dataset.get_fragments(), strict=True)
        chosen = [(file, fragment) for file, fragment in pairs if file.path in paths]
        fewer.files = tuple(file for file, _ in chosen)
        fewer._dataset = of_fragments(self._dataset, [fragment for _, fragment in chosen])
        return fewer

    def numbers(self) -> np.ndarray:
        """Returns int64 [n], by their numbers in the snapshot, the rows for which the condition holds.

        Reads the columns that the condition is about, and no others, of row groups that may have such rows.
        """
        if self._filter is None:
            return np.arange(sum(file.rows for file in self.files))
        return matching_rows(self._dataset, self._filter)

    def all_rows(self) -> "Scan":
        """Returns a scan of the same columns without the condition."""
        more = copy.copy(self)
        more._filter = None
        return more

    def take(self, rows: np.ndarray) -> pa.Table:
        """Reads some rows; without a condition no row group but theirs.

        Args:
            rows: int64 [n], their numbers in the order of the other endings; in any order, also more than once.
        """
        wanted, places = np.unique(rows, return_inverse=True)
        taken = (
            rows_of_groups(self._dataset, self.files, wanted, self._columns)
            if self._filter is None
            else self._taken_of_all(wanted)
        )
        parts = [self.schema.empty_table(), *(part.cast(self.schema) for part in taken)]
        return pa.concat_tables(parts).take(pa.array(places))

    def _taken_of_all(self, wanted: np.ndarray) -> Iterator[pa.Table]:
        """Yields some rows, ascending, of those for which the condition holds, all of which are read."""
        first = 0
        for batch in self.to_batches():
            begin, end = np.searchsorted(wanted, (first, first + batch.num_rows))
            yield pa.table(batch.take(pa.array(wanted[begin:end] - first)))
            first += batch.num_rows

    def to_row_groups(self) -> list[ds.ParquetFileFragment]:
        """Returns the row groups of the whole snapshot, none of them read yet, in the order of the other endings."""
        return row_groups_of(self._dataset)

    def count(self) -> int:
        """Returns the number of rows."""
        return int(self._dataset.count_rows(filter=self._filter))

    def to_arrow(self) -> pa.Table:
        """Returns the rows as an Arrow table."""
        table: pa.Table = self._dataset.to_table(columns=self._columns, filter=self._filter)
        return table.cast(self.schema)

    def to_pandas(self) -> "pd.DataFrame":
        """Returns the rows as a DataFrame; a feature is one NumPy array a row."""
        frame: pd.DataFrame = self.to_arrow().to_pandas()
        return frame

    def to_numpy(self, column: str | None = None) -> np.ndarray:
        """Returns one column as an array.

        Args:
            column: The column; by default the only feature column among the scan's.

        Returns:
            float32 [n, D] or [n, H, W, C] for a feature column, as its shape says, else [n]. Features are not copied
            where the rows come from one row group, else put into their place while the next ones are read.

        Raises:
            UsageError: If there is no such column, or none is named and the scan has not exactly one feature column.
            RunFailed: If a row has no feature of the column's shape.
        """
        name = column or self._only_feature_column()
        shape = feature_shape(self._field(name))
        if shape is None:
            values: np.ndarray = self._dataset.to_table(columns=[name], filter=self._filter).column(0).to_numpy()
            return values
        rows = self._dataset.count_rows(filter=self._filter)
        scanner = self._dataset.scanner(columns=[name], filter=self._filter, batch_readahead=_BATCHES_AHEAD)
        parts = (feature_array(batch.column(0), shape) for batch in scanner.to_batches())
        return _in_one_array(parts, (rows, *shape))

    def to_torch(
        self, batch_size: int, *, shuffle: bool = False, seed: int = 0, window_mb: int = WINDOW_MB
    ) -> "TorchBatches":
        """Returns the rows as an `IterableDataset` of PyTorch, in batches, for a `DataLoader` with `batch_size=None`.

        A batch is a dictionary by column: float32 [b, *shape] of a feature column, [b] of numbers, else a list. The
        workers of the loader divide the rows among them, and so do the ranks of `torch.distributed`; with `shuffle`
        each rank has as many batches as the others, for which up to one row a rank is left out, another one in each
        epoch. `set_epoch(epoch, step)` chooses the order, and the step from which a training goes on. Memory stays
        bounded by two windows a worker.

        Args:
            batch_size: Rows a batch.
            shuffle: Whether row groups come in another order in each epoch, and rows are shuffled within windows.
            seed: Another seed gives another order.
            window_mb: The most megabytes that are read and shuffled together; a row group has some 16.
        """
        from schemas.loaders.torch_batches import TorchBatches

        return TorchBatches(self._batches(batch_size, shuffle=shuffle, seed=seed, window_mb=window_mb))

    def to_tf(
        self,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        epoch: int = 0,
        step: int = 0,
        rank: int = 0,
        ranks: int = 1,
        window_mb: int = WINDOW_MB,
    ) -> "tf.data.Dataset":
        """Returns the rows as a `tf.data.Dataset` of batches, dictionaries by column; each iteration is the next epoch.

        Features and numbers are as with `to_torch`; texts are strings, empty where a row has none.

        Args:
            batch_size: Rows a batch.
            shuffle: See `to_torch`.
            seed: Another seed gives another order.
            epoch: The epoch of the first iteration.
            step: The batches of that epoch that are left out, to go on where a training ended.
            rank: Which of several processes this is, from 0; each has a part of the rows.
            ranks: How many there are.
            window_mb: See `to_torch`.

        Raises:
            UsageError: If a column is neither of features nor of numbers nor of texts, or there is no such rank.
        """
        batches = self._batches(batch_size, shuffle=shuffle, seed=seed, window_mb=window_mb)
        return tf_dataset(batches, epoch, step, Reader(rank, ranks))

    def to_jax(
        self,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        epoch: int = 0,
        step: int = 0,
        rank: int = 0,
        ranks: int = 1,
        window_mb: int = WINDOW_MB,
    ) -> Iterator[dict[str, Any]]:
        """Yields the batches of one epoch, dictionaries by column: arrays of JAX, and lists; see `to_tf`."""
        batches = self._batches(batch_size, shuffle=shuffle, seed=seed, window_mb=window_mb)
        return jax_batches(batches, epoch, step, Reader(rank, ranks))

    def to_huggingface(self) -> "datasets.IterableDataset":
        """Returns the rows as an `IterableDataset` of Hugging Face's package `datasets`, a shard a row group.

        What that class has for it shuffles, divides the rows among nodes and workers, and resumes.
        """
        return hugging_face_rows(self._batches(1, shuffle=False, seed=0, window_mb=WINDOW_MB))

    def _batches(self, batch_size: int, *, shuffle: bool, seed: int, window_mb: int) -> RowBatches:
        order = BatchOrder(batch_size, shuffle, seed, window_mb * 10**6)
        return RowBatches(self.schema, self._dataset.schema, self.to_row_groups(), self._filter, order)

    def _field(self, name: str) -> pa.Field:
        names = self._dataset.schema.names
        if name not in names:
            raise UsageError(f"The table has no column '{name}'{nearest_names(name, names) or '.'}")
        return self._dataset.schema.field(name)

    def _only_feature_column(self) -> str:
        names = [field.name for field in self.schema if feature_shape(field) is not None]
        if len(names) != 1:
            raise UsageError(f"to_numpy() reads one column and the scan has {len(names)} feature columns; name one.")
        return str(names[0])


def as_expression(where: Where) -> pc.Expression:
    """Returns what a scan is given as its condition as a PyArrow expression."""
    return where if isinstance(where, pc.Expression) else pq.filters_to_expression([list(where)])


def _in_one_array(parts: Iterator[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Returns float32 parts in one array; a part that is all there is comes back as it is."""
    whole: np.ndarray | None = None
    start = 0
    for part in parts:
        if len(part) == shape[0]:
            return part
        if whole is None:
            whole = np.empty(shape, np.float32)
        whole[start : start + len(part)] = part
        start += len(part)
    if start != shape[0]:
        raise RunFailed(f"The table has {start:,} rows, and {shape[0]:,} by the footers of its files.")
    return np.empty(shape, np.float32) if whole is None else whole
