"""Writing the rows of committed files into a new one. Files are never changed."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from schemas.fragments import ROW_GROUP_BYTES, Fragment, FragmentWriter, TableName
from schemas.storage import file_system, join

Keep = Callable[[pa.RecordBatch], pa.Array]

COMPACTED: Final = "compacted"
TAKEDOWN: Final = "takedown"


def merge_files(
    table_uri: str, name: TableName, table: DeltaTable, paths: Sequence[str], *, why: str, keep: Keep | None = None
) -> Fragment:
    """Writes the rows of files of one partition into one new file; holds two row groups in memory.

    Args:
        table_uri: The table's folder.
        name: The table.
        table: A snapshot; the new file has its columns, those that an old file lacks filled with nulls.
        paths: The files, under the folder.
        why: The beginning of the new file's name.
        keep: Says which rows of a batch are kept, as booleans; all of them unless given.

    Returns:
        The new file. Nothing is committed.
    """
    partitioned_by = set(table.metadata().partition_columns)
    schema = pa.schema([field for field in pa.schema(table.schema()) if field.name not in partitioned_by])
    new_path = join(paths[0].rpartition("/")[0], f"{why}-{uuid.uuid4()}.parquet").lstrip("/")
    with FragmentWriter(table_uri, name, new_path, schema) as writer:
        for path in paths:
            for rows in read_batches(join(table_uri, path)):
                batch = _with_schema(rows, schema)
                writer.write(batch.filter(keep(batch)) if keep else batch)
    return writer.fragment()


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


def _with_schema(rows: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = [
        rows.column(field.name).cast(field.type)
        if field.name in rows.schema.names
        else pa.nulls(rows.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
