"""Columns that a manifest carries along: added to `features`, or wider from then on, in every file of it at once."""

import uuid
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError
from deltalake.schema import Field

from schemas.delta import LOST_CONFLICTS, UPKEEP, TableAction, commit_once, commit_properties, open_table, paths_of
from schemas.errors import InvalidInput, RunFailed, first_line
from schemas.fragments import WIDENED, TableName, add_actions, write_again
from schemas.spec import FeatureSpec
from schemas.storage import join
from schemas.tables import carried_fields, features_schema, file_schema


def add_carried(store_uri: str, spec: FeatureSpec, wanted: Sequence[pa.Field]) -> tuple[pa.Field, ...]:
    """Adds columns to `features`, where it lacks them; see `FeatureStore.carry`."""
    features_schema(spec, wanted)
    for _ in range(LOST_CONFLICTS):
        table = open_table(join(store_uri, TableName.FEATURES))
        present = pa.schema(table.schema())
        wider = {field.name: pa.float64() for field in wanted if _gets_wider(field, present)}
        if any(present.field(name).type != kind for name, kind in wider.items()):
            widen_columns(store_uri, wider)
            continue
        missing = [field for field in carried_fields(wanted) if field.name not in present.names]
        if not missing:
            return tuple(field.with_type(wider.get(field.name, field.type)) for field in wanted)
        try:
            table.alter.add_columns([Field.from_arrow(field) for field in missing])
        except CommitFailedError as error:
            lost = error  # Another run has added columns at the same moment, these perhaps.
    raise RunFailed(f"The columns of the manifest could not be added to {store_uri}: {first_line(lost)}") from lost


def fields_as_stored(present: pa.Schema, carried: Iterable[pa.Field]) -> tuple[pa.Field, ...]:
    """Returns the fields of columns with the types that `add_carried` gives them; changes nothing.

    Args:
        present: The schema of `features`.
        carried: The fields, as a manifest has them.

    Raises:
        InvalidInput: If a column is there with a type that does not hold both.
    """
    return tuple(field.with_type(pa.float64()) if _gets_wider(field, present) else field for field in carried)


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


def _gets_wider(field: pa.Field, present: pa.Schema) -> bool:
    """Whether a column of whole numbers and one of other numbers meet, so that it becomes one of these.

    Raises:
        InvalidInput: If the column is there with a type that does not hold both.
    """
    kind = present.field(field.name).type if field.name in present.names else field.type
    if kind == field.type:
        return False
    if {kind, field.type} == {pa.int64(), pa.float64()}:
        return True
    raise InvalidInput(
        f"The manifest's column '{field.name}' is {field.type}, in the store it is {kind}; convert it, or leave it "
        "out: --carry names the columns that are carried along."
    )
