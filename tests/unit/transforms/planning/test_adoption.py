"""Which images of a run that was killed are taken over, and from which of its fragments."""

import dataclasses
import datetime
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.fragments import Fragment, leave_receipt, read_receipts, remove_receipts
from schemas.images import REF_SCHEMA
from schemas.maintenance import find_waste
from schemas.serialisation import with_checksum
from schemas.store import FeatureStore
from tests.support.fragments import SPEC, contents, fragment
from transforms.planning import Snapshot, adopt
from transforms.planning.adoption import finished_images
from transforms.planning.anti_join import without_finished


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore.create(str(tmp_path / "a store #1"), SPEC)


def refs(*uris: str, version: str = "1", supersedes: bool | None = None) -> pa.RecordBatch:
    rows = [{"uri": uri, "version": version, "_supersedes": supersedes} for uri in uris]
    return pa.RecordBatch.from_pylist(rows, REF_SCHEMA)


def finished(store: FeatureStore) -> list[pa.RecordBatch]:
    return list(finished_images(Snapshot.newest(store)))


def receipt(store: FeatureStore, *uris: str, run_id: str = "dead", version: str = "1") -> Fragment:
    written = fragment(store, dict.fromkeys(uris, 1.0), version, run_id=run_id)
    leave_receipt(store.uri, run_id, written)
    return written


def test_a_receipt_comes_back_as_it_was_left(store: FeatureStore) -> None:
    written = receipt(store, "a", "b")
    assert list(read_receipts(store.uri)) == [written]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '{"table": "features"}'])
def test_what_is_no_receipt_is_none(text: str, store: FeatureStore, tmp_path: Path) -> None:
    (tmp_path / "a store #1" / "receipts" / "dead").mkdir(parents=True)
    (tmp_path / "a store #1" / "receipts" / "dead" / "x.json").write_text(text)
    assert list(read_receipts(store.uri)) == []


def test_a_receipt_with_any_bit_flipped_is_none_or_says_the_same(store: FeatureStore) -> None:
    written = receipt(store, "a", "b")
    (path,) = Path(store.uri.removeprefix("file://"), "receipts").rglob("*.json")
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert list(read_receipts(store.uri)) in ([], [written]), content[place - 9 : place + 9]


@pytest.mark.parametrize("newer", [{"further": 1}, {"failures_by_code": 7}, {"given": {"label": True}}])
def test_a_receipt_of_a_newer_version_is_none(newer: dict[str, object], store: FeatureStore) -> None:
    """Its images are computed again, and its run goes on with it."""
    written = receipt(store, "a", "b")
    (path,) = Path(store.uri.removeprefix("file://"), "receipts").rglob("*.json")
    path.write_text(json.dumps(with_checksum({**written.to_dict(), **newer}, "receipt_sha256")))
    assert list(read_receipts(store.uri)) == []
    assert finished(store) == []


@pytest.mark.parametrize(
    "change",
    [
        {"path": "../failures/x.parquet"}, {"path": "/etc/x.parquet"}, {"path": "s3://bucket/x.parquet"},
        {"path": "a::file:///x.parquet"}, {"path": "_delta_log/x.parquet"}, {"path": "_delta_log/0.json"}, {"path": ""},
        {"statistics": "{}"}, {"statistics": "[" * 10_000}, {"statistics": '{"numRecords": 7}'}, {"rows": 7},
        {"rows": -2}, {"rows": 2.0}, {"rows": True}, {"size": "1"}, {"table": "other"}, {"sha256": None},
        {"given": "uri"},
        {"failures_by_code": [["no such code", 1]]}, {"failures_by_code": {"truncated": 1}}, {"more": 1},
    ],
    ids=lambda change: "{}={!r:.20}".format(*next(iter(change.items()))),
)  # fmt: skip
def test_a_receipt_that_was_altered_is_none_and_goes_with_the_next_vacuum(
    change: dict[str, object], store: FeatureStore, tmp_path: Path
) -> None:
    written = receipt(store, "a", "b")
    (path,) = (tmp_path / "a store #1" / "receipts").rglob("*.json")
    path.write_text(json.dumps({**written.to_dict(), **change}))
    assert list(read_receipts(store.uri)) == []
    assert finished(store) == []
    long_after = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=30)
    waste = find_waste(store.uri, datetime.timedelta(days=7), long_after)
    assert [uri.removeprefix("file://") for uri in waste.receipts] == [str(path)]


def test_a_fragment_that_is_no_table_of_images_is_not_adopted(store: FeatureStore) -> None:
    written = receipt(store, "a")
    path = Path(f"{store.uri.removeprefix('file://')}/features/{written.path}")
    for content in (b"no Parquet at all", parquet({"colour": ["red"]}), parquet({"uri": [1], "version": ["1"]})):
        path.write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        leave_receipt(store.uri, "dead", dataclasses.replace(written, size=len(content), sha256=sha256))
        assert len(list(read_receipts(store.uri))) == 1
        assert finished(store) == []


@pytest.mark.parametrize(
    "told",
    [
        {"numRecords": 3}, {"minValues": {"uri": "b"}}, {"maxValues": {"uri": "a"}}, {"nullCount": {"label": 0}},
        {"minValues": {"width": 2}}, {"maxValues": {"extracted_at": "2026-01-01T00:00:00.000000Z"}},
    ],
    ids=str,
)  # fmt: skip
def test_a_receipt_with_the_statistics_of_other_rows_is_not_adopted(told: dict[str, Any], store: FeatureStore) -> None:
    """Readers would skip the file, and miss its rows."""
    written = receipt(store, "a", "b")
    assert len(finished(store)) == 1
    statistics = json.loads(written.statistics)
    for part, values in told.items():
        statistics[part] = {**statistics[part], **values} if isinstance(values, dict) else values
    changed = dataclasses.replace(written, rows=statistics["numRecords"], statistics=json.dumps(statistics))
    leave_receipt(store.uri, "dead", changed)
    assert list(read_receipts(store.uri)) == [changed]
    assert finished(store) == []


def test_a_receipt_that_counts_other_copies_is_not_adopted(store: FeatureStore) -> None:
    leave_receipt(store.uri, "dead", dataclasses.replace(receipt(store, "a", "b"), augmented=1))
    assert finished(store) == []


def parquet(columns: dict[str, list[object]]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def test_finished_images_leave_the_work(store: FeatureStore) -> None:
    written = receipt(store, "a", "b", "c")
    left, taken = without_finished(refs("b", "c", "d"), finished(store))
    assert left is not None
    assert left.column("uri").to_pylist() == ["d"]
    ((described, wanted),) = taken
    assert described == written.to_json()
    assert wanted.column("uri").to_pylist() == ["b", "c"]


def test_another_version_is_not_finished(store: FeatureStore) -> None:
    receipt(store, "a")
    left, taken = without_finished(refs("a", version="2"), finished(store))
    assert left is not None
    assert (left.num_rows, taken) == (1, [])


def test_an_image_that_two_runs_have_finished_is_taken_once(store: FeatureStore) -> None:
    receipt(store, "a", "b", run_id="dead-1")
    receipt(store, "b", "c", run_id="dead-2")
    left, taken = without_finished(refs("a", "b", "c"), finished(store))
    assert left is None
    assert sorted(uri for _, wanted in taken for uri in wanted.column("uri").to_pylist()) == ["a", "b", "c"]


@pytest.mark.parametrize("damage", ["zeroed", "one bit flipped", "cut off", "gone", "of an older version"])
def test_a_damaged_fragment_is_not_adopted(damage: str, store: FeatureStore) -> None:
    receipt(store, "a", "b", run_id="good")
    bad = receipt(store, "c", "d", run_id="bad")
    path = Path(f"{store.uri.removeprefix('file://')}/features/{bad.path}")
    content = bytearray(path.read_bytes())
    if damage == "zeroed":
        path.write_bytes(bytes(len(content)))
    elif damage == "one bit flipped":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif damage == "cut off":
        path.write_bytes(content[:-1])
    elif damage == "gone":
        path.unlink()
    else:
        leave_receipt(store.uri, "bad", dataclasses.replace(bad, sha256=""))
    left, taken = without_finished(refs("a", "b", "c", "d"), finished(store))
    assert left is not None
    assert left.column("uri").to_pylist() == ["c", "d"]
    assert [wanted.column("uri").to_pylist() for _, wanted in taken] == [["a", "b"]]


def test_fragments_in_the_table_are_finished_no_more(store: FeatureStore) -> None:
    written = receipt(store, "a")
    store.commit_fragments(written.table, "dead/1", [written])
    assert finished(store) == []


def test_a_fragment_is_adopted_as_it_is_or_in_part(store: FeatureStore) -> None:
    written = receipt(store, "a", "b")
    whole = adopt(store.uri, "next", written.to_json(), [refs("a"), refs("b")])
    assert (whole.path, whole.rows, whole.adopted, whole.supersedes) == (written.path, 2, True, False)
    part = adopt(store.uri, "next", written.to_json(), [refs("b", supersedes=True)])
    assert (part.rows, part.adopted, part.supersedes) == (1, True, True)
    assert part.path.startswith("ds=2026-01-31/next-")
    store.commit_fragments(part.table, "next/1", [part])
    assert contents(store) == {("b", "1"): 1}


def test_receipts_go_with_their_run_and_with_their_fragments(store: FeatureStore) -> None:
    own, adopted, other = (receipt(store, "a", run_id=run_id) for run_id in ("own", "dead", "alive"))
    remove_receipts(store.uri, "own", [adopted.path])
    assert list(read_receipts(store.uri)) == [other]
    assert own != other
