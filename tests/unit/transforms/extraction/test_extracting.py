"""A shard is computed in time or not at all, and its result names the result of each of its images."""

import dataclasses
import datetime
import hashlib
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest

from schemas.augmentation import AugmentedRows
from schemas.classifiers import trains_by_default
from schemas.errors import FailureCode, ImageError
from schemas.fragments import TableName, read_receipts
from schemas.store import RunState
from tests.support.nights import BAD, SPEC, MeanColours, World, loading_pools, picture_bytes
from transforms.conv_bases import Features
from transforms.extraction import ShardResult, Worker, counted
from transforms.extraction.shard import compute_shard
from transforms.images import BadImage, Batch, LoadedPicture
from transforms.runtime import Meter, shard_progress

NOW = datetime.datetime.now(datetime.UTC)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Two pictures and one that is none."""
    world = World(tmp_path)
    for name, colour in (("a.png", 10), ("b.png", BAD), ("c.png", 20)):
        world.put(name, colour)
    return world


def test_after_the_deadline_nothing_is_loaded_or_written(world: World) -> None:
    def load(_: Meter) -> Worker:
        raise AssertionError("the conv base was loaded")

    night = world.plan()
    late = dataclasses.replace(world.extraction(night), deadline=NOW)
    results = [compute_shard(shard, load, late) for shard in world.shards(night)]
    assert results == [ShardResult(remaining=2), ShardResult(remaining=1)]
    assert list(world.store_folder.rglob("*.parquet")) == []


def test_before_the_deadline_every_image_is_in_a_fragment(world: World) -> None:
    night = world.plan()
    done = ShardResult.of_all(world.compute(night, shard) for shard in world.shards(night))
    rows = sorted((fragment.table, fragment.rows) for fragment in done.fragments)
    assert rows == [(TableName.FAILURES, 1), (TableName.FEATURES, 1), (TableName.FEATURES, 1)]
    assert (done.remaining, done.measures.batches, done.measures.decoded) == (0, 2, 3)
    features = [fragment for fragment in done.fragments if fragment.table == TableName.FEATURES]
    assert sorted(read_receipts(world.store.uri), key=str) == sorted(features, key=str)


def test_images_count_as_their_batches_pass() -> None:
    batch = Batch(np.zeros((4, 1, 1, 3), np.uint8), [LoadedPicture(0, 1, 1, "a", 0), LoadedPicture(0, 1, 1, "a", 1)])
    bad = [BadImage(1, ImageError(FailureCode.NOT_AN_IMAGE, "none"))]
    with shard_progress() as progress:
        passing = counted([(batch, []), (batch, [])], bad, progress)
        next(passing)
        assert (progress.extracted, progress.failed) == (1, 1)
        next(passing)
        assert (progress.extracted, progress.failed) == (2, 1)
        progress.settle()


class Overflowing(MeanColours):
    """An engine that makes infinite features of some pictures, by their numbers."""

    def __init__(self, numbers: set[int]) -> None:
        super().__init__()
        self.numbers = numbers
        self.seen = 0

    def submit(self, pixels: np.ndarray) -> "Future[Features]":
        (features,) = super().submit(pixels).result()
        features[[number in self.numbers for number in range(self.seen, self.seen + len(features))]] = np.inf
        self.seen += len(features)
        future: Future[Features] = Future()
        future.set_result([features])
        return future


def train_by_hash(colour: int) -> bool:
    return trains_by_default(None, hashlib.sha256(picture_bytes(colour)).hexdigest())


@pytest.mark.parametrize(
    ("copies", "infinite"),
    [(0, {0}), (2, {0}), (2, {1}), (2, {2}), (2, {0, 2}), (2, {0, 1, 2})],
)
def test_an_image_fails_as_a_whole_where_features_of_it_or_a_copy_are_infinite(
    copies: int, infinite: set[int], tmp_path: Path
) -> None:
    augmentation = AugmentedRows(rows=copies) if copies else None
    world = World(tmp_path, dataclasses.replace(SPEC, augmentation=augmentation))
    for name, colour in zip(("a.png", "b.png"), filter(train_by_hash, range(1, 256)), strict=False):
        world.put(name, colour)
    result = World.of(world.store, world.pictures, Worker(Overflowing(infinite), loading_pools())).extract()
    assert (result.state, result.totals.extracted, result.totals.failed) == (RunState.COMPLETE, 1, 1), result.message
    assert {name for name, _ in world.failures()} == {"a.png"}
    assert world.store.scan(["uri"]).to_arrow()["uri"].to_pylist() == [world.uri("b.png")] * (1 + copies)
