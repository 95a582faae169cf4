"""Restoring `features` to an older version, as a new one. What was taken down stays so.

`DeltaTable.restore` would bring back the rows of images that were taken down, if only until the next commit, and take
away columns that were added since. Here one commit does all of it. It also brings back the very files, which a vacuum
may be removing at that moment; here they are copied, and a vacuum leaves young files alone.
"""

import dataclasses
import time
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Final

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.transaction import AddAction

from schemas.delta import TableAction, commit_with_token, files_of, open_table
from schemas.errors import UsageError
from schemas.fragments import (
    RESTORED,
    TAKEDOWN,
    TableName,
    add_action,
    partition_values,
    remove_action,
    statistics_json,
    without,
    write_again,
)
from schemas.maintenance.takedowns import taken_down
from schemas.storage import file_system, join, read_column, row_count, sync_file
from schemas.store import RESTORED_VERSION, TAKEN_OUT

_ROWS: Final = "rows"


@dataclasses.dataclass(frozen=True)
class Restoration:
    """What a restoration did, or would do.

    Attributes:
        version: The version of `features` on which it was made.
        back: Rows of the files that come back.
        gone: Rows of the files that leave.
        kept_down: Of the rows that would come back, those of images that were taken down; they do not.
    """

    version: int
    back: int
    gone: int
    kept_down: int


def plan_restoration(store_uri: str, version: int) -> Restoration:
    """Returns what `restore` would do; changes nothing.

    Raises:
        UsageError: If files of that version are gone.
    """
    table_uri = join(store_uri, TableName.FEATURES)
    current = open_table(table_uri)
    back, gone = _difference(table_uri, open_table(table_uri, version), current)
    kept_down = sum(len(_taken_down_in(store_uri, join(table_uri, file["path"]))) for file in back)
    return _restoration(current, back, gone, kept_down)


def restore(store_uri: str, version: int) -> Restoration:
    """Makes the rows of an older version of `features` those of the newest, in one commit.

    Args:
        store_uri: The store.
        version: A version that there is.

    Raises:
        UsageError: If files of that version are gone.
        RunFailed: If others commit faster than this can.
    """
    table_uri = join(store_uri, TableName.FEATURES)
    target = open_table(table_uri, version)
    results: list[Restoration] = []

    def actions_on(current: DeltaTable) -> list[TableAction]:
        back, gone = _difference(table_uri, target, current)
        kept_down = 0
        actions: list[TableAction] = [remove_action(file["path"]) for file in gone]
        for file in back:
            uris = _taken_down_in(store_uri, join(table_uri, file["path"]))
            kept_down += len(uris)
            if not len(uris):
                actions.append(_add_copy(table_uri, file))
            elif len(uris) < file[_ROWS]:
                rest = write_again(table_uri, TableName.FEATURES, [file["path"]], TAKEDOWN, keep=without(uris))
                actions.append(add_action(table_uri, rest))
        results.append(_restoration(current, back, gone, kept_down))
        return actions

    about = {RESTORED_VERSION: str(target.version())}
    commit_with_token(table_uri, f"restore {version}", actions_on, about=about, mark=TAKEN_OUT)
    return results[-1]


def _difference(
    table_uri: str, target: DeltaTable, current: DeltaTable
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Returns the files that come back and those that leave."""
    files = {table.version(): _files(table) for table in (target, current)}
    wanted, present = files[target.version()], files[current.version()]
    back = [file for path, file in wanted.items() if path not in present]
    missing = [file["path"] for file in back if not _exists(join(table_uri, file["path"]))]
    if missing:
        raise UsageError(
            f"Version {target.version()} cannot be restored: {len(missing)} of its files were vacuumed, "
            f"{missing[0]} among them."
        )
    gone = [file for path, file in present.items() if path not in wanted]
    return [_counted(table_uri, file) for file in back], [_counted(table_uri, file) for file in gone]


def _counted(table_uri: str, file: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what is known of a file, with its rows, which the log need not say."""
    known = file["num_records"]
    return {**file, _ROWS: row_count(join(table_uri, file["path"])) if known is None else known}


def _files(table: DeltaTable) -> dict[str, dict[str, Any]]:
    return {file["path"]: file for file in files_of(table).to_pylist()}


def _exists(file_uri: str) -> bool:
    fs, path = file_system(file_uri)
    return bool(fs.exists(path))


def _taken_down_in(store_uri: str, file_uri: str) -> pa.Array:
    """Returns the URIs of a file's rows whose images were taken down."""
    uris = read_column(file_uri, "uri")
    return uris.filter(taken_down(store_uri, uris))


def _add_copy(table_uri: str, file: Mapping[str, Any]) -> AddAction:
    """Copies a file, and returns the action that adds the copy with the statistics that the log holds of it.

    Raises:
        UsageError: If a vacuum has removed the file meanwhile.
    """
    path = f"{file['path'].rpartition('/')[0]}/{RESTORED}-{uuid.uuid4()}.parquet".lstrip("/")
    fs, source = file_system(join(table_uri, file["path"]))
    try:
        fs.cp_file(source, file_system(join(table_uri, path))[1])
    except FileNotFoundError as error:
        raise UsageError(f"The version cannot be restored: {file['path']} was vacuumed just now.") from error
    sync_file(join(table_uri, path))
    return AddAction(
        path=path,
        size=file["size_bytes"],
        partition_values=partition_values(file["path"]),
        modification_time=int(time.time() * 1000),
        data_change=True,
        stats=_statistics(file),
    )


def _statistics(file: Mapping[str, Any]) -> str:
    """Returns the statistics that the log holds of a file: an empty object if it has none."""
    if file["num_records"] is None:
        return "{}"
    parts = (_by_column(file, prefix) for prefix in ("min.", "max.", "null_count."))
    return statistics_json(file["num_records"], *parts)


def _by_column(file: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {
        name.removeprefix(prefix): value
        for name, value in file.items()
        if name.startswith(prefix) and value is not None
    }


def _restoration(
    current: DeltaTable, back: Iterable[Mapping[str, Any]], gone: Iterable[Mapping[str, Any]], kept_down: int
) -> Restoration:
    return Restoration(
        current.version(),
        sum(file[_ROWS] for file in back),
        sum(file[_ROWS] for file in gone),
        kept_down,
    )
