"""Comparing by cells finds the same groups as comparing all, and as many of the neighbours as it says."""

import numpy as np
import pytest

from schemas.neighbours import unit_vectors
from transforms.exploration.comparison import compare_all
from transforms.exploration.comparison_by_cells import compare_near

pytest.importorskip("faiss", reason="cells are faiss's: pip install faiss-cpu")


def test_groups_are_those_of_comparing_all_and_neighbours_as_many_as_it_says() -> None:
    rng = np.random.default_rng(0)
    vectors = unit_vectors(rng.standard_normal((3000, 12), np.float32))
    vectors[2900:] = unit_vectors(vectors[:100] + 1e-3 * rng.standard_normal((100, 12), np.float32))
    contents = np.arange(3000)
    contents[500] = contents[501]
    near, exact = (compare(vectors, 5, 1e-4, contents) for compare in (compare_near, compare_all))
    np.testing.assert_array_equal(near.first_of_group, exact.first_of_group)
    assert len(np.unique(near.first_of_group)) == 3000 - 101
    same = near.neighbours.rows == exact.neighbours.rows  # Those that are missing move the others.
    assert near.recall is not None
    assert near.recall.copies >= 0.98
    assert same.mean() == pytest.approx(near.recall.neighbours, abs=0.1)
    np.testing.assert_allclose(near.neighbours.distances[same], exact.neighbours.distances[same], atol=1e-5)
    assert (near.neighbours.rows != np.arange(3000)[:, None]).all()
    assert exact.recall is None


def test_rows_whose_cells_hold_too_few_are_compared_with_all() -> None:
    vectors = unit_vectors(np.random.default_rng(1).standard_normal((90, 4), np.float32))
    near, exact = (compare(vectors, 80, 0.0, np.arange(90)) for compare in (compare_near, compare_all))
    np.testing.assert_array_equal(near.neighbours.rows, exact.neighbours.rows)


def test_many_identical_images_are_one_group() -> None:
    vectors = np.repeat(unit_vectors(np.ones((1, 4), np.float32)), 100, axis=0)
    assert set(compare_near(vectors, 3, 1e-6, np.arange(100)).first_of_group.tolist()) == {0}
