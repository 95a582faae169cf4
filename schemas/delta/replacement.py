"""A commit of new rows that takes out the rows which they replace: those of the same (uri, version).

The keys of the new rows are held, 16 bytes each; those of the files that may hold some of them, by their statistics,
are read once, several files at a time. A file all of whose rows are replaced leaves as it is, others are written again
without these rows.
"""

import concurrent.futures
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from schemas.delta.row_keys import RowKeys
from schemas.delta.transactions import (
    RUN_ID,
    TableAction,
    commit_once,
    commit_properties,
    files_of,
    paths_of,
    write_actions,
)
from schemas.fragments import (
    SUPERSEDED,
    Fragment,
    TableName,
    add_action,
    add_actions,
    remove_action,
    write_again,
)
from schemas.storage import join, read_columns

REPLACED: Final = "replaced"
_KEY: Final = ("uri", "version")
# Files that are read at once: a request takes some 30 ms on cloud storage.
_REQUESTS: Final = 16


@dataclasses.dataclass(frozen=True)
class Replacement:
    """New rows of a table, and what leaves with their commit.

    Attributes:
        folder_uri: The folder of the tables.
        name: The table.
        new: The fragments of the new rows.
        replacing: Fragments, of any table in the folder, whose keys leave.
        model_id: The classifier whose rows leave, in a table that has several; None where there is none.
    """

    folder_uri: str
    name: TableName
    new: Sequence[Fragment]
    replacing: Sequence[Fragment]
    model_id: str | None = None

    def commit(self, run_id: str) -> None:
        """Commits, unless there is nothing to commit or the run has committed already.

        It carries the conflict token: what another commit brings meanwhile is looked at, too.

        Raises:
            FileNotFoundError: If a fragment is missing.
            RunFailed: If it could not be committed.
        """
        found: dict[str, _Rest | None] = {}

        def write(table: DeltaTable) -> bool:
            files = [path for path in self._files_that_may_hold_some(table) if path not in found]
            found.update(self._read(files))
            there = paths_of(table)
            leaving = {path: rest for path, rest in found.items() if rest and path in there}
            actions = [*add_actions(self._table_uri, self.new), *self._leave(leaving)]
            if actions:
                replaced = sum(rest.replaced for rest in leaving.values())
                said = {RUN_ID: run_id, REPLACED: str(replaced)}
                write_actions(table, actions, commit_properties(run_id, said, table.version()))
            return bool(actions)

        commit_once(self._table_uri, run_id, write)

    @property
    def _table_uri(self) -> str:
        return join(self.folder_uri, self.name)

    def _files_that_may_hold_some(self, table: DeltaTable) -> Iterator[str]:
        """Yields the files of a snapshot whose statistics do not say that none of their rows leaves."""
        if not self.replacing:
            return
        ranges = [fragment.uri_range for fragment in self.replacing]
        least, greatest = min(first for first, _ in ranges), max(last for _, last in ranges)
        for file in files_of(table).to_pylist():
            of_these = _may_hold(file, "uri", least, greatest)
            if of_these and (self.model_id is None or _may_hold(file, "model_id", self.model_id, self.model_id)):
                yield file["path"]

    def _read(self, paths: Sequence[str]) -> Iterator[tuple[str, "_Rest | None"]]:
        """Yields what is left of files; None of those that stay."""
        if not paths:
            return
        with concurrent.futures.ThreadPoolExecutor(_REQUESTS, "keys") as pool:
            yield from zip(paths, pool.map(functools.partial(self._rest, self._keys), paths), strict=True)

    @functools.cached_property
    def _keys(self) -> RowKeys:
        uris = [join(self.folder_uri, fragment.table, fragment.path) for fragment in self.replacing]
        with concurrent.futures.ThreadPoolExecutor(_REQUESTS, "keys") as pool:
            return RowKeys.joined(pool.map(lambda uri: RowKeys(read_columns(uri, _KEY)), uris))

    def _rest(self, keys: RowKeys, path: str) -> "_Rest | None":
        def stay(rows: pa.RecordBatch) -> pa.Array:
            return pa.array(~self._leaving(keys, rows))

        read = read_columns(join(self._table_uri, path), (*_KEY, "model_id"))
        leaving = [self._leaving(keys, rows) for rows in read]
        replaced = int(sum(mask.sum() for mask in leaving))
        if not replaced:
            return None
        if replaced == sum(map(len, leaving)):
            return _Rest(replaced, None)
        return _Rest(replaced, write_again(self._table_uri, self.name, [path], SUPERSEDED, keep=stay))

    def _leaving(self, keys: RowKeys, rows: pa.RecordBatch) -> np.ndarray:
        leaving = keys.have(rows)
        if self.model_id is not None:
            leaving &= pc.equal(rows.column("model_id"), self.model_id).to_numpy(zero_copy_only=False)
        return leaving

    def _leave(self, files: Mapping[str, "_Rest"]) -> Iterator[TableAction]:
        for path, rest in files.items():
            yield remove_action(path)
            if rest.fragment is not None:
                yield add_action(self._table_uri, rest.fragment)


@dataclasses.dataclass(frozen=True)
class _Rest:
    """A file without the rows that leave.

    Attributes:
        replaced: The rows that leave.
        fragment: The others, in a file of their own; None if there are none.
    """

    replaced: int
    fragment: Fragment | None


def _may_hold(file: Mapping[str, str | None], column: str, least: str, greatest: str) -> bool:
    """Whether a file may hold values of a range, by its statistics, where there are any."""
    low, high = file.get(f"min.{column}"), file.get(f"max.{column}")
    return low is None or high is None or (low <= greatest and least <= high)
