"""A failure is listed once a run, in whichever file of the table it is now, and of a run that was not committed too."""

import pytest

from schemas.fragments import TableName
from schemas.maintenance import compact
from schemas.store import FeatureStore, read_failures
from tests.support.fragments import failures


def commit(store: FeatureStore, run_id: str, uris: list[str], version: str = "1") -> None:
    store.commit_fragments(TableName.FAILURES, run_id, [failures(store, uris, version, run_id=run_id)])


def listed(store: FeatureStore, run_id: str | None = None) -> list[tuple[str, str]]:
    rows = [row for batch in read_failures(store.uri, run_id) for row in batch.to_pylist()]
    return sorted((row["run_id"], row["uri"]) for row in rows)


@pytest.fixture
def nights(store: FeatureStore) -> FeatureStore:
    """A store of two runs that were committed, and of one that was not."""
    commit(store, "night", ["a", "b"])
    commit(store, "night-2", ["c"])
    failures(store, ["d"], run_id="night-3")
    return store


ALL = [("night", "a"), ("night", "b"), ("night-2", "c"), ("night-3", "d")]


def test_the_failures_of_a_run_are_not_those_of_another_whose_name_begins_like_its_own(nights: FeatureStore) -> None:
    assert listed(nights) == ALL
    assert listed(nights, "night") == ALL[:2]
    assert listed(nights, "night-3") == ALL[3:]


def test_a_compaction_makes_no_failure_two(nights: FeatureStore) -> None:
    assert compact(nights.uri, TableName.FAILURES).merged == 2
    assert listed(nights) == ALL
    commit(nights, "night-4", ["e"])
    assert compact(nights.uri, TableName.FAILURES).merged == 2
    assert listed(nights) == [*ALL, ("night-4", "e")]
    assert listed(nights, "night") == ALL[:2]


def test_a_failure_that_a_later_run_has_replaced_is_still_one_of_its_run(nights: FeatureStore) -> None:
    commit(nights, "night-4", ["a"])
    assert listed(nights) == [*ALL, ("night-4", "a")]
    assert listed(nights, "night") == ALL[:2]
