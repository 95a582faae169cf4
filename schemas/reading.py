"""Reading the rows of one Parquet file, in memory that does not depend on its size."""

from collections.abc import Iterator, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.fragments import ROW_GROUP_BYTES
from schemas.storage import file_system

_ROWS_PER_BATCH: Final = 131_072


def read_schema(file_uri: str) -> pa.Schema:
    """Reads the schema of a file."""
    fs, path = file_system(file_uri)
    with fs.open(path, "rb") as file:
        return pq.read_schema(file)


def read_batches(file_uri: str) -> Iterator[pa.RecordBatch]:
    """Yields the rows of a file in batches of about `ROW_GROUP_BYTES`.

    `iter_batches` takes a number of rows and joins row groups to reach it: its default would hold gigabytes of feature
    maps.
    """
    fs, path = file_system(file_uri)
    with fs.open(path, "rb") as file:
        source = pq.ParquetFile(file)
        groups = (source.metadata.row_group(group) for group in range(source.num_row_groups))
        size = sum(group.total_byte_size for group in groups)
        yield from source.iter_batches(max(1, ROW_GROUP_BYTES * source.metadata.num_rows // max(1, size)))


def read_columns(file_uri: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yields columns of a file's rows, in their order; those that it lacks are left out."""
    fs, path = file_system(file_uri)
    with fs.open(path, "rb") as file:
        parquet = pq.ParquetFile(file)
        names = [name for name in columns if name in parquet.schema_arrow.names]
        yield from parquet.iter_batches(_ROWS_PER_BATCH, columns=names)


def read_keys(file_uri: str) -> Iterator[pa.RecordBatch]:
    """Yields `uri` and, where the file has it, `version` of its rows, in their order."""
    yield from read_columns(file_uri, ("uri", "version"))


def read_uris(file_uri: str) -> pa.Array:
    """Returns the URIs of a file's rows, in their order."""
    fs, path = file_system(file_uri)
    with fs.open(path, "rb") as file:
        return pq.read_table(file, columns=["uri"]).column(0).combine_chunks()
