"""What holds of specs: in the table of a store, and in the list beside the files of its conv base."""

import functools
import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

from schemas.errors import ConvbaseError
from schemas.spec import FeatureSpec
from schemas.storage import PublishedBase, PublishedFile, PublishedList
from schemas.store import FeatureStore
from schemas.tables import features_schema
from tests.fuzz.mutations import json_text, mutated, mutated_json
from tests.fuzz.target import Target, refusal
from tests.support.fragments import SPEC
from transforms.conv_bases.published import LIST_FILE, damaged_files, fetch_published, is_published, published_list

_SPEC: Final = "convbase.spec"
_FILES: Final = "convbase.conv_base_files"
_CONTENTS: Final = {"base.xml": b"<net/>", "base.bin": b"weights", "spec.json": b"{}"}


class Said(NamedTuple):
    """What somebody says of a conv base.

    Attributes:
        where: A property of the table, or the name of the list beside the files.
        text: What stands there.
    """

    where: str
    text: bytes


class _Made(NamedTuple):
    """A store with the files of a conv base, which are none, and the first entry of its table's log."""

    store: FeatureStore
    folder: Path
    entry: Path
    actions: list[dict[str, Any]]


@functools.cache
def _made() -> _Made:
    files = tuple(PublishedFile.of(name, name, content) for name, content in _CONTENTS.items())
    store = FeatureStore.create(tempfile.mkdtemp(prefix="store"), SPEC, files)
    folder = Path(store.conv_base_uri.removeprefix("file://"))
    folder.mkdir(parents=True)
    for name, content in _CONTENTS.items():
        (folder / name).write_bytes(content)
    (entry,) = Path(store.uri.removeprefix("file://"), "features", "_delta_log").glob("*.json")
    return _Made(store, folder, entry, [json.loads(line) for line in entry.read_text().splitlines()])


def _right(where: str) -> dict[str, Any]:
    """Returns what stands there rightly."""
    files = tuple(PublishedFile.of(name, name, content) for name, content in _CONTENTS.items())
    if where == _SPEC:
        return SPEC.to_dict()
    if where == _FILES:
        return {"files": [file.to_dict() for file in files]}
    return {**PublishedList.of(SPEC, files).to_dict(), "stored_as": {"base.xml": "base.xml"}}


def _said(chance: Random) -> Said:
    where = chance.choice((_SPEC, _FILES, LIST_FILE, LIST_FILE))
    value: Any = _right(where)
    for _ in range(chance.choice((1, 1, 2, 4))):
        value = mutated_json(value, chance)
    text = json_text(value, chance)
    return Said(where, mutated(text, chance) if text and chance.random() < 0.1 else text)


def check_said(case: Said) -> str:
    """It is read as it stands there, or refused by a sentence; a file is the one of which its SHA-256 is said."""
    made = _made()
    try:
        if case.where == LIST_FILE:
            (made.folder / LIST_FILE).write_bytes(case.text)
            return _check_base(PublishedBase(made.store.conv_base_uri))
        _put_property(made, case)
        store = FeatureStore.open(made.store.uri)
        _check_spec(store.spec)
        return _check_base(store.conv_base())
    except ConvbaseError as error:
        return refusal(error)
    finally:
        (made.folder / LIST_FILE).unlink(missing_ok=True)
        _write_entry(made, made.actions)


def _put_property(made: _Made, case: Said) -> None:
    actions = json.loads(json.dumps(made.actions))
    (metadata,) = [action["metaData"] for action in actions if "metaData" in action]
    metadata["configuration"][case.where] = case.text.decode("utf-8", "replace")
    _write_entry(made, actions)


def _write_entry(made: _Made, actions: list[dict[str, Any]]) -> None:
    made.entry.write_text("".join(json.dumps(action) + "\n" for action in actions))


def _check_spec(spec: FeatureSpec) -> None:
    """A spec is the same once it is written and read again, and one that is resolved has a table."""
    assert FeatureSpec.from_json(spec.to_json()).to_json() == spec.to_json()
    assert spec.differences(spec.fields_of_features()) == []
    if spec.is_resolved:
        assert len(spec.fingerprint) == 16
        features_schema(spec)


def _check_base(base: PublishedBase) -> str:
    """Each file that is fetched is the one that is told of; the others are named as damaged, or the base is no base."""
    is_published(base)
    damaged = damaged_files(base)
    if not base.files:
        _check_spec(published_list(base.uri).spec)
    told = {file.name: file for file in base.files or published_list(base.uri).files()}
    for name in _CONTENTS:
        with tempfile.TemporaryDirectory() as folder:
            try:
                fetch_published(base, (name,), Path(folder))
            except ConvbaseError as error:
                refusal(error)
                assert name not in told or {told[name].path, LIST_FILE} & {*damaged}
            else:
                content = Path(folder, name).read_bytes()
                assert told[name].sha256 in {"", hashlib.sha256(content).hexdigest()}
    return f"{len(damaged)} damaged"


KNOWN: Final[Mapping[str, Said]] = {
    "a spec of nothing": Said(_SPEC, b"{}"),
    "a spec that is no text": Said(_SPEC, b"\xff"),
    "files beyond the folder": Said(_FILES, b'{"files": [{"name": "base.xml", "path": "../../x"}]}'),
    "no files": Said(_FILES, b'{"files": []}'),
    "a list of nothing": Said(LIST_FILE, b""),
    "lists in lists": Said(LIST_FILE, b"[" * 100_000),
}

SPECS: Final = Target(_said, check_said, KNOWN)
