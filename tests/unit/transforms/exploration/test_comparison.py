"""All images compared with each other: exact neighbours, and groups that are connected by pairs."""

import numpy as np
import pytest

from schemas.neighbours import unit_vectors
from transforms.exploration import comparison
from transforms.exploration.comparison import compare_all, nearest_distances


@pytest.fixture(params=[5, 16, 1000])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Rows a block: many blocks, some, or one."""
    monkeypatch.setattr(comparison, "_BLOCK", request.param)
    return int(request.param)


def planes(degrees: list[float]) -> np.ndarray:
    """Vectors at angles, so that distances are known."""
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


@pytest.mark.parametrize("k", [1, 6, 20])
def test_neighbours_are_those_of_all_products(block: int, k: int) -> None:
    vectors = unit_vectors(np.random.default_rng(0).standard_normal((61, 8), np.float32))
    found, _, _ = compare_all(vectors, k, 0.0, np.arange(61))
    products = vectors @ vectors.T
    np.fill_diagonal(products, -np.inf)
    expected = np.argsort(-products, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(found.rows, expected)
    np.testing.assert_allclose(found.distances, 1 - np.take_along_axis(products, expected, 1), atol=1e-6)
    np.testing.assert_allclose(nearest_distances(vectors, 61), found.distances[:, 0], atol=1e-6)


def test_pairs_connect_groups_across_blocks(block: int) -> None:
    degrees = [0.0, 90, 4, 180, 94, 8, 270, 12, 98]
    one_step = 1 - np.cos(np.deg2rad(4.1))
    _, groups, _ = compare_all(planes(degrees), 2, one_step, np.arange(9))
    assert groups.tolist() == [0, 1, 0, 3, 1, 0, 6, 0, 1]


def test_identical_contents_are_a_group_whatever_their_features(block: int) -> None:
    _, groups, _ = compare_all(planes([0.0, 90, 180, 270]), 2, 0.0, np.array([7, 8, 9, 7]))
    assert groups.tolist() == [0, 1, 2, 0]


def test_many_identical_images_are_one_group(block: int) -> None:
    vectors = np.repeat(planes([30.0]), 40, axis=0)
    found, groups, _ = compare_all(vectors, 3, 1e-6, np.arange(40))
    assert set(groups.tolist()) == {0}
    assert (found.rows != np.arange(40)[:, None]).all()
