"""Batches of a scan: what they hold, in windows, with conditions, and from any step on."""

import itertools
import pickle

import numpy as np
import pyarrow.compute as pc
import pytest

from schemas.delta import Scan
from schemas.errors import UsageError
from schemas.loaders import Reader, RowBatches
from schemas.loaders.batches import _as_array
from schemas.store import FeatureStore
from tests.unit.schemas.loaders.conftest import ROWS, WIDTH


def batches(scan: Scan, *, shuffle: bool = True, seed: int = 0, window_mb: int = 20) -> RowBatches:
    return scan._batches(64, shuffle=shuffle, seed=seed, window_mb=window_mb)


def test_unshuffled_batches_are_the_rows_of_the_other_endings(scan: Scan) -> None:
    found = list(batches(scan, shuffle=False).read())
    np.testing.assert_array_equal(np.concatenate([batch["features"] for batch in found]), scan.to_numpy("features"))
    assert [label for batch in found for label in batch["label"]] == scan.to_arrow()["label"].to_pylist()
    assert {len(batch["label"]) for batch in found[:-1]} == {64}
    assert found[0]["features"].shape == (64, WIDTH)
    assert (found[0]["features"].dtype, found[0]["number"].dtype) == (np.float32, np.int64)


def test_shuffled_rows_stay_together_and_come_once(scan: Scan) -> None:
    read = batches(scan)
    assert len(read.rows) > 3
    for epoch in (0, 1):
        numbers = []
        for batch in read.read(epoch):
            np.testing.assert_array_equal(batch["features"][:, 7], batch["number"])
            numbers += batch["number"].tolist()
        assert sorted(numbers) == list(range(ROWS))
        assert numbers != sorted(numbers)


@pytest.mark.parametrize("step", [0, 1, 20, 78, 79, 200])
def test_a_training_goes_on_from_any_step(step: int, scan: Scan) -> None:
    whole = [batch["number"].tolist() for batch in batches(scan).read(3)]
    assert [batch["number"].tolist() for batch in batches(scan).read(3, step)] == whole[step:]


def test_nothing_is_read_of_what_is_passed_over(scan: Scan, monkeypatch: pytest.MonkeyPatch) -> None:
    read, asked = RowBatches._read, []
    monkeypatch.setattr(RowBatches, "_read", lambda self, group, names: asked.append(group) or read(self, group, names))
    last = list(batches(scan).read(0, step=78))
    assert len(last) == 1
    assert len(asked) < len(batches(scan).rows)


def test_ranks_and_workers_divide_what_a_condition_leaves(numbered: FeatureStore) -> None:
    scan = numbered.scan(["number"], where=[("label", "=", "cat")])
    shared = batches(scan, shuffle=False)
    parts = [
        batch["number"].tolist()
        for reader in (Reader(rank, 2, worker, 2) for rank in range(2) for worker in range(2))
        for batch in shared.read(reader=reader)
    ]
    assert sorted(itertools.chain(*parts)) == sorted(scan.to_numpy("number").tolist())
    assert shared.steps(Reader(0, 2, 0, 2)) + shared.steps(Reader(1, 2, 0, 2)) == len(parts)


def test_a_worker_that_is_spawned_reads_what_it_is_sent(scan: Scan) -> None:
    sent = pickle.loads(pickle.dumps(batches(scan)))
    assert next(iter(sent.read()))["number"].tolist() == next(iter(batches(scan).read()))["number"].tolist()


def test_columns_that_lack_values(numbered: FeatureStore) -> None:
    later = np.concatenate([batch["later"] for batch in batches(numbered.scan(["later"]), shuffle=False).read()])
    assert np.count_nonzero(np.isnan(later)) == 4500
    with_labels = numbered.scan(["label"], where=pc.field("label").is_valid())
    assert None not in {label for batch in batches(with_labels).read() for label in batch["label"]}


def test_whole_numbers_that_are_missing_are_refused(numbered: FeatureStore) -> None:
    scan = numbered.scan(["width"])
    broken = batches(scan)
    table = broken._read(broken.groups[0], ["width"])
    assert table["width"].null_count == 0
    lacking = pc.if_else(pc.equal(table["width"], 1), None, table["width"])
    with pytest.raises(UsageError, match=r"'width' lacks .* values"):
        _as_array(lacking, scan.schema.field("width"))
