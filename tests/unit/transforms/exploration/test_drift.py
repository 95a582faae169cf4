"""Drift: what was planted is found, and two halves of one night are not, whatever the seed."""

import dataclasses
import datetime
import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from schemas.errors import UsageError
from schemas.neighbours import unit_vectors
from schemas.store import FeatureStore, read_drift, record_drift
from tests.conftest import store_of_features
from transforms.exploration import DriftSide, measure_drift, measure_nightly_drift, nightly_drift

SEEDS = range(20)
IMAGES = 700
CLASSES = np.random.default_rng(0).standard_normal((5, 12))


def night(seed: int, shares: list[float], images: int = IMAGES) -> DriftSide:
    """The images of a night, of five classes with shares, around points that are the same each night."""
    rng = np.random.default_rng(seed)
    classes = rng.choice(5, images, p=shares)
    features = CLASSES[classes] + rng.standard_normal((images, 12))
    names = pa.array([f"{seed}-{number}" for number in range(images)])
    labels = pa.array([f"class {number}" for number in classes])
    return DriftSide(names, names, unit_vectors(features.astype(np.float32)), rng.permutation(images), labels)


EVEN = [0.2] * 5
DOUBLED = [0.4, 0.15, 0.15, 0.15, 0.15]


@pytest.mark.parametrize("seed", SEEDS)
def test_two_halves_of_one_night_do_not_differ(seed: int) -> None:
    both = night(seed, EVEN, 2 * IMAGES)
    drift = measure_drift(both.take(np.arange(IMAGES)), both.take(np.arange(IMAGES, 2 * IMAGES)))
    assert not drift.is_found
    assert not drift.exceeds(0.5)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_class_with_twice_its_share_is_found_and_named(seed: int) -> None:
    drift = measure_drift(night(seed, EVEN), night(100 + seed, DOUBLED))
    assert drift.is_found
    assert drift.exceeds(0.5)
    assert not drift.exceeds(0.9)
    grown = max(drift.classes, key=lambda share: share.later - share.before)
    assert grown.name == "class 0"
    assert drift.classes[0] == grown
    assert grown.later > 1.5 * grown.before


def test_what_is_far_from_all_before_is_novel() -> None:
    before, later = night(0, EVEN), night(1, EVEN)
    later.vectors[[7, 9]] = -later.vectors[:1].repeat(2, 0)
    before.vectors[:] = np.where(before.vectors @ later.vectors[7] > 0, -1, 1)[:, None] * before.vectors
    drift = measure_drift(before, later)
    assert {image.uri for image in drift.novel[:2]} == {"1-7", "1-9"}
    assert len(drift.novel) == 12
    assert drift.novel[0].distance >= 1


@pytest.mark.parametrize(
    ("later", "said"),
    [
        (night(0, EVEN), "have 700 images in common"),
        (night(1, EVEN, 19), "700 and 19 different images: 20 of each are needed"),
    ],
)
def test_sides_that_cannot_be_compared_are_one_sentence(later: DriftSide, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        measure_drift(night(0, EVEN), later)


def test_labels_that_are_lists_are_counted_by_class() -> None:
    lists = [pa.array([["a", "b"]] * 30 + [None] * 10), pa.array([["a"]] * 40)]
    sides = [night(seed, EVEN, 40) for seed in (0, 1)]
    both = [
        DriftSide(side.keys, side.uris, side.vectors, side.places, names)
        for side, names in zip(sides, lists, strict=True)
    ]
    assert [(share.name, share.before, share.later) for share in measure_drift(*both).classes] == [
        ("b", 1.0, 0.0), ("a", 1.0, 1.0),
    ]  # fmt: skip


def test_a_date_is_compared_with_the_nearest_dates_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed, (day, shares, images) in enumerate(((1, EVEN, 600), (2, EVEN, 600), (4, EVEN, 19), (7, DOUBLED, 600))):
        side = night(seed, shares, images)
        store_of_features(
            tmp_path / "store", side.vectors, ds=f"2026-02-0{day}", uri=side.uris.to_pylist(),
            sha256=[hashlib.sha256(uri.encode()).hexdigest() for uri in side.uris.to_pylist()],
            label=side.labels.to_pylist(),
        )  # fmt: skip
    store = FeatureStore.open(f"{tmp_path}/store")
    dates = [datetime.date(2026, 2, day) for day in (1, 2, 4, 5, 7)]
    first, second, few, none, last = (measure_nightly_drift(store, ds) for ds in dates)
    assert (first, few, none) == (None, None, None)
    assert second is not None
    assert last is not None
    assert (second.drift.is_found, last.drift.is_found) == (False, True)
    assert (last.since, last.drift.before, last.drift.later) == (dates[0], 1219, 600)
    assert last.drift.classes[0].name == "class 0"
    monkeypatch.setattr(nightly_drift, "MOST_COMPARED", 500)
    fewer = measure_nightly_drift(store, dates[-1])
    assert fewer is not None
    assert (fewer.since, fewer.drift.before, fewer.drift.later) == (dates[1], 500, 500)


def test_a_picture_that_came_many_times_is_one_picture_and_says_nothing() -> None:
    before, frozen = night(1, EVEN), night(2, EVEN, 40)
    frozen = dataclasses.replace(frozen, places=np.full(40, IMAGES))
    with pytest.raises(UsageError, match="700 and 1 different images: 20 of each"):
        measure_drift(before, frozen)


def test_a_measurement_is_a_row_and_the_last_of_a_run_counts(tmp_path: Path) -> None:
    store = store_of_features(tmp_path / "store", np.eye(3, dtype=np.float32))
    assert read_drift(store.uri) == []
    now = datetime.datetime(2026, 11, 8, tzinfo=datetime.UTC)
    row = {
        "run_id": "r", "ds": now.date(), "since": now.date(), "layer": "features", "before": 20, "later": 20,
        "auc_low": 0.5, "auc_high": 0.7, "found": False, "classes": json.dumps([]), "novel": json.dumps([]),
    }  # fmt: skip
    for minute, auc in ((2, 0.7), (1, 0.6)):
        record_drift(store.uri, {**row, "auc": auc, "measured_at": now.replace(minute=minute)})
    assert [(found["run_id"], found["auc"]) for found in read_drift(store.uri)] == [("r", 0.7)]
