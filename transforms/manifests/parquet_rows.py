"""Parquet manifests: their columns, and their rows by row groups."""

from collections.abc import Iterator, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.images import REFS_PER_BATCH
from transforms.manifests.columns import Column
from transforms.manifests.streams import open_bytes

# Enough to be worth opening the file for.
ROWS_PER_SECTION: Final = 2**17


def open_parquet_manifest(uri: str, compression: str | None) -> pq.ParquetFile:
    """Opens a file; one that is compressed as a whole is held in memory, for Parquet is read from its end.

    Raises:
        pyarrow.ArrowInvalid: If it is no Parquet.
        OSError: If it cannot be read.
    """
    stream = open_bytes(uri, compression)
    return pq.ParquetFile(pa.BufferReader(stream.read()) if compression else stream)


def row_group_sections(file: pq.ParquetFile, rows_per_section: int) -> Iterator[tuple[int, int, int]]:
    """Yields the first row group of each section, the one behind its last, and the rows before it."""
    start = together = before = 0
    for group in range(file.num_row_groups):
        together += file.metadata.row_group(group).num_rows
        if together >= rows_per_section or group + 1 == file.num_row_groups:
            yield start, group + 1, before
            start, together, before = group + 1, 0, before + together


def parquet_rows(
    file: pq.ParquetFile, start: int, end: int, columns: Sequence[Column], *, on_disk: bool
) -> Iterator[pa.RecordBatch]:
    """Yields rows of row groups in batches.

    Args:
        file: The file.
        start: The first row group.
        end: The one behind the last.
        columns: The columns that are read.
        on_disk: Whether Arrow reads it by itself: its threads may outlive Python objects that they call.
    """
    sources = [column.source for column in columns]
    names = [column.name for column in columns]
    for batch in file.iter_batches(REFS_PER_BATCH, range(start, end), sources, use_threads=on_disk):
        yield pa.RecordBatch.from_arrays([batch.column(source) for source in sources], names)
