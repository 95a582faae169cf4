"""Fragments on their way into a table: one commit, checked against everything that others committed since.

Of an image that failed before, in the same version, the row goes in the commit that brings the new one: `failures` has
one row of each version of an image, the newest.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from deltalake import DeltaTable

from schemas.commits.annotation_updates import FileUpdate, updates_on
from schemas.commits.conflicts import Dropped, files_since, without_committed
from schemas.commits.removal import replaced_failures_actions, superseding_actions
from schemas.delta import (
    RUN_ID,
    TableAction,
    commit_once,
    commit_properties,
    committed,
    find_commit,
    find_table,
    open_table,
    paths_of,
    write_actions,
)
from schemas.fragments import Fragment, TableName, Totals, add_actions
from schemas.storage import join

# What stands in the log beside a commit: what it brought, as JSON.
TOTALS: Final = "totals"

# An image that has features since is no failure any more, and one that was taken down is to leave no row.
_CHECKED: Final = {
    TableName.FEATURES: (TableName.FEATURES, TableName.TAKEDOWNS),
    TableName.FAILURES: (TableName.FAILURES, TableName.FEATURES, TableName.TAKEDOWNS),
}


@dataclasses.dataclass(frozen=True)
class Commit:
    """What a commit of fragments brought into its table.

    Attributes:
        version: The version of the table; the newest one if there was nothing to commit.
        totals: What was committed, without the rows that others had committed.
    """

    version: int
    totals: Totals


@dataclasses.dataclass(frozen=True)
class _Checked:
    """Fragments without the rows that other commits brought, up to the versions of the tables that were looked at.

    The rows that were taken out are there too: what the run's input says of their images takes the place of what the
    other's said, as it would have if the run had begun after that commit.
    """

    fragments: Sequence[Fragment]
    versions: Mapping[TableName, int]
    dropped: Sequence[Dropped] = ()


def commit_fragments(
    folder_uri: str,
    name: TableName,
    commit_id: str,
    fragments: Iterable[Fragment],
    planned_on: Mapping[TableName, int] | None = None,
    *,
    updates: Sequence[FileUpdate] = (),
    refresh: bool = False,
    about: Mapping[str, str] = MappingProxyType({}),
) -> Commit:
    """Makes the rows of fragments visible in one atomic commit, once a commit id, whatever is tried again.

    Args:
        folder_uri: The folder of the tables.
        name: The table.
        commit_id: The name of the commit: its run's, and what distinguishes attempts at it after a slash.
        fragments: Fragments of that table, complete on storage.
        planned_on: The versions of tables against which the fragments were checked; any that is missing means that they
            were not. None commits every row, whatever is there.
        updates: Files of `features` that take the place of others in the same commit.
        refresh: Whether features supersede whatever is there of their images, also of the same version.
        about: What else stands beside the commit in the log.

    Raises:
        FileNotFoundError: If a fragment is missing: Delta itself would accept it, and every later read would fail.
        RunFailed: If it could not be committed.
    """
    table_uri, run_id = join(folder_uri, name), commit_id.partition("/")[0]
    supersede_all = refresh and name == TableName.FEATURES
    own = [dataclasses.replace(each, supersedes=each.supersedes or supersede_all) for each in fragments]
    unchecked = checked = _Checked(own, planned_on or {})

    def write(table: DeltaTable) -> bool:
        nonlocal checked
        if planned_on is not None:
            if checked is not unchecked and _went_back(checked, folder_uri, name, table):
                checked = unchecked
            checked = _without_newer(checked, folder_uri, name, table, run_id, supersede_all=supersede_all)
        updated = updates_on(table_uri, table, updates, checked.dropped, run_id) if name == TableName.FEATURES else []
        if not checked.fragments and not updated:
            return False
        actions: list[TableAction] = [*add_actions(table_uri, checked.fragments)]
        if name == TableName.FEATURES:
            superseding = [fragment.path for fragment in checked.fragments if fragment.supersedes]
            replacements = {update.path: update.fragment for update in updated}
            actions += superseding_actions(table_uri, table, superseding, replacements)
        elif planned_on is not None:
            actions += replaced_failures_actions(table_uri, table, [each.path for each in checked.fragments])
        totals = Totals.of(checked.fragments) + Totals(labels_updated=sum(update.images for update in updated))
        metadata = {**about, RUN_ID: run_id, TOTALS: totals.to_json()}
        token = None if planned_on is None else table.version()
        write_actions(table, actions, commit_properties(commit_id, metadata, token))
        return True

    table = commit_once(table_uri, commit_id, write)
    if not committed(table, commit_id):
        return Commit(table.version(), Totals())
    if planned_on is None:
        return Commit(table.version(), Totals.of(own))
    version, metadata = find_commit(table_uri, table, commit_id)
    return Commit(version, Totals.from_json(metadata[TOTALS]))


def _went_back(checked: _Checked, folder_uri: str, name: TableName, table: DeltaTable) -> bool:
    """Whether files are gone since the last look, as after a restoration: rows may have been taken out for theirs."""
    newest = {other: table if other == name else find_table(join(folder_uri, other)) for other in checked.versions}
    return any(
        now is not None and not paths_of(open_table(join(folder_uri, other), checked.versions[other])) <= paths_of(now)
        for other, now in newest.items()
        if other in _CHECKED[name]
    )


def _without_newer(
    checked: _Checked, folder_uri: str, name: TableName, table: DeltaTable, run_id: str, *, supersede_all: bool
) -> _Checked:
    """Takes out the rows that others have committed since the last look."""
    fragments, versions, dropped = checked.fragments, dict(checked.versions), list(checked.dropped)
    for other in _CHECKED[name]:
        if not fragments or (supersede_all and other == TableName.FEATURES):
            continue
        newest = table if other == name else find_table(join(folder_uri, other))
        if newest is not None:
            files = files_since(join(folder_uri, other), newest, versions.get(other))
            fragments = list(without_committed(join(folder_uri, name), fragments, files, run_id, dropped))
            versions[other] = newest.version()
    return _Checked(fragments, versions, dropped)
