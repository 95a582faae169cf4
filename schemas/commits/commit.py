"""Fragments on their way into a table: one commit, checked against everything that others committed since.

Of an image that failed before, in the same version, the row goes in the commit that brings the new one: `failures` has
one row of each version of an image, the newest.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from deltalake import DeltaTable

from schemas.commits.annotation_updates import FileUpdate, updates_on
from schemas.commits.conflicts import Dropped, files_since, without_committed
from schemas.commits.removal import superseding_actions
from schemas.commits.replacement import replaced_failures_actions
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
    planned_on: Mapping[TableName, int],
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
        planned_on: The versions of tables against which the fragments were checked; of one that is missing, all rows
            count as committed since.
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
    others = [other for other in _CHECKED[name] if not (supersede_all and other == TableName.FEATURES)]
    unchecked = checked = _Checked(own, planned_on)

    def newest_of(other: TableName, table: DeltaTable) -> DeltaTable | None:
        return table if other == name else find_table(join(folder_uri, other))

    def write(table: DeltaTable) -> bool:
        nonlocal checked
        if own:
            newest = {other: found for other in others if (found := newest_of(other, table)) is not None}
            if checked is not unchecked and _went_back(checked, folder_uri, newest):
                checked = unchecked
            checked = _without_newer(checked, folder_uri, name, newest, run_id)
        updated = updates_on(table_uri, table, updates, checked.dropped, run_id) if name == TableName.FEATURES else []
        if not checked.fragments and not updated:
            return False
        added = add_actions(table_uri, checked.fragments)
        actions = [*added, *_replacing_actions(folder_uri, name, table, checked.fragments, updated)]
        totals = Totals.of(checked.fragments) + Totals(labels_updated=sum(update.images for update in updated))
        metadata = {**about, RUN_ID: run_id, TOTALS: totals.to_json()}
        write_actions(table, actions, commit_properties(commit_id, metadata, table.version()))
        return True

    table = commit_once(table_uri, commit_id, write)
    if not committed(table, commit_id):
        return Commit(table.version(), Totals())
    version, metadata = find_commit(table_uri, table, commit_id)
    return Commit(version, Totals.from_json(metadata[TOTALS]))


def _replacing_actions(
    folder_uri: str, name: TableName, table: DeltaTable, fragments: Sequence[Fragment], updated: Sequence[FileUpdate]
) -> Iterator[TableAction]:
    """Yields the actions that take out what new rows replace."""
    if name == TableName.FEATURES:
        superseding = [fragment.path for fragment in fragments if fragment.supersedes]
        replacements = {update.path: update.fragment for update in updated}
        yield from superseding_actions(join(folder_uri, name), table, superseding, replacements)
    else:
        yield from replaced_failures_actions(folder_uri, table, fragments)


def _went_back(checked: _Checked, folder_uri: str, newest: Mapping[TableName, DeltaTable]) -> bool:
    """Whether files are gone since the last look, as after a restoration: rows may have been taken out for theirs."""
    return any(
        not paths_of(open_table(join(folder_uri, other), checked.versions[other])) <= paths_of(table)
        for other, table in newest.items()
        if other in checked.versions
    )


def _without_newer(
    checked: _Checked, folder_uri: str, name: TableName, newest: Mapping[TableName, DeltaTable], run_id: str
) -> _Checked:
    """Takes out the rows that others have committed since the last look."""
    fragments, versions, dropped = checked.fragments, dict(checked.versions), list(checked.dropped)
    for other, table in newest.items():
        if fragments:
            files = files_since(join(folder_uri, other), table, versions.get(other))
            fragments = list(without_committed(join(folder_uri, name), fragments, files, run_id, dropped))
            versions[other] = table.version()
    return _Checked(fragments, versions, dropped)
