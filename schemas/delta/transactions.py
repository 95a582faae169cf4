"""Delta tables: opening, creating, and committing once.

A commit is tried again until the log holds it. The log alone decides: an answer that was lost, an error after the fact
and a worker that did the same before all look alike, and the next look at the log distinguishes them.
"""

import concurrent.futures
import functools
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import unquote

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import (
    CommitFailedError,
    DeltaError,
    DeltaProtocolError,
    SchemaMismatchError,
    TableNotFoundError,
)
from deltalake.transaction import AddAction, RemoveAction

from schemas.delta.log_entries import LOG, damaged_entries, entry_actions
from schemas.errors import DamagedFile, RunFailed, UnsupportedTable, first_line, shown
from schemas.storage import (
    check_reachable,
    committing,
    delta_location,
    delta_storage_options,
    file_system,
    files_below,
    is_local,
    join,
    leaves_folder,
    sync_file,
)

TableAction = AddAction | RemoveAction

# Two commits from one snapshot that both carry this application transaction are a conflict, even if both only append.
CONFLICT_TOKEN: Final = "convbase"  # noqa: S105 (no secret)
# What stands in the log beside a commit: the run or the upkeep command that made it, and its name.
RUN_ID: Final = "run_id"
UPKEEP: Final = "upkeep"
COMMIT_ID: Final = "commit_id"

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

# Each lost conflict is another writer's commit: far more than writers that are likely to meet.
LOST_CONFLICTS: Final = 64
# `deltalake` tries a request ten times by itself before it says that the storage is at fault.
_FAULTS: Final = 3
_FIRST_PAUSE_SECONDS: Final = 0.1
# Requests for entries of a log that are under way: one takes some 30 ms on cloud storage.
_REQUESTS: Final = 16
_LONGEST_PAUSE_SECONDS: Final = 5.0


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


def find_table(uri: str, version: int | None = None) -> DeltaTable | None:
    """Opens a snapshot of a table as `open_table` does, or returns None if there is no table."""
    try:
        return open_table(uri, version)
    except TableNotFoundError:
        return None


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


def create_table(
    uri: str,
    name: str,
    schema: pa.Schema,
    partition_by: Sequence[str] = (),
    configuration: Mapping[str, str] | None = None,
) -> None:
    """Creates a table in one atomic commit, unless it is there, or another process makes it at the same moment.

    Args:
        uri: The table's folder.
        name: The name that its metadata tell.
        schema: Its schema, partition columns included.
        partition_by: The partition columns.
        configuration: Table properties; Delta knows none of ours, and keeps them.

    Raises:
        DeltaError: If it cannot be written.
    """
    try:
        DeltaTable.create(
            delta_location(uri),
            schema,
            mode="ignore",
            partition_by=list(partition_by),
            name=name,
            configuration=configuration,
            storage_options=delta_storage_options(uri),
            raise_if_key_not_exists=False,
            commit_properties=CommitProperties(max_commit_retries=0),
        )
    except CommitFailedError:
        # "ignore" looks first and then writes. The second writer gets an error only without retries: with
        # them `deltalake` may put a second creation, with a spec of its own, behind the first (1.6.6).
        open_table(uri)
    _sync_commits(uri, 0, 0)


def committed(table: DeltaTable, commit_id: str) -> bool:
    """Whether a commit is in a table, by the application transaction that it carried."""
    return table.transaction_version(commit_id) is not None


def commit_properties(
    commit_id: str,
    metadata: Mapping[str, str],
    token: int | None = None,
    marks: Mapping[str, int] = MappingProxyType({}),
) -> CommitProperties:
    """Returns what a commit carries, so that a second one can be recognised.

    Args:
        commit_id: Its name, which no other commit to the table has.
        metadata: What stands beside it in the log; who made it (`RUN_ID`, `UPKEEP`), among others.
        token: The version of the snapshot that was looked at, if the commit has to fail where another has
            carried the conflict token since. Without it, `deltalake` puts appends behind whatever was committed in
            between.
        marks: Further application transactions, by name. Their numbers are part of every later snapshot, also when the
            log has expired; `DeltaTable.transaction_version` tells them.
    """
    transactions = [Transaction(name, number) for name, number in {commit_id: 1, **marks}.items()]
    if token is not None:
        transactions.append(Transaction(CONFLICT_TOKEN, token + 1))
    return CommitProperties(app_transactions=transactions, custom_metadata={**metadata, COMMIT_ID: commit_id})


def find_commit(uri: str, table: DeltaTable, commit_id: str) -> tuple[int, dict[str, Any]]:
    """Returns the version of a commit that is in a table, and what stands beside it in the log.

    Raises:
        LookupError: If its entry is not in the log any more.
    """
    for version in range(table.version(), -1, -1):
        metadata = commit_info(uri, version)
        if metadata is None:
            break
        if metadata.get(COMMIT_ID) == commit_id:
            return version, metadata
    raise LookupError(f"The log of {uri} has no entry of the commit {commit_id} any more.")


def commit_info(uri: str, version: int) -> dict[str, Any] | None:
    """Returns what the commit of a version says of itself, or None if the log has expired there.

    `DeltaTable.history` finds no log in a folder with a `#` or a space in its name (1.6.6).

    Raises:
        DamagedFile: If the entry cannot be read.
    """
    actions = entry_actions(uri, version)
    if actions is None:
        return None
    return next((action["commitInfo"] for action in actions if action.get("commitInfo")), {})


def commits_between(uri: str, after: int, last: int) -> list[tuple[int, dict[str, Any]]]:
    """Returns the versions of a table after one, up to another, and what their commits say of themselves.

    Versions whose entries have expired are left out.
    """
    versions = range(after + 1, last + 1)
    with concurrent.futures.ThreadPoolExecutor(_REQUESTS, "log") as pool:
        infos = pool.map(functools.partial(commit_info, uri), versions)
        return [(version, info) for version, info in zip(versions, infos, strict=True) if info is not None]


def write_actions(table: DeltaTable, actions: Sequence[TableAction], properties: CommitProperties) -> None:
    """Commits file actions in one transaction.

    Raises:
        CommitFailedError: If it lost a conflict, or another commit changed the same files in between.
    """
    partitioned_by = table.metadata().partition_columns
    with committing():
        table.create_write_transaction(
            list(actions), "append", table.schema(), partitioned_by, commit_properties=properties
        )


def commit_once(uri: str, commit_id: str, write: Callable[[DeltaTable], bool]) -> DeltaTable:
    """Commits to a table until its log holds the commit, once.

    Args:
        uri: The table's folder.
        commit_id: The name of the commit; it carries the application transaction of this name.
        write: Is given the newest snapshot, looks at it, and writes the commit on it; False if there is nothing to
            write. It is called again, with a newer snapshot, where it raises `CommitFailedError` or where the storage
            is at fault.

    Returns:
        A snapshot that holds the commit, or one on which there was nothing to write.

    Raises:
        FileNotFoundError: If a file that is to be committed is missing.
        RunFailed: If others were faster too often, or the storage stays at fault.
    """
    lost_turns = faults = 0
    looked_at = None
    while True:
        try:
            table = open_table(uri)
            if committed(table, commit_id):
                _sync_commits(uri, table.version() if looked_at is None else looked_at + 1, table.version())
                return table
            looked_at = table.version()
            if not write(table):
                return table
        except CommitFailedError as error:
            lost_turns += 1
            problem: Exception = error
        except FileNotFoundError as error:
            # A file of the table may have been superseded and vacuumed since; one of ours is missing for good.
            if looked_at is None or open_table(uri).version() == looked_at:
                raise
            lost_turns += 1
            problem = error
        except (TableNotFoundError, SchemaMismatchError, DeltaProtocolError):
            raise
        except (DeltaError, OSError) as error:
            faults += 1
            problem = error
        else:
            continue
        if lost_turns > LOST_CONFLICTS or faults > _FAULTS:
            raise RunFailed(
                f"The commit to {uri} failed, and was not seen to succeed: {first_line(problem)}"
            ) from problem
        _pause(lost_turns + faults)


def _sync_commits(uri: str, first: int, last: int) -> None:
    """Syncs the log's entries of some versions, after the files that they add; `deltalake` syncs nothing."""
    if not is_local(uri):
        return
    for version in range(first, last + 1):
        for action in entry_actions(uri, version) or ():  # The log of old versions expires.
            if action.get("add"):
                sync_file(join(uri, unquote(action["add"]["path"])))
        sync_file(join(uri, LOG, f"{version:020}.json"))


def _pause(attempt: int) -> None:
    """Waits at random, longer each time, so that those who met do not meet again."""
    longest = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** min(attempt, 10))
    time.sleep(random.uniform(0, longest))  # noqa: S311 (no secret)
