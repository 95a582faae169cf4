"""Creating Delta tables, and committing to them once.

A commit is tried again until the log holds it. The log alone decides: an answer that was lost, an error after the fact
and a worker that did the same before all look alike, and the next look at the log distinguishes them.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final
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

from schemas.delta.locations import delta_location, delta_storage_options
from schemas.delta.log_entries import LOG, entry_actions
from schemas.delta.opening import open_table
from schemas.errors import RunFailed, first_line
from schemas.storage import committing, is_local, join, sync_file

TableAction = AddAction | RemoveAction

# Two commits from one snapshot that both carry this application transaction are a conflict, even if both only append.
CONFLICT_TOKEN: Final = "convbase"  # noqa: S105 (no secret)
# What stands in the log beside a commit: the run or the upkeep command that made it, and its name.
RUN_ID: Final = "run_id"
UPKEEP: Final = "upkeep"
COMMIT_ID: Final = "commit_id"

# Each lost conflict is another writer's commit: far more than writers that are likely to meet.
LOST_CONFLICTS: Final = 64
# `deltalake` tries a request ten times by itself before it says that the storage is at fault.
_FAULTS: Final = 3
_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 5.0


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
