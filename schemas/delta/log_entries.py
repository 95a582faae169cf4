"""The entries of a Delta log as files: which are damaged, and taking away those at its end.

`deltalake` (1.6.6) takes an empty entry for a commit without actions, and so for the loss of its rows, and raises an
error that names no file for one that is no JSON.
"""

import dataclasses
import json
import re
from typing import Final

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
        how = _damage(fs.cat_file(f"{root}/{name}"))
        if how is not None:
            damaged.append(DamagedEntry(join(table_uri, LOG, name), int(name[:20]), how, is_newest))
        is_newest = is_newest and how is not None
    return damaged


def _damage(content: bytes) -> str | None:
    if not content.strip():
        return "it is empty"
    try:
        actions = [json.loads(line) for line in content.splitlines()]
    except ValueError:
        return "it is no JSON"
    return None if all(isinstance(action, dict) for action in actions) else "it holds no actions"


def remove_entry(entry: DamagedEntry) -> None:
    """Removes an entry at the end of a log, so that the version before is the newest again."""
    fs, path = file_system(entry.uri)
    fs.rm_file(path)
