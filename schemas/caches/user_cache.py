"""The user's own cache on this machine: where it is, whose, and what goes where it becomes too large.

    <cache>/<key>/       a conv base that was built
    <cache>/compiled/    what JAX has compiled for a GPU, which JAX bounds by itself
    <cache>/fetched/     files of buckets, by their SHA-256

The cache is `$CONVBASE_CACHE`, a folder, or none where that is empty; unless it is set, `convbase/conv_bases` under
`$XDG_CACHE_HOME` or `~/.cache`. A folder that is another user's, or that others can write to, is none.
"""

import logging
import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

CACHE_VARIABLE: Final = "CONVBASE_CACHE"

_LOGGER: Final = logging.getLogger(__name__)


def cache_folder() -> Path | None:
    """Returns the folder of the cache, which need not exist; None where there is to be none, or it is not trusted."""
    folder = _named_folder()
    if folder is None or not folder.exists() or is_own(folder):
        return folder
    _LOGGER.warning(
        "The cache of conv bases %s is not used, for it is another user's or others can write to it: "
        "chmod 700 it, or name another one with %s.",
        folder,
        CACHE_VARIABLE,
    )
    return None


def is_own(path: Path) -> bool:
    """Whether a file or folder is there and this user's, and nobody else can write to it."""
    try:
        found = path.stat()
    except OSError:
        return False
    return not hasattr(os, "geteuid") or (found.st_uid == os.geteuid() and not found.st_mode & 0o022)


def _named_folder() -> Path | None:
    named = os.environ.get(CACHE_VARIABLE)
    if named is not None:
        return Path(named) if named else None
    # XDG Base Directory Specification: a relative path is to be ignored.
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        return (base if base.is_absolute() else Path.home() / ".cache") / "convbase" / "conv_bases"
    except RuntimeError:
        return None  # The user has no home.


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def evict(entries: Iterable[Path], most_bytes: int) -> None:
    """Removes what has not been used for longest, until the rest is no larger than so many bytes.

    Args:
        entries: Files, and folders with all that is in them; when one was last used is when it was last modified. Those
            that another process removes meanwhile count for nothing.
        most_bytes: How many.

    Raises:
        OSError: If they cannot be looked at.
    """
    used = [(found.st_mtime, entry) for entry in entries if (found := _stat(entry)) is not None]
    kept = 0
    for _, entry in sorted(used, reverse=True):
        files = entry.rglob("*") if entry.is_dir() else [entry]
        kept += sum(
            found.st_size for file in files if (found := _stat(file)) is not None and stat.S_ISREG(found.st_mode)
        )
        if kept <= most_bytes:
            continue
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
