"""Damage: files that the tables of a store name and that are missing, cut off or altered, and taking them out."""

import concurrent.futures
import dataclasses
import functools
from collections.abc import Collection, Iterator
from typing import Final

from deltalake import DeltaTable

from schemas.delta import TableAction, commit_with_token, files_of, find_table, paths_of
from schemas.errors import DamagedFile
from schemas.fragments import TableName, remove_action
from schemas.storage import file_system, join, read_batches, row_count
from schemas.store import TAKEN_OUT

# Requests under way: one takes some 30 ms on cloud storage.
_REQUESTS: Final = 16


@dataclasses.dataclass(frozen=True)
class Damage:
    """A file of a table that is not what was committed.

    Attributes:
        table: The table.
        path: Its path under the table's folder.
        rows: The rows that it had.
        how: What is wrong with it.
    """

    table: TableName
    path: str
    rows: int
    how: str


@dataclasses.dataclass(frozen=True)
class Checked:
    """What checking a table found.

    Attributes:
        files: Its files.
        damages: Those that are damaged.
    """

    files: int
    damages: tuple[Damage, ...]


def check_table(store_uri: str, name: TableName, *, deep: bool = False) -> Checked | None:
    """Checks the files of a table's newest version: that they are there, their sizes, their footers, their rows.

    Args:
        store_uri: The store.
        name: The table.
        deep: Whether every page is read and compared with its checksum, where the file has any.

    Returns:
        What was found; None if there is no such table.
    """
    table_uri = join(store_uri, name)
    table = find_table(table_uri)
    if table is None:
        return None
    files = files_of(table).select(["path", "size_bytes", "num_records"]).to_pylist()
    with concurrent.futures.ThreadPoolExecutor(_REQUESTS, "check") as pool:
        found = list(pool.map(functools.partial(_damage, table_uri, deep), files))
    damages = [
        Damage(name, file["path"], file["num_records"] or 0, how) for file, how in zip(files, found, strict=True) if how
    ]
    return Checked(len(files), tuple(damages))


def _damage(table_uri: str, deep: bool, file: dict[str, int | str]) -> str | None:
    """Returns what is wrong with a file, or None."""
    uri = join(table_uri, str(file["path"]))
    fs, path = file_system(uri)
    try:
        size = fs.size(path)
        if size != file["size_bytes"]:
            return f"it has {size} bytes, {file['size_bytes']} were committed"
        rows = row_count(uri)
        if file["num_records"] not in {None, rows}:
            return f"it has {rows} rows, {file['num_records']} were committed"
        if deep:
            for _ in read_batches(uri):
                pass
    except FileNotFoundError:
        return "it is missing"
    except DamagedFile as error:
        return error.how
    return None


def drop_files(store_uri: str, name: TableName, paths: Collection[str]) -> bool:
    """Takes files out of a table, with their rows, in one commit; what others have taken out already stays out.

    The files themselves stay until a vacuum. Returns whether there was anything to take out. Where the rows are those
    of images, `features` says from then on that some are to be computed again.

    Raises:
        RunFailed: If others commit faster than this can, or the storage stays at fault.
    """

    def actions_on(table: DeltaTable) -> list[TableAction] | None:
        present = paths_of(table)
        return [remove_action(path) for path in paths if path in present] or None

    if name == TableName.FAILURES:
        mark_taken_out(store_uri)
    mark = TAKEN_OUT if name == TableName.FEATURES else None
    return commit_with_token(join(store_uri, name), "repair", actions_on, mark=mark)


def mark_taken_out(store_uri: str) -> None:
    """Has `features` say, in a commit without rows, that rows have left the store which are to be computed again.

    A folder of predictions has no `features`, and nothing to say.
    """
    if find_table(join(store_uri, TableName.FEATURES)) is None:
        return
    commit_with_token(join(store_uri, TableName.FEATURES), "repair", lambda _: [], mark=TAKEN_OUT)


def all_damage(store_uri: str, *, deep: bool = False) -> Iterator[tuple[TableName, Checked]]:
    """Checks every table of a store; see `check_table`."""
    for name in TableName:
        checked = check_table(store_uri, name, deep=deep)
        if checked is not None:
            yield name, checked
