"""Parquet manifests: their columns, and their rows by row groups."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.images import REFS_PER_BATCH
from schemas.storage import check_row_groups, open_parquet
from transforms.manifests.columns import Column
from transforms.manifests.streams import READ_BYTES, open_bytes

# Enough to be worth opening the file for.
ROWS_PER_SECTION: Final = 2**17
# Of a file that is compressed as a whole.
_MOST_HELD_BYTES: Final = 2**30


@contextlib.contextmanager
def open_manifest_file(uri: str, compression: str | None) -> Iterator[tuple[pq.ParquetFile, bool]]:
    """Opens a file; one that is compressed as a whole is held in memory, for Parquet is read from its end.

    Yields:
        The file, and whether Arrow's threads may read it.

    Raises:
        pyarrow.ArrowInvalid: If it is no Parquet, or its row groups unpack to more than any table of images.
        OSError: If it cannot be read.
    """
    if compression is None:
        with open_parquet(uri) as (file, threads):
            yield file, threads
        return
    with open_bytes(uri, compression) as stream:
        content = _held(stream)
    file = pq.ParquetFile(pa.BufferReader(content))
    check_row_groups(file.metadata, content.size)
    yield file, True


def _held(stream: pa.NativeFile) -> pa.Buffer:
    held = pa.BufferOutputStream()
    while chunk := stream.read(READ_BYTES):  # A buffer of the whole limit would be allocated at once.
        if held.tell() + len(chunk) > _MOST_HELD_BYTES:
            raise pa.ArrowInvalid(f"it decompresses to more than {_MOST_HELD_BYTES:,} bytes; write it uncompressed")
        held.write(chunk)
    return held.getvalue()


def row_group_sections(file: pq.ParquetFile, rows_per_section: int) -> Iterator[tuple[int, int, int]]:
    """Yields the first row group of each section, the one behind its last, and the rows before it."""
    start = together = before = 0
    for group in range(file.num_row_groups):
        together += file.metadata.row_group(group).num_rows
        if together >= rows_per_section or group + 1 == file.num_row_groups:
            yield start, group + 1, before
            start, together, before = group + 1, 0, before + together


def parquet_rows(
    file: pq.ParquetFile, start: int, end: int, columns: Sequence[Column], *, threads: bool
) -> Iterator[pa.RecordBatch]:
    """Yields rows of row groups in batches.

    Args:
        file: The file.
        start: The first row group.
        end: The one behind the last.
        columns: The columns that are read.
        threads: Whether Arrow's threads may read it.
    """
    sources = [column.source for column in columns]
    names = [column.name for column in columns]
    for batch in file.iter_batches(REFS_PER_BATCH, range(start, end), sources, use_threads=threads):
        yield pa.RecordBatch.from_arrays([batch.column(source) for source in sources], names)
