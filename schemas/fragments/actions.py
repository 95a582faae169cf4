"""Delta log actions for files that were written without `deltalake`."""

import concurrent.futures
import functools
import time
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

from deltalake.transaction import AddAction, RemoveAction

from schemas.fragments.fragment import Fragment
from schemas.storage import file_system, join

# Requests for the size of a fragment that are under way: one takes some 30 ms on cloud storage.
_REQUESTS: Final = 32


def add_actions(table_uri: str, fragments: Iterable[Fragment]) -> list[AddAction]:
    """Returns the Delta actions that add fragments to their table; see `add_action`."""
    with concurrent.futures.ThreadPoolExecutor(_REQUESTS, "fragments") as pool:
        return list(pool.map(functools.partial(add_action, table_uri), fragments))


def add_action(table_uri: str, fragment: Fragment) -> AddAction:
    """Returns the Delta action that adds a fragment to its table.

    The path is handed over as it is named; `deltalake` quotes it (Delta protocol, "Add File": paths are URL-encoded).

    Raises:
        FileNotFoundError: If the fragment is not there in full.
    """
    fs, path = file_system(join(table_uri, fragment.path))
    found = fs.info(path)["size"]
    if found != fragment.size:
        raise FileNotFoundError(f"{join(table_uri, fragment.path)} has {found} bytes, {fragment.size} were written.")
    return AddAction(
        path=fragment.path,
        size=fragment.size,
        partition_values=partition_values(fragment.path),
        modification_time=int(time.time() * 1000),
        data_change=True,
        stats=fragment.statistics,
    )


def remove_action(path: str, *, data_change: bool = True) -> RemoveAction:
    """Returns the Delta action that takes a file out of its table.

    Args:
        path: Its path under the table's folder.
        data_change: Whether rows go with it, and are not merely moved to another file.
    """
    return RemoveAction(path, data_change, int(time.time() * 1000), partition_values=partition_values(path))


def partition_values(path: str) -> dict[str, str | None]:
    """Returns the partition values that a path names, as `{"ds": "2026-01-31"}` for `ds=2026-01-31/a.parquet`."""
    folders = [folder.partition("=") for folder in path.split("/")[:-1]]
    return {name: unquote(value) for name, _, value in folders}
