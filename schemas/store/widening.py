"""Wider columns: whole numbers that become numbers with fractions, in every file of a table at once."""

import uuid
from collections.abc import Mapping

import pyarrow as pa
from deltalake import DeltaTable

from schemas.delta import UPKEEP, TableAction, commit_once, commit_properties, paths_of
from schemas.fragments import WIDENED, TableName, add_actions, write_again
from schemas.storage import join
from schemas.tables import file_schema


def widen_columns(store_uri: str, kinds: Mapping[str, pa.DataType]) -> None:
    """Gives columns of `features` other types, to which their values can be cast.

    Every file is written again, because most readers of Delta tables take the types of files for those of the table;
    one commit swaps them all. What was written for nothing, where others committed meanwhile, is left to `vacuum`.

    Args:
        store_uri: The store.
        kinds: The new types by column.

    Raises:
        RunFailed: If others commit faster than this can.
    """
    table_uri, commit_id = join(store_uri, TableName.FEATURES), f"widen/{uuid.uuid4()}"

    def write(table: DeltaTable) -> bool:
        present = pa.schema(table.schema())
        wider = pa.schema([field.with_type(kinds.get(field.name, field.type)) for field in present])
        if wider == present:
            return False
        partitioned_by = table.metadata().partition_columns
        schema = file_schema(wider, partitioned_by)
        written = [
            write_again(table_uri, TableName.FEATURES, [path], WIDENED, schema=schema)
            for path in sorted(paths_of(table))
        ]
        properties = commit_properties(commit_id, {UPKEEP: "widen"}, table.version())
        # Overwriting takes out every file of the snapshot and brings the new schema.
        actions: list[TableAction] = [*add_actions(table_uri, written)]
        table.create_write_transaction(actions, "overwrite", wider, partitioned_by, commit_properties=properties)
        return True

    commit_once(table_uri, commit_id, write)
