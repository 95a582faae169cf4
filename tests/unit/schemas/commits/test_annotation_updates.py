"""Annotations of known images follow the input in one commit, whatever others commit at the same time."""

import dataclasses
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pytest

from schemas.commits import FileUpdate, update_file
from schemas.commits import commit as commit_module
from schemas.delta import paths_of, transactions
from schemas.fragments import Fragment, TableName
from schemas.images import GIVEN, REF_SCHEMA
from schemas.maintenance import compact, take_down
from schemas.store import FeatureStore
from tests.support.fragments import SPEC, contents, fragment
from transforms.planning import Snapshot

IMAGES = {"a": 1.0, "b": 2.0, "c": 3.0}


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    """Holds a, b and c in one file, all of them cats, and d in another."""
    store = FeatureStore.create(str(tmp_path / "a store #1"), SPEC)
    first, second = fragment(store, IMAGES, label="cat"), fragment(store, {"d": 4.0}, label="cat")
    store.commit_fragments(TableName.FEATURES, "first", [first, second])
    return store


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "_FIRST_PAUSE_SECONDS", 0.001)


def said(labels: Mapping[str, str | None], split: str | None = None) -> pa.RecordBatch:
    given = '["label"]' if split is None else '["label", "split"]'
    rows = [{"uri": uri, "version": "1", "label": label, "split": split, GIVEN: given} for uri, label in labels.items()]
    return pa.RecordBatch.from_pylist(rows, REF_SCHEMA)


def updates(store: FeatureStore, refs: pa.RecordBatch, run_id: str = "r") -> list[FileUpdate]:
    """Writes every file again in which the refs say something new, as workers do."""
    table = store.features()
    made = [
        update_file(f"{store.uri}/features", path, pa.schema(table.schema()), run_id, lambda: refs)
        for path in sorted(paths_of(table))
    ]
    return [update for update in made if update is not None]


def commit(
    store: FeatureStore,
    run_id: str,
    made: list[FileUpdate],
    own: list[Fragment] | None = None,
    since: int | None = None,
) -> int:
    """Commits, and returns how many images were brought up to date."""
    versions = {**Snapshot.newest(store).versions, **({} if since is None else {TableName.FEATURES: since})}
    done = store.commit_fragments(TableName.FEATURES, run_id, own or [], versions, updates=made)
    return done.totals.labels_updated


def labels(store: FeatureStore) -> dict[str, tuple[str | None, str | None]]:
    rows = store.scan(["uri", "label", "split"]).to_arrow().to_pylist()
    assert len({row["uri"] for row in rows}) == len(rows)
    return {row["uri"]: (row["label"], row["split"]) for row in rows}


CATS = dict.fromkeys("abcd", ("cat", "train"))


def test_one_commit_brings_rows_up_to_date_and_touches_no_other_file(store: FeatureStore) -> None:
    before = paths_of(store.features())
    made = updates(store, said({"a": "dog", "b": None, "c": "cat"}, "test"))
    assert labels(store) == CATS
    assert commit(store, "r", made) == 3
    assert labels(store) == {"a": ("dog", "test"), "b": (None, "test"), "c": ("cat", "test"), "d": ("cat", "train")}
    assert contents(store) == {(uri, "1"): value for uri, value in {**IMAGES, "d": 4.0}.items()}
    assert store.features().version() == 2
    assert len(before & paths_of(store.features())) == 1


def test_a_commit_that_is_done_again_counts_the_same_and_changes_nothing(store: FeatureStore) -> None:
    made = updates(store, said({"a": "dog"}))
    assert [commit(store, "r", made) for _ in range(2)] == [1, 1]
    assert store.features().version() == 2


def test_where_nothing_is_new_nothing_is_written(store: FeatureStore) -> None:
    assert updates(store, said({"a": "cat", "z": "dog"})) == []
    assert commit(store, "r", []) == 0
    assert store.features().version() == 1


def test_a_file_in_which_one_image_is_superseded_and_another_updated_is_both(store: FeatureStore) -> None:
    made = updates(store, said({"a": "dog", "d": "dog"}))
    newer = fragment(store, {"b": 20.0}, version="2", label="cow", supersedes=True)
    assert commit(store, "r", made, [newer]) == 2
    assert contents(store) == {("a", "1"): 1, ("b", "2"): 20, ("c", "1"): 3, ("d", "1"): 4}
    assert {uri: label for uri, (label, _) in labels(store).items()} == {"a": "dog", "b": "cow", "c": "cat", "d": "dog"}


def compaction(store: FeatureStore) -> None:
    compact(store.uri, TableName.FEATURES)


def another_run(store: FeatureStore) -> None:
    commit(store, "other", updates(store, said({"a": "cow", "b": "cow"}, "validation"), "other"))


def takedown(store: FeatureStore) -> None:
    take_down(store.uri, pa.array(["b"]), None)


def newer_picture(store: FeatureStore) -> None:
    commit(store, "other", [], [fragment(store, {"b": 20.0}, version="2", label="cow", supersedes=True)])


@pytest.mark.parametrize(
    ("between", "left"),
    [
        (compaction, {**CATS, "a": ("dog", "test"), "b": ("dog", "test")}),
        (another_run, {**CATS, "a": ("dog", "test"), "b": ("dog", "test")}),
        (takedown, {"a": ("dog", "test"), "c": ("cat", "train"), "d": ("cat", "train")}),
        (newer_picture, {**CATS, "a": ("dog", "test"), "b": ("dog", "test")}),
    ],
)
def test_what_others_did_to_the_file_meanwhile_stays(
    between: Callable[[FeatureStore], None], left: dict[str, tuple[str, str]], store: FeatureStore
) -> None:
    made = updates(store, said({"a": "dog", "b": "dog"}, "test"))
    between(store)
    assert commit(store, "r", made, since=1) == sum(value == ("dog", "test") for value in left.values())
    assert labels(store) == left


def test_a_commit_that_lost_a_conflict_looks_again(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another run commits between the look of this one and its commit."""
    made = updates(store, said({"a": "dog"}, "test"))
    superseding_actions = commit_module.superseding_actions

    def overtaken(*arguments: object) -> list[object]:
        monkeypatch.setattr(commit_module, "superseding_actions", superseding_actions)
        actions = list(superseding_actions(*arguments))
        another_run(store)
        return actions

    monkeypatch.setattr(commit_module, "superseding_actions", overtaken)
    assert commit(store, "r", made) == 1
    assert labels(store) == {**CATS, "a": ("dog", "test"), "b": ("cow", "validation")}


def test_an_update_that_another_run_has_made_is_none(store: FeatureStore) -> None:
    refs = said({"a": "dog", "b": "dog"}, "test")
    first, second = updates(store, refs, "one"), updates(store, refs, "two")
    assert commit(store, "one", first) == 2
    assert commit(store, "two", second, since=1) == 0
    assert store.features().version() == 2


def computed(store: FeatureStore, value: float, given: tuple[str, ...] | None, **annotations: object) -> list[Fragment]:
    """A fragment of an image that is new, with what the input of its run says of it."""
    return [dataclasses.replace(fragment(store, {"new": value}, **annotations), given=given)]


def test_of_runs_that_compute_the_same_image_the_last_one_says_what_it_is(store: FeatureStore) -> None:
    both = ("label", "split")
    first, second = (
        computed(store, value, both, label=label, split=split)
        for value, label, split in ((1.0, "dog", "test"), (2.0, None, "train"))
    )
    silent, forbidden = (computed(store, 3.0, given, label=None, split=None) for given in ((), None))
    for run_id, own, updated in (("one", first, 0), ("two", second, 1), ("three", silent, 0), ("four", forbidden, 0)):
        assert commit(store, run_id, [], own, since=1) == updated
    assert labels(store) == {**CATS, "new": (None, "train")}
    assert contents(store)[("new", "1")] == 1.0
    other = computed(store, 4.0, None, label="cow", split="test")
    assert commit(store, "five", [], other, since=1) == 0
    assert labels(store)["new"] == (None, "train"), "--update_labels=false"


def test_a_column_that_is_new_is_filled(store: FeatureStore) -> None:
    store.carry([pa.field("breed", pa.string())])
    schema = pa.schema([*REF_SCHEMA, ("breed", pa.string())])
    refs = pa.RecordBatch.from_pylist([{"uri": "a", "breed": "manx", GIVEN: '["breed"]'}], schema)
    assert commit(store, "r", updates(store, refs)) == 1
    rows = store.scan(["uri", "label", "breed"]).to_arrow().to_pylist()
    assert {row["uri"]: (row["label"], row["breed"]) for row in rows} == {
        **dict.fromkeys("bcd", ("cat", None)), "a": ("cat", "manx"),
    }  # fmt: skip


def test_eight_commits_at_once_end_in_one_of_them_whole(store: FeatureStore) -> None:
    made = {
        f"r{number}": updates(store, said(dict.fromkeys("abcd", f"label {number}"), f"split {number}"), f"r{number}")
        for number in range(8)
    }
    barrier = threading.Barrier(8)

    def meet(run_id: str) -> None:
        barrier.wait()
        commit(store, run_id, made[run_id])

    threads = [threading.Thread(target=meet, args=(run_id,)) for run_id in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (label, split) = labels(store)["a"]
    assert label is not None
    assert set(labels(store).values()) == {(label, split)}
    assert split == label.replace("label", "split")
    assert store.features().version() == 9
    assert contents(store) == {(uri, "1"): value for uri, value in {**IMAGES, "d": 4.0}.items()}
