"""What holds of whatever lies in a store: receipts, and entries of a table's log."""

import functools
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

import pyarrow as pa
from deltalake.exceptions import DeltaError

from schemas.delta import Scan, commits_between, damaged_entries, files_of, table_history
from schemas.errors import ConvbaseError
from schemas.fragments import Fragment, TableName, leave_receipt, read_receipts, remove_receipts
from schemas.store import FeatureStore
from tests.fuzz.mutations import json_text, mutated, mutated_json
from tests.fuzz.target import Target, refusal
from tests.support.fragments import SPEC, fragment
from transforms.planning.adoption import finished_images
from transforms.planning.snapshot import Snapshot

_RUN: Final = "r"
_COMMITS: Final = 4
_CHECKPOINT_AFTER: Final = 3
# What a command says in one sentence (`run_main`).
_REFUSED: Final = (ConvbaseError, OSError, DeltaError, pa.ArrowInvalid)


class Replaced(NamedTuple):
    """A file of a table's log, by its number among them, with another content."""

    file: int
    content: bytes


@functools.cache
def _store() -> FeatureStore:
    """A store with four commits to `features`, a checkpoint, and a fragment that is finished and not committed."""
    store = FeatureStore.create(tempfile.mkdtemp(prefix="store"), SPEC)
    store.features().alter.set_table_properties({"delta.checkpointInterval": str(_CHECKPOINT_AFTER)})
    for number in range(_COMMITS):
        written = fragment(store, {f"file:///{number}.jpg": 1.0})
        store.commit_fragments(TableName.FEATURES, f"run-{number}", [written])
    leave_receipt(store.uri, _RUN, fragment(store, {"file:///new.jpg": 1.0}))
    return store


def _folder(*names: str) -> Path:
    return Path(_store().uri.removeprefix("file://"), *names)


@functools.cache
def _receipt() -> tuple[Path, bytes]:
    (path,) = _folder("receipts", _RUN).iterdir()
    return path, path.read_bytes()


@functools.cache
def _log() -> Sequence[tuple[Path, bytes]]:
    paths = sorted(_folder("features", "_delta_log").iterdir())
    return [(path, path.read_bytes()) for path in paths]


def _mutated_lines(content: bytes, chance: Random) -> bytes:
    """Returns JSON, an object a line, with one or two of them mutated."""
    lines = content.splitlines()
    for at in chance.sample(range(len(lines)), min(len(lines), chance.choice((1, 1, 2)))):
        value = json.loads(lines[at])
        for _ in range(chance.choice((1, 1, 3))):
            value = mutated_json(value, chance)
        lines[at] = json_text(value, chance)
    return b"\n".join(lines)


def _receipt_text(chance: Random) -> bytes:
    _, content = _receipt()
    return mutated(content, chance) if chance.random() < 0.2 else _mutated_lines(content, chance)


def check_receipt(content: bytes) -> str:
    """A receipt that is none counts for nothing; one that is names a file below its table, or a command refuses it."""
    path, _ = _receipt()
    path.write_bytes(content)
    store = _store()
    try:
        found = list(read_receipts(store.uri))
        images = sum(batch.num_rows for batch in finished_images(Snapshot.newest(store)))
        remove_receipts(store.uri, "another", [])
    except _REFUSED as error:
        return refusal(error)
    assert all(Fragment.from_json(one.to_json()) == one for one in found)
    return f"{len(found)} receipts, {images} images"


def _entry(chance: Random) -> Replaced:
    number = chance.randrange(len(_log()))
    path, content = _log()[number]
    is_text = path.suffix == ".json" or path.name.startswith("_")
    if is_text and chance.random() < 0.8:
        return Replaced(number, _mutated_lines(content, chance))
    return Replaced(number, mutated(content, chance))


def check_entry(case: Replaced) -> str:
    """A table whose log is foreign or damaged is read, from files below its folder, or refused by a sentence."""
    path, whole = _log()[case.file]
    path.write_bytes(case.content)
    uri = f"{_store().uri}/{TableName.FEATURES}"
    try:
        return _read(uri)
    except _REFUSED as error:
        return refusal(error)
    finally:
        path.write_bytes(whole)


def _read(uri: str) -> str:
    damaged_entries(uri)
    store = FeatureStore.open(_store().uri)
    table = store.features()
    for name in files_of(table)["path"].to_pylist():
        assert ".." not in name.split("/")
    list(table_history(uri, 10))
    commits_between(uri, 0, table.version())
    rows = Scan(table, ["uri", "version"]).to_arrow().num_rows
    return f"{rows} rows"


# The files of the log in the order of their names: the entry of version 1, that of the newest, and its checkpoint.
_FIRST, _NEWEST, _CHECKPOINT = 1, 7, 6
FAILED_RECEIPTS: Final[Mapping[str, bytes]] = {
    "a path that is a number": b'{"path": 1, "rows": 1, "size": 1, "statistics": "{}", "table": "features"}',
    "lists within lists": b"[" * 100_000,
}
FAILED_ENTRIES: Final[Mapping[str, Replaced]] = {
    "not UTF-8": Replaced(_FIRST, b'{"commitInfo": {"run_id": "\xa8"}}'),
    "no JSON": Replaced(_FIRST, b'{"commitInfo": {'),
    "a commit that is a number": Replaced(_NEWEST, b'{"commitInfo": 5}'),
    "nothing said of a commit": Replaced(_NEWEST, b'{"commitInfo": {}}'),
    "an operation that is a number": Replaced(_NEWEST, b'{"commitInfo": {"timestamp": "x", "operation": 0.5}}'),
    "a checkpoint that is none": Replaced(_CHECKPOINT, b"PAR1"),
}

RECEIPTS: Final = Target(_receipt_text, check_receipt, FAILED_RECEIPTS)
LOGS: Final = Target(_entry, check_entry, FAILED_ENTRIES)
