"""Receipts: what a worker leaves beside a fragment once it is complete, so that a run that is killed loses little.

    <store>/receipts/<run_id>/<name of the fragment>.json

A receipt is the fragment's description, its SHA-256 included, and a SHA-256 of itself. It is written once the fragment
is on the disk; one that is cut off or altered, or that a newer version has written otherwise, counts for nothing, and a
vacuum removes it. Where workers are on machines of their own, the first of them leaves a file `started` there as well.
"""

import concurrent.futures
import contextlib
import functools
import json
import logging
import posixpath
from collections.abc import Iterable, Iterator
from typing import Final

import fsspec

from schemas.errors import shown
from schemas.fragments.fragment import Fragment
from schemas.fragments.statistics import has_statistics
from schemas.serialisation import json_object, with_checksum, without_checksum
from schemas.storage import file_system, join, leaves_folder, write_file

RECEIPTS: Final = "receipts"

_CHECKSUM: Final = "receipt_sha256"
_STARTED: Final = "started"
_READERS: Final = 16
_LOGGER: Final = logging.getLogger(__name__)


def leave_receipt(store_uri: str, run_id: str, fragment: Fragment) -> None:
    """Writes the receipt of a fragment that is complete on storage.

    Raises:
        OSError: If the store cannot be written.
    """
    name = posixpath.basename(fragment.path).removesuffix(".parquet")
    content = json.dumps(with_checksum(fragment.to_dict(), _CHECKSUM), sort_keys=True)
    write_file(join(store_uri, RECEIPTS, run_id, f"{name}.json"), content.encode())


def read_receipts(store_uri: str, run_id: str | None = None) -> Iterator[Fragment]:
    """Yields the fragments of receipts in a store that can be read, of one run or of all, whether committed or not."""
    for _, fragment in _receipts(store_uri, run_id or ""):
        yield fragment


def leave_start(store_uri: str, run_id: str) -> None:
    """Says in the store that a worker of a run has started, for a launcher that sees no worker.

    Raises:
        OSError: If the store cannot be written.
    """
    write_file(join(store_uri, RECEIPTS, run_id, _STARTED), b"")


def forget_start(store_uri: str, run_id: str) -> None:
    """Takes away what an earlier attempt at a run has said of its start, as far as that is possible."""
    if has_started(store_uri, run_id):
        fs, path = file_system(join(store_uri, RECEIPTS, run_id, _STARTED))
        with contextlib.suppress(OSError):
            fs.rm_file(path)


def has_started(store_uri: str, run_id: str) -> bool:
    """Whether a worker of a run has said that it has started; not known counts as no."""
    fs, path = file_system(join(store_uri, RECEIPTS, run_id, _STARTED))
    fs.invalidate_cache()
    try:
        return bool(fs.exists(path))
    except OSError:
        return False


def remove_receipts(store_uri: str, run_id: str, committed_paths: Iterable[str]) -> None:
    """Removes receipts that are of no more use, as far as that is possible: nothing depends on it.

    Args:
        store_uri: The store.
        run_id: A run that is committed; all of its receipts go.
        committed_paths: Paths of fragments in the table; their receipts are removed, whichever run left them.
    """
    committed = set(committed_paths)
    fs, root = file_system(join(store_uri, RECEIPTS))
    own = f"{root}/{run_id}/"
    try:
        for path, fragment in _receipts(store_uri):
            if path.startswith(own) or fragment.path in committed:
                fs.rm_file(path)
        if has_started(store_uri, run_id):
            fs.rm_file(f"{own}{_STARTED}")
    except OSError as error:
        _LOGGER.warning("Receipts of the run %s are left: %s", run_id, error)


def _receipts(store_uri: str, run_id: str = "") -> Iterator[tuple[str, Fragment]]:
    fs, root = file_system(join(store_uri, RECEIPTS, run_id))
    fs.invalidate_cache(root)
    paths = [path for path in fs.find(root) if path.endswith(".json")]
    with concurrent.futures.ThreadPoolExecutor(_READERS, "receipts") as pool:
        texts = pool.map(functools.partial(_read, fs), paths)
        for path, text in zip(paths, texts, strict=True):
            try:
                yield path, _described(text)
            except ValueError as error:
                if text:
                    _LOGGER.warning("The receipt %s is damaged and counts for nothing: %s", path, error)


def _described(text: bytes) -> Fragment:
    """Returns a fragment that somebody has written down, if it can be one of a table.

    Raises:
        ValueError: If it was altered, its file is none below the table's folder, or its statistics are none of so many
            rows.
    """
    fragment = Fragment.from_dict(without_checksum(json_object(text), _CHECKSUM))
    if leaves_folder(fragment.path) or fragment.path.startswith("_") or not fragment.path.endswith(".parquet"):
        raise ValueError(f"{shown(fragment.path)} is no data file of a table.")
    if not has_statistics(fragment.statistics, fragment.rows):
        raise ValueError(f"The statistics are none of {fragment.rows} rows.")
    return fragment


def _read(fs: fsspec.AbstractFileSystem, path: str) -> bytes:
    try:
        return bytes(fs.cat_file(path))
    except FileNotFoundError:
        return b""
