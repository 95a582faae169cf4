"""What holds of a table, whatever lies in the folder of its log."""

import functools
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

import pyarrow as pa
from deltalake.exceptions import DeltaError

from schemas.delta import Scan, commits_between, damaged_entries, files_of, open_table, table_history
from schemas.errors import ConvbaseError
from schemas.fragments import TableName
from schemas.store import FeatureStore
from tests.fuzz.mutations import json_text, mutated, mutated_json
from tests.fuzz.target import Target, refusal
from tests.support.fragments import SPEC, fragment

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
    """A store with four commits to `features`, and checkpoints."""
    store = FeatureStore.create(tempfile.mkdtemp(prefix="store"), SPEC)
    store.features().alter.set_table_properties({"delta.checkpointInterval": str(_CHECKPOINT_AFTER)})
    for number in range(_COMMITS):
        written = fragment(store, {f"file:///{number}.jpg": 1.0})
        store.commit_fragments(TableName.FEATURES, f"run-{number}", [written])
    return store


def _folder(*names: str) -> Path:
    return Path(_store().uri.removeprefix("file://"), *names)


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
    table = open_table(uri)
    for name in files_of(table)["path"].to_pylist():
        assert ".." not in name.split("/")
    list(table_history(uri, 10))
    commits_between(uri, 0, table.version())
    rows = Scan(table, ["uri", "version"]).to_arrow().num_rows
    return f"{rows} rows"


# The files of the log in the order of their names: the entry of version 1, that of the newest, and its checkpoint.
_FIRST, _NEWEST, _CHECKPOINT = 1, 7, 6
FAILED: Final[Mapping[str, Replaced]] = {
    "not UTF-8": Replaced(_FIRST, b'{"commitInfo": {"run_id": "\xa8"}}'),
    "no JSON": Replaced(_FIRST, b'{"commitInfo": {'),
    "a commit that is a number": Replaced(_NEWEST, b'{"commitInfo": 5}'),
    "nothing said of a commit": Replaced(_NEWEST, b'{"commitInfo": {}}'),
    "an operation that is a number": Replaced(_NEWEST, b'{"commitInfo": {"timestamp": "x", "operation": 0.5}}'),
    "a checkpoint that is none": Replaced(_CHECKPOINT, b"PAR1"),
}

LOGS: Final = Target(_entry, check_entry, FAILED)
