"""Opening Delta tables, and refusing those that we would misread; the files of a snapshot."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, DeltaProtocolError, TableNotFoundError

from schemas.delta.locations import delta_location, delta_storage_options
from schemas.delta.log_entries import LOG, damaged_entries
from schemas.errors import DamagedFile, UnsupportedTable, first_line, shown
from schemas.storage import check_reachable, file_system, files_below, is_local, join, leaves_folder

# What is done where it is asked for, or asks nothing of us: these tables have no generated or identity columns, no
# constraints, and no change feed.
_KNOWN_TABLE_FEATURES: Final = frozenset({"appendOnly", "invariants", "timestampNtz", "vacuumProtocolCheck"})
_TURNED_ON_BY: Final[Mapping[str, str]] = {
    "delta.columnMapping.mode": "columnMapping",
    "delta.enableChangeDataFeed": "changeDataFeed",
    "delta.enableDeletionVectors": "deletionVectors",
    "delta.appendOnly": "appendOnly",
}
# How `deltalake` (1.6) refuses protocols and schemas; faults of storage begin otherwise.
_REFUSED: Final = re.compile("Kernel error: (Unsupported|Invalid protocol|Schema error)")
# The newest protocol of which the features are looked at.
_READER: Final = 3
_WRITER: Final = 7
_CONSTRAINT: Final = "delta.constraints."
_IN_FIELDS: Final[Mapping[str, str]] = {
    "delta.generationExpression": "generatedColumns",
    "delta.identity.": "identityColumns",
    "delta.invariants": "invariants",
}


def open_table(uri: str, version: int | None = None) -> DeltaTable:
    """Opens a snapshot of a table, the newest unless a version is named.

    Raises:
        TableNotFoundError: If there is no table.
        DamagedFile: If an entry of its log cannot be read, or the newest one is empty.
        UnsupportedTable: If it has features that are not known here.
        StoreUnreachable: If its storage cannot be reached.
    """
    check_reachable(uri)
    try:
        table = DeltaTable(delta_location(uri), version=version, storage_options=delta_storage_options(uri))
    except TableNotFoundError:
        raise
    except DeltaError as error:
        for entry in damaged_entries(uri):
            raise DamagedFile(entry.uri, entry.how) from error
        if isinstance(error, DeltaProtocolError) or _REFUSED.match(str(error)):
            raise UnsupportedTable(f"The table {uri} is not supported here: {first_line(error)}") from error
        raise
    except ValueError as error:  # As `deltalake` (1.6.6) says of actions that lack what they have to have.
        raise DamagedFile(join(uri, LOG), first_line(error)) from error
    if is_local(uri):
        _refuse_empty_entry(join(uri, LOG, f"{table.version():020}.json"))
    _check_features(uri, table)
    return table


def _check_features(uri: str, table: DeltaTable) -> None:
    """Refuses tables that others write in a way that we would misread, or continue wrongly.

    Files of a table with deletion vectors hold rows that are deleted, those of one with column mapping have columns of
    other names. (Delta protocol, "Table Features".)
    """
    protocol = table.protocol()
    if protocol.min_reader_version > _READER or protocol.min_writer_version > _WRITER:
        raise UnsupportedTable(
            f"The table {uri} asks for readers of version {protocol.min_reader_version} and writers of version "
            f"{protocol.min_writer_version}; {_READER} and {_WRITER} are the newest that are supported here."
        )
    named = {*(protocol.reader_features or ()), *(protocol.writer_features or ())}
    unknown = sorted((named - _KNOWN_TABLE_FEATURES) | set(_features_in_use(table)))
    if unknown:
        raise UnsupportedTable(
            f"The table {uri} has the Delta features {', '.join(unknown)}, which are not supported here; another "
            "program has turned them on, and has to turn them off."
        )


def _features_in_use(table: DeltaTable) -> Iterator[str]:
    """Yields features by the properties that turn them on: protocols before the third do not name any."""
    for name, value in table.metadata().configuration.items():
        if name.startswith(_CONSTRAINT):
            yield "checkConstraints"
        elif name in _TURNED_ON_BY and str(value).lower() not in {"none", "false"}:
            yield _TURNED_ON_BY[name]
    in_fields = {name for field in table.schema().fields for name in field.metadata}
    for prefix, feature in _IN_FIELDS.items():
        if any(name.startswith(prefix) for name in in_fields):
            yield feature


def _refuse_empty_entry(entry_uri: str) -> None:
    path = Path(file_system(entry_uri)[1])
    if path.exists() and not path.stat().st_size:
        raise DamagedFile(entry_uri, "it is empty")


def find_table(uri: str) -> DeltaTable | None:
    """Opens the newest snapshot of a table as `open_table` does, or returns None if there is no table."""
    try:
        return open_table(uri)
    except TableNotFoundError:
        return None


def holds_table(uri: str) -> bool:
    """Whether a folder has the log of a table, which is not opened; also where no table of ours could be."""
    fs, path = file_system(join(uri, LOG))
    found: bool = fs.isdir(path)
    return found


def files_of(table: DeltaTable) -> pa.Table:
    """Returns the files of a snapshot, a row each.

    Its columns are those of `DeltaTable.get_add_actions(flatten=True)`: `path` (under the table's folder),
    `size_bytes`, `modification_time`, `num_records`, `partition.<column>`, and `min.<column>`, `max.<column>` and
    `null_count.<column>` for columns with statistics.

    Raises:
        UnsupportedTable: If it names files that are not below its folder.
    """
    files = pa.table(table.get_add_actions(flatten=True))
    _check_paths(table, files.column("path").to_pylist())
    return files


def _check_paths(table: DeltaTable, paths: Sequence[str]) -> None:
    """Refuses tables that name files which are not below their folder."""
    for path in paths:
        if leaves_folder(unquote(path)):
            raise UnsupportedTable(f"The table {table.table_uri} names a file beyond its folder: {shown(path)}")


def paths_of(table: DeltaTable) -> set[str]:
    """Returns the paths of a snapshot's files, under the table's folder."""
    return set(files_of(table)["path"].to_pylist())


def data_files(table_uri: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yields the paths of the Parquet files under a table's folder, committed or not, and what is known of them."""
    for path, info in files_below(table_uri):
        if path.endswith(".parquet") and not path.startswith("_"):
            yield path, info
