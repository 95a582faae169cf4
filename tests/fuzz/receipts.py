"""What holds of receipts: what is adopted of a run that was killed is what its fragment holds."""

import datetime
import functools
import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schemas.fragments import Fragment, TableName, leave_receipt, read_receipts
from schemas.images import REF_SCHEMA
from schemas.serialisation import with_checksum
from schemas.store import FeatureStore
from tests.fuzz.mutations import json_text, mutated, mutated_json
from tests.fuzz.target import Target
from tests.support.fragments import SPEC, fragment
from transforms.planning import Snapshot, adopt
from transforms.planning.adoption import finished_images

_CHECKSUM: Final = "receipt_sha256"
_COMMITTED: Final = {"file:///0.jpg": 0.0, "file:///1.jpg": 1.0}
_FINISHED: Final = {"file:///2.jpg": 2.0, "file:///3.jpg": 3.0}
_MOMENT: Final = datetime.datetime(2026, 1, 31, tzinfo=datetime.UTC)
_PATHS: Final = (
    "{}", "./{}", "/{}", "../features/{}", "x/../{}", "{}/", "{}\0", "a::{}", "file:///{}", "_delta_log/{}",
)  # fmt: skip


class Left(NamedTuple):
    """What a run has left.

    Attributes:
        receipt: The text of its receipt; or its fields that are others, of the statistics each part for itself.
        content: The bytes of its fragment; None if it is as it was written.
    """

    receipt: bytes | Mapping[str, Any]
    content: bytes | None = None


class _Made(NamedTuple):
    """A store with a committed fragment, and one that is finished.

    Attributes:
        store: The store.
        committed: The fragment in its table.
        finished: The fragment that has a receipt.
        receipt: The file of the receipt.
        content: The bytes of the finished fragment.
    """

    store: FeatureStore
    committed: Fragment
    finished: Fragment
    receipt: Path
    content: bytes

    def path(self, *names: str) -> Path:
        """Returns the path of something in the store."""
        return Path(self.store.uri.removeprefix("file://"), *names)


@functools.cache
def _made() -> _Made:
    store = FeatureStore.create(tempfile.mkdtemp(prefix="store"), SPEC)
    committed = fragment(store, _COMMITTED, name="committed", extracted_at=_MOMENT)
    store.commit_fragments(TableName.FEATURES, "run-1", [committed])
    finished = fragment(store, _FINISHED, name="killed", extracted_at=_MOMENT)
    leave_receipt(store.uri, "killed", finished)
    folder = Path(store.uri.removeprefix("file://"))
    (receipt,) = folder.glob("receipts/killed/*.json")
    return _Made(store, committed, finished, receipt, (folder / "features" / finished.path).read_bytes())


def _with_checksum(values: Any, chance: Random) -> bytes:
    is_right = isinstance(values, dict) and chance.random() < 0.9
    try:
        return json_text(with_checksum(values, _CHECKSUM) if is_right else values, chance)
    except (RecursionError, UnicodeError):  # Half of a character has no bytes.
        return json.dumps(values).encode()


def _altered(values: dict[str, Any], chance: Random) -> Any:
    """Returns the fields of a receipt with one or more of them changed."""
    match chance.randrange(6):
        case 0:
            values["path"] = chance.choice(_PATHS).format(chance.choice((values["path"], _made().committed.path)))
        case 1 | 2:  # A text of JSON, in which a value is changed.
            statistics = mutated_json(json.loads(values["statistics"]), chance)
            values["statistics"] = json.dumps(statistics)
            if isinstance(statistics, dict) and chance.random() < 0.8:
                values["rows"] = statistics.get("numRecords")
        case _:
            changed: Any = values
            for _ in range(chance.choice((1, 1, 2, 4))):
                changed = mutated_json(changed, chance)
            return changed
    return values


def _left(chance: Random) -> Left:
    made = _made()
    content = made.content
    for _ in range(chance.choice((0, 0, 1, 3))):
        content = mutated(content, chance)
    if chance.random() < 0.1:
        content = _other_file(chance)
    values = made.finished.to_dict()
    if chance.random() < 0.7:  # As whoever alters a file would write its receipt.
        values |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    if chance.random() < 0.1:
        return Left(mutated(_with_checksum(values, chance), chance), content)
    return Left(_with_checksum(_altered(values, chance) if chance.random() < 0.6 else values, chance), content)


def _other_file(chance: Random) -> bytes:
    """Returns a Parquet file of which the rows are of other types, or in another number."""
    columns: dict[str, list[Any]] = {"uri": [*_FINISHED], "version": ["1", "1"]}
    columns[chance.choice(("uri", "version", "label", "x"))] = chance.choice(
        ([1, 2], [b"a", b"\xff"], [None, None], [["a"], None], [1.5, float("nan")], [{"a": 1}, None], ["x", "y"])
    )
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns).slice(0, chance.choice((0, 1, 2))), sink)
    return bytes(sink.getvalue())


def check_left(case: Left) -> str:
    """What is adopted are the rows of the fragment, each once, and the table is read with them; or it is left alone.

    Of a receipt that is none, or whose fragment is another, nothing is adopted, and nothing is raised.
    """
    made = _made()
    folder = made.path("features")
    file = folder / made.finished.path
    before = {*folder.rglob("*")}
    content = made.content if case.content is None else case.content
    file.write_bytes(content)
    made.receipt.write_bytes(_text(case.receipt))
    try:
        return _adopted(made, content)
    finally:
        for path in {*folder.rglob("*")} - before:
            path.unlink()
        file.write_bytes(made.content)


def _adopted(made: _Made, content: bytes) -> str:
    told = list(read_receipts(made.store.uri))
    assert len(told) <= 1
    found = list(finished_images(Snapshot.newest(made.store)))
    if not found:
        return "a receipt, and no fragment of it" if told else "no receipt"
    fragment_of = told[0]
    assert (fragment_of.size, fragment_of.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert fragment_of.path == made.finished.path
    rows = pq.read_table(pa.BufferReader(content), columns=["uri", "version", "width", "sha256"]).to_pylist()
    keys = [(row["uri"], row["version"]) for row in rows]
    assert [(row["uri"], row["version"]) for batch in found for row in batch.to_pylist()] == keys
    refs = pa.RecordBatch.from_pylist([{"uri": uri, "version": version} for uri, version in keys], REF_SCHEMA)
    adopted = adopt(made.store.uri, "next", fragment_of.to_json(), [refs])
    assert (adopted.path, adopted.rows, adopted.sha256) == (fragment_of.path, len(rows), fragment_of.sha256)
    made.store.commit_fragments(TableName.FEATURES, "next/1", [adopted])
    is_own = content == made.content  # Another file may have other bounds in itself.
    for row in rows if is_own else ():  # By the bounds in the table it is not skipped.
        for name in ("uri", "width", "sha256"):
            where = (pc.field("uri") == row["uri"]) & (pc.field(name) == row[name])
            assert len(made.store.scan(["uri"], where).to_arrow()) == 1
    assert len(made.store.scan(["uri"]).to_arrow()) == len(rows) + len(_COMMITTED)
    return f"{len(rows)} rows"


def _text(receipt: bytes | Mapping[str, Any]) -> bytes:
    """Returns the text of a receipt: with other fields, and a checksum that is right."""
    if isinstance(receipt, bytes):
        return receipt
    values = _made().finished.to_dict()
    statistics = json.loads(values["statistics"])
    for name, value in receipt.items():
        if name == "path":
            values[name] = value.format(**_made()._asdict())
        elif name in statistics:
            statistics[name] |= value
        else:
            values[name] = value
    return json.dumps(with_checksum({**values, "statistics": json.dumps(statistics)}, _CHECKSUM)).encode()


FAILED: Final[Mapping[str, Left]] = {
    "bounds beside the rows": Left({"minValues": {"uri": "file:///3.jpg"}}),
    "bounds of another column": Left({"maxValues": {"width": 0}}),
    "nulls that are none": Left({"nullCount": {"width": 2}}),
    "copies that are none": Left({"augmented": 2}),
}
KNOWN: Final[Mapping[str, Left]] = {
    "as it was left": Left({}),
    "a fragment that is in the table": Left({"path": "{committed.path}"}),
    "the same path in another form": Left({"path": "./{finished.path}"}),
    "lists in lists": Left(b"[" * 100_000),
    "another fragment": Left({}, b"PAR1"),
}

RECEIPTS: Final = Target(_left, check_left, {**KNOWN, **FAILED})
