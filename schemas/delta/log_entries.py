"""The entries of a Delta log as files: their actions, which are damaged, and taking away those at its end.

`deltalake` (1.6.6) takes an empty entry for a commit without actions, and so for the loss of its rows, and raises an
error that names no file for one that is no JSON.
"""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from schemas.errors import DamagedFile
from schemas.storage import file_system, join

LOG: Final = "_delta_log"
_ENTRY: Final = re.compile(r"(?P<version>\d{20})\.json")


@dataclasses.dataclass(frozen=True)
class DamagedEntry:
    """An entry of a log that cannot be read.

    Attributes:
        uri: The file.
        version: The version of the table that it makes.
        how: What is wrong with it.
        is_newest: Whether no whole entry comes after it.
    """

    uri: str
    version: int
    how: str
    is_newest: bool


def damaged_entries(table_uri: str) -> list[DamagedEntry]:
    """Returns the entries of a table's log that are empty, cut off or altered, the newest first."""
    fs, root = file_system(join(table_uri, LOG))
    fs.invalidate_cache()
    names = [path.rpartition("/")[2] for path in fs.ls(root, detail=False)] if fs.exists(root) else []
    damaged = []
    is_newest = True
    for name in sorted(filter(_ENTRY.fullmatch, names), reverse=True):
        try:
            _actions(fs.cat_file(f"{root}/{name}"))
        except ValueError as error:
            damaged.append(DamagedEntry(join(table_uri, LOG, name), int(name[:20]), str(error), is_newest))
        else:
            is_newest = False
    return damaged


def entry_actions(table_uri: str, version: int) -> Sequence[Mapping[str, Any]] | None:
    """Returns the actions of the entry of a version, or None if the log has expired there.

    Raises:
        DamagedFile: If it cannot be read.
    """
    entry_uri = join(table_uri, LOG, f"{version:020}.json")
    fs, path = file_system(entry_uri)
    try:
        return _actions(fs.cat_file(path))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise DamagedFile(entry_uri, str(error)) from error


def _actions(content: bytes) -> list[dict[str, Any]]:
    """Reads the actions of an entry, an object a line; what they hold is an object, or null.

    Raises:
        ValueError: If it holds something else; says what is wrong with it.
    """
    if not content.strip():
        raise ValueError("it is empty")
    try:
        actions = [json.loads(line) for line in content.splitlines()]
    except (ValueError, RecursionError) as error:
        raise ValueError("it is no JSON") from error
    if not all(map(_is_action, actions)):
        raise ValueError("it holds no actions")
    return actions


def _is_action(line: object) -> bool:
    return isinstance(line, dict) and all(isinstance(held, dict | None) for held in line.values())


def remove_entry(entry: DamagedEntry) -> None:
    """Removes an entry at the end of a log, so that the version before is the newest again."""
    fs, path = file_system(entry.uri)
    fs.rm_file(path)
