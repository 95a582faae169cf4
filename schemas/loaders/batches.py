"""`RowBatches`: the rows of a scan in batches of NumPy arrays, which the loaders of all frameworks are made of."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from schemas.errors import UsageError
from schemas.loaders.order import ALONE, BatchOrder, GroupRows, Reader
from schemas.loaders.windows import batches_of, rows_by_group
from schemas.tables import feature_array, feature_shape

Batch = Mapping[str, np.ndarray]

# What a value that is no feature takes, about: a URI.
_BYTES_PER_VALUE: Final = 100
_BYTES_PER_FLOAT: Final = 4


@dataclasses.dataclass(frozen=True)
class RowBatches:
    """Rows of one snapshot in batches, not read yet.

    The same order, epoch and reader give the same batches, whatever was read before: a training goes on from any step.

    Attributes:
        schema: The columns, as they are asked for.
        table_schema: All columns of the table: files may lack those that were added later.
        groups: The row groups of the snapshot.
        condition: Which rows; None for all.
        order: How they are put into batches.
    """

    schema: pa.Schema
    table_schema: pa.Schema
    groups: Sequence[ds.ParquetFileFragment]
    condition: pc.Expression | None
    order: BatchOrder

    @functools.cached_property
    def rows(self) -> np.ndarray:
        """int64 [groups], the rows of each; read from footers, or counted where there is a condition."""
        if self.condition is None:
            counts = rows_by_group(self.groups)
        else:
            counts = [self._read(group, []).num_rows for group in self.groups]
        return np.array(counts, np.int64)

    def steps(self, reader: Reader) -> int:
        """Returns the batches of an epoch that a rank has, from all of its workers."""
        total = int(self.rows.sum())
        return sum(self.order.steps(total, worker) for worker in reader.together())

    def read(self, epoch: int = 0, step: int = 0, reader: Reader = ALONE) -> Iterator[Batch]:
        """Yields the batches of an epoch; memory stays bounded by two windows, whatever the table's size.

        Args:
            epoch: The epoch, from 0.
            step: How many batches the rank has had already.
            reader: Which process this is.

        Yields:
            Arrays by column, of as many rows each: float32 [b, *shape] of a feature column, numbers [b], else objects
            [b] such as texts, None where there is none.

        Raises:
            UsageError: If a column of whole numbers, or of true and false, lacks some.
            RunFailed: If a row has no feature of the column's shape.
        """
        worker, done = self.order.resumed(step, int(self.rows.sum()), reader)
        ordered = self._ordered(epoch, worker, done * self.order.batch_size)
        for columns in batches_of(ordered, self.order.batch_size):
            yield dict(zip(self.schema.names, columns, strict=True))

    def of_group(self, group: int) -> list[np.ndarray]:
        """Returns the columns of the rows of a row group."""
        return self._columns([GroupRows(group, 0, int(self.rows[group]))])

    def _ordered(self, epoch: int, reader: Reader, skipped: int) -> Iterator[tuple[list[np.ndarray], np.ndarray]]:
        row_bytes = sum(map(_value_bytes, self.schema))
        for number, window in enumerate(self.order.windows(self.rows, row_bytes, epoch, reader)):
            rows = sum(piece.last - piece.first for piece in window)
            if skipped < rows:
                order = self.order.within(rows, epoch, reader, number)
                yield self._columns(window), order[skipped:]
            skipped = max(skipped - rows, 0)

    def _columns(self, window: Sequence[GroupRows]) -> list[np.ndarray]:
        names = self.schema.names
        parts = [
            self._read(self.groups[piece.group], names).slice(piece.first, piece.last - piece.first) for piece in window
        ]
        table = pa.concat_tables(parts)
        return [_as_array(table.column(field.name), field) for field in self.schema]

    def _read(self, group: ds.ParquetFileFragment, columns: Sequence[str]) -> pa.Table:
        return group.to_table(schema=self.table_schema, columns=list(columns), filter=self.condition)


def _value_bytes(field: pa.Field) -> int:
    shape = feature_shape(field)
    return _BYTES_PER_VALUE if shape is None else _BYTES_PER_FLOAT * int(np.prod(shape))


def _as_array(values: pa.ChunkedArray, field: pa.Field) -> np.ndarray:
    """Returns a column as an array; a missing one of a column that is not of whole numbers is NaN.

    Raises:
        UsageError: If it is one of whole numbers, or of true and false, and lacks some.
    """
    shape = feature_shape(field)
    if shape is not None:
        return feature_array(values.combine_chunks(), shape)
    if not is_number(field.type):
        found = np.empty(len(values), object)
        found[:] = values.to_pylist()
        return found
    if values.null_count and not pa.types.is_floating(field.type):
        raise UsageError(
            f"The column '{field.name}' lacks {values.null_count:,} values among rows that are read together: leave "
            f"it out, or such rows, with where=pyarrow.compute.field('{field.name}').is_valid()."
        )
    numbers: np.ndarray = values.to_numpy()
    return numbers


def is_number(kind: pa.DataType) -> bool:
    """Whether the values of a column are numbers, or true and false, which arrays hold as they are."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))
