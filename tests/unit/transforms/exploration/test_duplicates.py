"""Near-duplicates: the distance that is chosen, which picture is kept, and what straddles splits."""

import datetime

import numpy as np
import pyarrow as pa
import pytest

from schemas.classifiers import DUPLICATES, Split
from schemas.neighbours import unit_vectors
from transforms.exploration import ExploredImages, duplicate_distance, duplicates_table
from transforms.exploration.comparison import compare_all
from transforms.exploration.duplicates import find_groups


def images_of(features: np.ndarray, sizes: list[int], days: list[int], contents: list[str]) -> ExploredImages:
    count = len(features)
    table = pa.table(
        {
            "uri": [f"file:///{number}.jpg" for number in range(count)],
            "sha256": [content * 64 for content in contents],
            "width": pa.array(sizes, pa.int32()),
            "height": pa.array(sizes, pa.int32()),
            "extracted_at": [datetime.datetime(2026, 1, day, tzinfo=datetime.UTC) for day in days],
        }
    )
    return ExploredImages("layer", 0, table, unit_vectors(features), False, count)


@pytest.mark.parametrize("copies", [0, 20, 200])
@pytest.mark.parametrize("seed", range(5))
def test_the_distance_parts_copies_from_other_neighbours(copies: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    apart = np.exp(rng.normal(np.log(0.15), 0.25, 2000))
    near = np.exp(rng.normal(np.log(0.005), 0.5, copies))
    distance = duplicate_distance(np.concatenate([apart, near]).astype(np.float32))
    assert (apart <= distance).sum() <= 2
    assert (near <= distance).mean() >= 0.95 if copies else True


def test_the_largest_then_the_oldest_is_kept() -> None:
    rng = np.random.default_rng(0)
    one, other, alone = rng.standard_normal((3, 16), np.float32)
    features = np.stack([one, one * 2, one + 0.001, other, alone, other])
    images = images_of(features, [10, 30, 30, 5, 9, 5], [1, 3, 2, 2, 1, 2], ["a", "b", "c", "d", "e", "d"])
    _, firsts, _ = compare_all(images.vectors, 2, 1e-3, images.places)
    splits = np.array([Split.TRAIN, Split.TRAIN, Split.TEST, Split.TRAIN, Split.TEST, Split.TRAIN], np.uint8)
    groups = find_groups(images, firsts, splits, ["cat", None, "dog", "cat", "cat", "cat"])
    assert [group.rows.tolist() for group in groups] == [[2, 1, 0], [3, 5]]
    assert [group.splits for group in groups] == [("train", "test"), ("train",)]
    assert [group.leaks for group in groups] == [True, False]
    assert [group.labels for group in groups] == [("cat", "dog"), ("cat",)]
    table = duplicates_table(images, groups)
    assert table.schema == DUPLICATES
    assert table["keep"].to_pylist() == [True, False, False, True, False]
    assert table["identical"].to_pylist() == [True, False, False, True, True]
    assert table["group"].to_pylist() == [0, 0, 0, 1, 1]
    assert max(table["distance"].to_pylist()) < 1e-4


def test_without_near_duplicates_the_table_is_empty() -> None:
    images = images_of(np.eye(3, dtype=np.float32), [1, 1, 1], [1, 1, 1], ["a", "b", "c"])
    _, firsts, _ = compare_all(images.vectors, 2, 0.1, images.places)
    assert duplicates_table(images, find_groups(images, firsts, np.zeros(3, np.uint8), [None] * 3)).num_rows == 0
