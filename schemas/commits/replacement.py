"""New rows of a table that take the place of others: those of the same (uri, version), in one commit.

The keys of the new rows are held, 16 bytes each; those of the files that may hold some of them, by their statistics,
are read once, several files at a time.
"""

import concurrent.futures
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from schemas.commits.removal import Holding, removal_actions
from schemas.commits.row_keys import RowKeys
from schemas.delta import RUN_ID, TableAction, commit_once, commit_properties, files_of, write_actions
from schemas.fragments import SUPERSEDED, Fragment, TableName, add_actions
from schemas.storage import join, read_columns

REPLACED: Final = "replaced"
_KEY: Final = ("uri", "version")
# Files that are read at once: a request takes some 30 ms on cloud storage.
_REQUESTS: Final = 16


class ReplacedRows:
    """The rows of a table that have the keys of new ones."""

    def __init__(
        self, folder_uri: str, name: TableName, replacing: Sequence[Fragment], model_id: str | None = None
    ) -> None:
        """Names them; nothing is read yet.

        Args:
            folder_uri: The folder of the tables.
            name: The table.
            replacing: The new rows: fragments of any table in the folder.
            model_id: The classifier whose rows they are, in a table that has several; None where there is none.
        """
        self._folder_uri, self._table_uri = folder_uri, join(folder_uri, name)
        self._replacing, self._model_id = replacing, model_id
        self._found = functools.cache(self._holding)

    def files(self, table: DeltaTable) -> list[Holding]:
        """Returns the files of a snapshot with such rows; reads no file twice, whatever snapshots there are."""
        paths = list(self._files_that_may_hold_some(table))
        if not paths:
            return []
        _ = self._keys  # Before several threads need them.
        with concurrent.futures.ThreadPoolExecutor(_REQUESTS, "keys") as pool:
            return [file for file in pool.map(self._found, paths) if file is not None]

    def _files_that_may_hold_some(self, table: DeltaTable) -> Iterator[str]:
        """Yields the files of a snapshot whose statistics do not say that they hold no such row."""
        if not self._replacing:
            return
        ranges = [fragment.uri_range for fragment in self._replacing]
        least, greatest = min(first for first, _ in ranges), max(last for _, last in ranges)
        for file in files_of(table).to_pylist():
            of_these = _may_hold(file, "uri", least, greatest)
            if of_these and (self._model_id is None or _may_hold(file, "model_id", self._model_id, self._model_id)):
                yield file["path"]

    @functools.cached_property
    def _keys(self) -> RowKeys:
        uris = [join(self._folder_uri, fragment.table, fragment.path) for fragment in self._replacing]
        with concurrent.futures.ThreadPoolExecutor(_REQUESTS, "keys") as pool:
            return RowKeys.joined(pool.map(lambda uri: RowKeys(read_columns(uri, _KEY)), uris))

    def _holding(self, path: str) -> Holding | None:
        """Returns what of a file is to go; None if nothing is."""
        replaced = [self._are_replaced(rows) for rows in read_columns(join(self._table_uri, path), (*_KEY, "model_id"))]
        count = int(sum(mask.sum() for mask in replaced))
        return Holding(path, count, count == sum(map(len, replaced)), self._stay) if count else None

    def _stay(self, rows: pa.RecordBatch) -> pa.Array:
        return pa.array(~self._are_replaced(rows))

    def _are_replaced(self, rows: pa.RecordBatch) -> np.ndarray:
        replaced = self._keys.have(rows)
        if self._model_id is not None:
            replaced &= pc.equal(rows.column("model_id"), self._model_id).to_numpy(zero_copy_only=False)
        return replaced


def replace_rows(
    folder_uri: str,
    name: TableName,
    run_id: str,
    new: Sequence[Fragment],
    replacing: Sequence[Fragment],
    *,
    model_id: str | None = None,
) -> None:
    """Commits new rows, and takes out those that they replace; nothing if the run has committed already.

    It carries the conflict token: what another commit brings meanwhile is looked at, too.

    Args:
        folder_uri: The folder of the tables.
        name: The table.
        run_id: The run.
        new: The fragments of the new rows.
        replacing: Fragments, of any table in the folder, whose keys leave.
        model_id: The classifier whose rows leave, in a table that has several; None where there is none.

    Raises:
        FileNotFoundError: If a fragment is missing.
        RunFailed: If it could not be committed.
    """
    table_uri = join(folder_uri, name)
    replaced = ReplacedRows(folder_uri, name, replacing, model_id)

    def write(table: DeltaTable) -> bool:
        held = replaced.files(table)
        actions = [*add_actions(table_uri, new), *removal_actions(table_uri, name, held, SUPERSEDED)]
        if actions:
            said = {RUN_ID: run_id, REPLACED: str(sum(file.rows for file in held))}
            write_actions(table, actions, commit_properties(run_id, said, table.version()))
        return bool(actions)

    commit_once(table_uri, run_id, write)


def replaced_failures_actions(folder_uri: str, table: DeltaTable, new: Sequence[Fragment]) -> Iterator[TableAction]:
    """Yields the Delta actions that take out of `failures` what failed before and has failed again in the same version.

    Args:
        folder_uri: The folder of the tables.
        table: The snapshot that the commit builds on.
        new: The fragments with the new rows.
    """
    held = ReplacedRows(folder_uri, TableName.FAILURES, new).files(table)
    yield from removal_actions(join(folder_uri, TableName.FAILURES), TableName.FAILURES, held, SUPERSEDED)


def _may_hold(file: Mapping[str, str | None], column: str, least: str, greatest: str) -> bool:
    """Whether a file may hold values of a range, by its statistics, where there are any."""
    low, high = file.get(f"min.{column}"), file.get(f"max.{column}")
    return low is None or high is None or (low <= greatest and least <= high)
