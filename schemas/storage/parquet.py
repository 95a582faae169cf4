"""Reading the rows of one Parquet file, in memory that does not depend on its size; pages are checked.

Every function that reads rows raises `DamagedFile` where the file is not the Parquet that was written. Columns have the
types of `plain_type`, whoever has written them.

Arrow's threads read local files, and none that Python reads for it: a thread that drops a Python object while the
interpreter ends is ended by force (until Python 3.14), and takes the process with it (exit code 134).
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple, TypeVar

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from schemas.errors import DamagedFile, first_line
from schemas.storage.filesystems import file_system, input_file_system

ROW_GROUP_BYTES: Final = 16 * 2**20

_ROWS_PER_BATCH: Final = 131_072

_LISTS: Final = (pa.types.is_list, pa.types.is_large_list, pa.types.is_list_view, pa.types.is_large_list_view)

Rows = TypeVar("Rows", pa.RecordBatch, pa.Table)

# What a row group of a stranger's may unpack to, whatever the size of its file, and for each byte of that. Pages are
# unpacked as a whole, those of several columns at once. Writers make row groups of some 128 MB, and URIs are packed by
# 5 to 50.
_MOST_UNPACKED_BYTES: Final = 2**28
_MOST_ROWS: Final = 2**24
_MOST_EXPANSION: Final = 200


class OpenedParquet(NamedTuple):
    """An open Parquet file.

    Attributes:
        file: The file.
        threads: Whether Arrow's threads may read it; every read is told so.
    """

    file: pq.ParquetFile
    threads: bool


@contextmanager
def open_parquet(file_uri: str, *, buffer_bytes: int = 0) -> Iterator[OpenedParquet]:
    """Opens a Parquet file of an input, whoever has written it; one in a bucket through what reads inputs.

    Args:
        file_uri: The file.
        buffer_bytes: Columns are read so many bytes at a time, instead of whole row groups ahead.

    Raises:
        pyarrow.ArrowInvalid: If it is none, or its row groups unpack to more than any table of images.
        OSError: If it cannot be read.
    """
    with _opened(*input_file_system(file_uri), buffer_bytes) as (opened, size):
        check_row_groups(opened.file.metadata, size)
        yield opened


def check_row_groups(metadata: pq.FileMetaData, size: int) -> None:
    """Refuses a file that says of itself that it unpacks to far more than it has bytes for.

    Arrow takes memory for what a page says of itself, and has no limit for that; so what the footer says is looked at.

    Args:
        metadata: The footer.
        size: The bytes of the file.

    Raises:
        pyarrow.ArrowInvalid: If it is such a file.
    """
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for count, most, of_what in (
            (group.total_byte_size, _MOST_UNPACKED_BYTES, "bytes"),
            (group.num_rows, _MOST_ROWS, "rows"),
        ):
            allowed = max(most, _MOST_EXPANSION * size)
            if not 0 <= count <= allowed:
                raise pa.ArrowInvalid(
                    f"row group {number} has {count:,} {of_what}; {allowed:,} are the most in a file of {size:,} bytes"
                )


@contextmanager
def _opened(fs: fsspec.AbstractFileSystem, path: str, buffer_bytes: int = 0) -> Iterator[tuple[OpenedParquet, int]]:
    """Opens a Parquet file, and yields it and its size."""
    is_local = isinstance(fs, LocalFileSystem)
    with pa.OSFile(path) if is_local else fs.open(path, "rb") as file:
        size = file.seek(0, io.SEEK_END)
        # To buffer column chunks ahead is threads' work, too.
        ahead = is_local and not buffer_bytes
        opened = pq.ParquetFile(file, pre_buffer=ahead, buffer_size=buffer_bytes, page_checksum_verification=True)
        yield OpenedParquet(opened, is_local), size


@contextmanager
def _open(file_uri: str) -> Iterator[OpenedParquet]:
    try:
        with _opened(*file_system(file_uri)) as (opened, _):
            yield opened
    except (pa.ArrowInvalid, OSError) as error:
        if not _is_arrows(error):
            raise
        raise DamagedFile(file_uri, first_line(error).rstrip(".")) from error


def _is_arrows(error: Exception) -> bool:
    """Whether Arrow found fault with the bytes; the errors of a storage have a number, or a class of their own."""
    return isinstance(error, pa.ArrowInvalid) or (type(error) is OSError and error.errno is None)


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Returns the type by which this package holds values of a type.

    Parquet keeps the Arrow types of whoever has written it, and other writers of a Delta table have views, dictionaries
    and offsets of 64 bits: `deltalake` does where it deletes rows or compacts.

    >>> plain_type(pa.string_view()), plain_type(pa.large_list(pa.dictionary(pa.int32(), pa.string())))
    (DataType(string), ListType(list<item: string>))
    """
    if pa.types.is_dictionary(kind):
        return plain_type(kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    if any(is_list(kind) for is_list in _LISTS):
        return pa.list_(kind.value_field.with_type(plain_type(kind.value_type)))
    return kind


def _plain_schema(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field.with_type(plain_type(field.type)) for field in schema], schema.metadata)


def _plain(rows: Rows) -> Rows:
    """Returns rows with plain types, those that have them already as they are."""
    schema = _plain_schema(rows.schema)
    return rows if schema.equals(rows.schema) else rows.cast(schema)


def row_count(file_uri: str) -> int:
    """Reads the number of rows of a file, which its footer has."""
    with _open(file_uri) as (file, _):
        return int(file.metadata.num_rows)


def read_schema(file_uri: str) -> pa.Schema:
    """Reads the schema of a file."""
    with _open(file_uri) as (file, _):
        return _plain_schema(file.schema_arrow)


def read_batches(file_uri: str) -> Iterator[pa.RecordBatch]:
    """Yields the rows of a file in batches of about `ROW_GROUP_BYTES`.

    `iter_batches` takes a number of rows and joins row groups to reach it: its default would hold gigabytes of feature
    maps.
    """
    with _open(file_uri) as (file, threads):
        groups = (file.metadata.row_group(group) for group in range(file.num_row_groups))
        size = sum(group.total_byte_size for group in groups)
        rows = max(1, ROW_GROUP_BYTES * file.metadata.num_rows // max(1, size))
        yield from map(_plain, file.iter_batches(rows, use_threads=threads))


def read_columns(
    file_uri: str, columns: Sequence[str], rows_per_batch: int = _ROWS_PER_BATCH
) -> Iterator[pa.RecordBatch]:
    """Yields columns of a file's rows, in their order; those that it lacks are left out."""
    with _open(file_uri) as (file, threads):
        names = [name for name in columns if name in file.schema_arrow.names]
        yield from map(_plain, file.iter_batches(rows_per_batch, columns=names, use_threads=threads))


def read_column(file_uri: str, column: str) -> pa.Array:
    """Returns one column of a file's rows, in their order."""
    with _open(file_uri) as (file, threads):
        return _plain(file.read([column], use_threads=threads)).column(0).combine_chunks()


def read_rows(file_uri: str, rows: Sequence[int], columns: Sequence[str]) -> Iterator[tuple[list[int], pa.Table]]:
    """Reads single rows of a file, a row group at a time.

    Args:
        file_uri: The file.
        rows: Which rows, in any order, also more than once.
        columns: The columns to read.

    Yields:
        Indices into `rows`, and a table with these rows, in the same order.
    """
    wanted, first = np.asarray(rows), 0
    with _open(file_uri) as (file, threads):
        for group in range(file.num_row_groups):
            after = first + file.metadata.row_group(group).num_rows
            here = np.flatnonzero((first <= wanted) & (wanted < after))
            if len(here):
                table = _plain(file.read_row_group(group, columns=columns, use_threads=threads))
                yield here.tolist(), table.take(wanted[here] - first)
            first = after


def read_keys(file_uri: str) -> Iterator[pa.RecordBatch]:
    """Yields `uri` and, where the file has it, `version` of its rows, in their order."""
    yield from read_columns(file_uri, ("uri", "version"))
