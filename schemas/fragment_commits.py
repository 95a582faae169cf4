"""Fragments on their way into a table: one commit, checked against everything that others committed since."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Final

from deltalake import DeltaTable

from schemas.commits import add_actions
from schemas.concurrency import files_since, without_committed
from schemas.delta import (
    RUN_ID,
    TableAction,
    commit_once,
    commit_properties,
    committed,
    find_commit,
    find_table,
    write_actions,
)
from schemas.fragments import Fragment, TableName
from schemas.removal import superseding_actions
from schemas.runs import Totals
from schemas.storage import join

_TOTALS: Final = "totals"

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


class FragmentCommit:
    """The commit of fragments to one table of a store, tried until it is there."""

    def __init__(
        self,
        store_uri: str,
        name: TableName,
        commit_id: str,
        fragments: Sequence[Fragment],
        planned_on: Mapping[TableName, int],
        *,
        anew: bool = False,
    ) -> None:
        """Takes what is to be committed.

        Args:
            store_uri: The store's folder.
            name: The table.
            commit_id: The name of the commit: its run's, and what tells attempts at it apart behind a slash.
            fragments: Fragments of that table, complete on storage.
            planned_on: The versions of tables against which the fragments were checked; any that is missing means that
                they were not.
            anew: Whether features supersede whatever is there of their images, also of the same version.
        """
        self._store_uri = store_uri
        self._name = name
        self._commit_id = commit_id
        self._run_id = commit_id.partition("/")[0]
        self._supersedes_all = anew and name == TableName.FEATURES
        self._fragments = [
            dataclasses.replace(fragment, supersedes=fragment.supersedes or self._supersedes_all)
            for fragment in fragments
        ]
        self._checked_on = dict(planned_on)

    def commit(self) -> Commit:
        """Commits, once, whatever is tried again.

        Raises:
            FileNotFoundError: If a fragment is missing.
            RunFailed: If it could not be committed.
        """
        table = commit_once(self._uri(self._name), self._commit_id, self._write)
        if not committed(table, self._commit_id):
            return Commit(table.version(), Totals())
        version, told = find_commit(self._uri(self._name), table, self._commit_id)
        return Commit(version, Totals.from_json(told[_TOTALS]))

    def _write(self, table: DeltaTable) -> bool:
        if self._fragments:
            self._leave_out_committed(table)
        if not self._fragments:
            return False
        table_uri = self._uri(self._name)
        actions: list[TableAction] = [*add_actions(table_uri, self._fragments)]
        if self._name == TableName.FEATURES:
            superseding = [fragment.path for fragment in self._fragments if fragment.supersedes]
            actions += superseding_actions(table_uri, table, superseding)
        told = {RUN_ID: self._run_id, _TOTALS: Totals.of(self._fragments).to_json()}
        write_actions(table, actions, commit_properties(self._commit_id, told, table.version()))
        return True

    def _leave_out_committed(self, table: DeltaTable) -> None:
        for name in _CHECKED[self._name]:
            if self._supersedes_all and name == TableName.FEATURES:
                continue
            newest = table if name == self._name else find_table(self._uri(name))
            if newest is None:
                continue
            files = files_since(self._uri(name), newest, self._checked_on.get(name))
            self._fragments = list(without_committed(self._uri(self._name), self._fragments, files, self._run_id))
            self._checked_on[name] = newest.version()

    def _uri(self, name: TableName) -> str:
        return join(self._store_uri, name)
