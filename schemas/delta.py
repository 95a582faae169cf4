"""Delta tables: opening, creating, and committing once."""

from collections.abc import Mapping, Sequence

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.transaction import AddAction, RemoveAction

from schemas.storage import delta_location, delta_storage_options

TableAction = AddAction | RemoveAction


def open_table(uri: str, version: int | None = None) -> DeltaTable:
    """Opens a snapshot of a table, the newest unless a version is named.

    Raises:
        TableNotFoundError: If there is no table.
    """
    return DeltaTable(delta_location(uri), version=version, storage_options=delta_storage_options(uri))


def paths_of(table: DeltaTable) -> set[str]:
    """Returns the paths of a snapshot's files, under the table's folder."""
    return set(pa.table(table.get_add_actions(flatten=True))["path"].to_pylist())


def create_table(
    uri: str,
    name: str,
    schema: pa.Schema,
    partition_by: Sequence[str] = (),
    configuration: Mapping[str, str] | None = None,
) -> None:
    """Creates a table in one atomic commit, unless it is there.

    Args:
        uri: The table's folder.
        name: The name that its metadata tell.
        schema: Its schema, partition columns included.
        partition_by: The partition columns.
        configuration: Table properties; Delta knows none of ours, and keeps them.

    Raises:
        DeltaError: If it cannot be written.
    """
    DeltaTable.create(
        delta_location(uri),
        schema,
        mode="ignore",
        partition_by=list(partition_by),
        name=name,
        configuration=configuration,
        storage_options=delta_storage_options(uri),
        raise_if_key_not_exists=False,
    )


def committed(table: DeltaTable, run_id: str) -> bool:
    """Whether a run has committed to a table, by the application transaction that its commit carried."""
    return table.transaction_version(run_id) is not None


def commit_properties(run_id: str) -> CommitProperties:
    """Returns what the commit of a run carries, so that a second one can be told to be one."""
    return CommitProperties(app_transactions=[Transaction(run_id, 1)], custom_metadata={"run_id": run_id})


def commit_actions(table: DeltaTable, run_id: str, actions: Sequence[TableAction], partition_by: Sequence[str]) -> None:
    """Commits file actions of a run in one transaction.

    Raises:
        CommitFailedError: If another commit changed the same files in between.
    """
    table.create_write_transaction(
        list(actions), "append", table.schema(), list(partition_by), commit_properties=commit_properties(run_id)
    )
