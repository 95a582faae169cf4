"""Which images have to be processed, and in which shards."""

import pyarrow as pa
import pytest

from schemas.annotations import hashed
from schemas.images import REF_SCHEMA
from schemas.store import InputCounts, LabelCounts
from transforms.planning.anti_join import hash_name, new_images
from transforms.planning.plan import Plan, full_shards, plan_images
from transforms.shuffle import PARTITIONS
from transforms.shuffle.partitioning import Partitioner

Key = tuple[str, str]
KNOWN = pa.schema(
    {
        "uri": pa.string(),
        "version": pa.string(),
        "has_features": pa.bool_(),
        "file": pa.dictionary(pa.int32(), pa.string()),
    }
)
FINISHED = pa.schema({"uri": pa.string(), "version": pa.string(), "fragment": pa.dictionary(pa.int32(), pa.string())})


def refs(*keys: Key) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{"uri": uri, "version": version} for uri, version in keys], REF_SCHEMA)


def known(*keys: Key, has_features: bool = True) -> pa.RecordBatch:
    rows = [
        {"uri": uri, "version": version, "has_features": has_features, "file": "f" if has_features else None}
        for uri, version in keys
    ]
    return pa.RecordBatch.from_pylist(rows, KNOWN)


def keys(batch: pa.RecordBatch | None) -> list[tuple[str, str, bool]]:
    assert batch is not None
    return [(row["uri"], row["version"], bool(row["_supersedes"])) for row in batch.to_pylist()]


def test_everything_is_new_in_an_empty_store() -> None:
    batch, _, counts = new_images([refs(("b", "1"), ("a", "1"))], [])
    assert keys(batch) == [("a", "1", False), ("b", "1", False)]
    assert counts == InputCounts(listed=2)


def test_known_images_are_skipped() -> None:
    batch, _, counts = new_images([refs(("a", "1"), ("b", "1"))], [known(("a", "1"), ("z", "1"))])
    assert keys(batch) == [("b", "1", False)]
    assert counts == InputCounts(listed=2, skipped=1)


def test_finished_images_are_adopted_and_counted() -> None:
    finished = pa.RecordBatch.from_pydict({"uri": ["b"], "version": ["1"], "fragment": ["{}"]}, FINISHED)
    plan = plan_images([refs(("a", "1"), ("b", "1"), ("c", "1"))], [known(("c", "1"))], [finished])
    assert keys(plan.refs) == [("a", "1", False)]
    assert [(described, keys(taken)) for described, taken in plan.finished] == [("{}", [("b", "1", False)])]
    assert plan.counts == InputCounts(listed=3, skipped=1)
    assert plan_images([], [], [finished]) == Plan(None, [], InputCounts())


def test_a_changed_image_supersedes() -> None:
    batch, *_ = new_images([refs(("a", "2"))], [known(("a", "1"))])
    assert keys(batch) == [("a", "2", True)]


def test_a_known_failure_is_skipped_but_has_no_row_to_supersede() -> None:
    failures = known(("a", "1"), has_features=False)
    assert new_images([refs(("a", "1"))], [failures]) == (None, None, InputCounts(listed=1, skipped=1))
    batch, *_ = new_images([refs(("a", "2"))], [failures])
    assert keys(batch) == [("a", "2", False)]


def test_an_image_mentioned_twice_counts_once() -> None:
    batch, _, counts = new_images([refs(("b", "1"), ("b", "2"), ("a", "1")), refs(("b", "1"), ("a", "1"))], [])
    assert keys(batch) == [("a", "1", False), ("b", "1", False)]
    assert counts == InputCounts(listed=2, duplicates=3)


def test_columns_that_are_carried_along_stay_with_their_image() -> None:
    schema = pa.schema([*REF_SCHEMA, ("tags", pa.list_(pa.string()))])
    rows = [{"uri": uri, "version": "1", "tags": [uri]} for uri in ("c", "a", "b")]
    batch, *_ = new_images([pa.RecordBatch.from_pylist(rows, schema)], [known(("b", "1"))])
    assert batch is not None
    assert [(row["uri"], row["tags"]) for row in batch.to_pylist()] == [("a", ["a"]), ("c", ["c"])]


def annotated_refs(*rows: tuple[str, str | None], given: str | None = '["label"]') -> pa.RecordBatch:
    values = [{"uri": uri, "version": "1", "label": label, "_given": given} for uri, label in rows]
    return pa.RecordBatch.from_pylist(values, REF_SCHEMA)


def known_labels(**labels: str | None) -> pa.RecordBatch:
    rows = known(*((uri, "1") for uri in labels))
    return rows.append_column(hash_name("label"), pa.array(hashed(pa.array(list(labels.values()), pa.string()))))


def changed(*batches: pa.RecordBatch, refresh: bool = False, **labels: str | None) -> list[tuple[str, str | None]]:
    """The images whose labels the plan brings up to date."""
    plan = plan_images(batches, [known_labels(**labels)], annotations=["label"], refresh=refresh)
    rows = [] if plan.updates is None else plan.updates.to_pylist()
    assert all(row["_known_in"] == "f" for row in rows)
    return [(row["uri"], row["label"]) for row in rows]


@pytest.mark.parametrize(
    ("said", "given", "updated"),
    [
        ("cat", '["label"]', []),
        ("dog", '["label"]', [("a", "dog")]),
        ("dog", None, [("a", "dog")]),
        (None, '["label"]', [("a", None)]),
        (None, '["split"]', []),
        (None, None, []),
    ],
)
def test_known_images_of_which_the_input_says_something_else_are_brought_up_to_date(
    said: str | None, given: str | None, updated: list[tuple[str, str | None]]
) -> None:
    assert changed(annotated_refs(("a", said), ("new", "cat"), given=given), a="cat", b="cat") == updated
    assert changed(annotated_refs(("a", said), given=given), refresh=True, a="cat") == []


def test_an_image_that_is_named_with_several_labels_keeps_the_one_that_it_has() -> None:
    both = [annotated_refs(("a", "dog")), annotated_refs(("a", "cat"), ("a", "cow"))]
    for batches in (both, both[::-1]):
        assert changed(*batches, a="cat") == []
    assert changed(*both, a="sheep") == [("a", "dog")]


def test_of_several_rows_of_an_image_one_with_a_label_counts() -> None:
    batch, *_ = new_images([annotated_refs(("a", None), ("b", "x"), ("a", "cat"))], [])
    assert batch is not None
    assert [(row["uri"], row["label"]) for row in batch.to_pylist()] == [("a", "cat"), ("b", "x")]


def test_an_image_that_is_superseded_names_the_file_that_holds_it() -> None:
    batch, *_ = new_images([refs(("a", "2"), ("b", "1"))], [known(("a", "1"))])
    assert batch is not None
    assert [(row["uri"], row["_known_in"]) for row in batch.to_pylist()] == [("a", "f"), ("b", None)]


def test_labels_are_counted_once_an_image() -> None:
    a, b, c = (f"file:///{name}" for name in ("x/a", "x/b", "y/c"))
    rows = [(a, "cat"), (b, "cat"), (b, "dog"), (c, None), (c, None), (a, "cat")]
    *_, counts = new_images([annotated_refs(*rows)], [])
    assert counts.labels == LabelCounts(
        classes={"cat": 2}, unlabelled=1, contradictions=1, contradicted=(f"{b} (cat, dog)",), folders=("y",)
    )


def test_label_counts_add_up_and_stay_small() -> None:
    many = [LabelCounts(classes={f"{number}": 1 for number in range(start, start + 800)}) for start in (0, 400, 800)]
    total = sum(many, LabelCounts(contradicted=("a", "b"))) + LabelCounts(contradicted=("c", "d"), folders=("x",))
    assert total.labelled == 2400
    assert len(total.classes) == 1000
    assert total.contradicted == ("a", "b", "c")
    assert LabelCounts.from_json(total.to_json()) == total


def partitioned(*batches: pa.RecordBatch) -> list[tuple[int, pa.RecordBatch]]:
    partitioner = Partitioner()
    return [*(piece for batch in batches for piece in partitioner.add(batch)), *partitioner.rest()]


def test_partitions_hold_every_row_once_and_a_uri_always_in_the_same() -> None:
    uris = [f"s3://bucket/{number}.jpg" for number in range(1000)]
    parts = partitioned(refs(*((uri, "1") for uri in uris)))
    assert sorted(row["uri"] for _, batch in parts for row in batch.to_pylist()) == sorted(uris)
    where = {row["uri"]: partition for partition, batch in parts for row in batch.to_pylist()}
    assert all(0 <= partition < PARTITIONS for partition in where.values())
    for partition, batch in partitioned(refs(*((uri, "2") for uri in reversed(uris)))):
        assert all(where[row["uri"]] == partition for row in batch.to_pylist())
    # Known values: another release or process must not put an image elsewhere.
    assert [where[f"s3://bucket/{number}.jpg"] for number in range(4)] == [7, 29, 23, 3]


@pytest.mark.parametrize(("rows", "shards", "rest"), [(0, 0, 0), (5, 0, 5), (10, 1, 0), (25, 2, 5)])
def test_shards_are_full_and_the_rest_is_kept(rows: int, shards: int, rest: int) -> None:
    full, left = full_shards(refs(*((f"{number:03}", "1") for number in range(rows))), 10)
    assert [shard.num_rows for shard in full] == [10] * shards
    assert (left.num_rows if left is not None else 0) == rest
    together = [row["uri"] for shard in [*full, *([left] if left is not None else [])] for row in shard.to_pylist()]
    assert together == [f"{number:03}" for number in range(rows)]
