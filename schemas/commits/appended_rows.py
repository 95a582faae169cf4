"""A few rows that are added to a table: one file, with checksums and synced as all others are, and its commit."""

import uuid

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable
from deltalake.schema import Field

from schemas.delta import write_actions
from schemas.fragments import FragmentWriter, TableName, add_actions
from schemas.storage import join


def append_rows(
    folder_uri: str, name: TableName, table: DeltaTable, rows: pa.Table, properties: CommitProperties
) -> None:
    """Commits rows to a table that is not partitioned; columns that it lacks are added first.

    `write_deltalake` (1.6) prints panics of Rust where the disk is full, and writes files without checksums.

    Args:
        folder_uri: The folder of the tables.
        name: The table.
        table: The snapshot that the commit builds on.
        rows: The rows.
        properties: What the commit carries.

    Raises:
        CommitFailedError: If it lost a conflict.
        OSError: If the file cannot be written.
    """
    present = {field.name for field in table.schema().fields}
    missing = [Field.from_arrow(field) for field in rows.schema if field.name not in present]
    if missing:
        table.alter.add_columns(missing)
    table_uri = join(folder_uri, name)
    with FragmentWriter(table_uri, name, f"{name}-{uuid.uuid4()}.parquet", rows.schema) as writer:
        for batch in rows.to_batches():
            writer.write(batch)
    write_actions(table, add_actions(table_uri, [writer.fragment()]), properties)
