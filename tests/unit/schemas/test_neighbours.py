"""Nearest neighbours: the exact ones, however the rows are cut into blocks."""

import numpy as np
import pytest

from schemas.errors import InvalidFeatures
from schemas.neighbours import RunningNeighbours, near_in_block, nearest_rows, unit_vectors


def vectors(rows: int, seed: int = 0) -> np.ndarray:
    return unit_vectors(np.random.default_rng(seed).standard_normal((rows, 8), np.float32))


@pytest.mark.parametrize("block", [1, 3, 50, 200])
@pytest.mark.parametrize("k", [1, 7, 60])
def test_the_neighbours_are_those_of_all_products(block: int, k: int) -> None:
    rows, queries = vectors(180), vectors(13, seed=1)
    found = nearest_rows(queries, (rows[start : start + block] for start in range(0, 180, block)), k)
    products = queries @ rows.T
    expected = np.argsort(-products, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(found.rows, expected)
    np.testing.assert_allclose(found.distances, 1 - np.take_along_axis(products, expected, 1), atol=1e-6)


def test_of_rows_that_are_equally_near_the_lower_number_is_first() -> None:
    row = vectors(1)
    found = nearest_rows(row, (np.repeat(row, 3, axis=0) for _ in range(3)), 4)
    assert found.rows.tolist() == [[0, 1, 2, 3]]
    assert found.distances.max() < 1e-6


def test_what_was_known_when_a_block_was_begun_is_enough() -> None:
    """Blocks are looked through by several threads, before all that lie before them."""
    rows, queries = vectors(180), vectors(13, seed=1)
    rows[100:103] = rows[20]  # Ties go to the lower number, whenever they were found.
    running, found = RunningNeighbours(len(queries), 7), []
    for start in range(0, 180, 30):
        known = running.least.copy()
        found.append((start, near_in_block(queries, rows[start : start + 30], None, known, 7)))
        if start >= 60:
            begun, near = found[start // 30 - 2]
            running.add(near.queries, begun + near.rows, near.similarities)
    for begun, near in found[-2:]:
        running.add(near.queries, begun + near.rows, near.similarities)
    at_once = nearest_rows(queries, [rows], 7)
    np.testing.assert_array_equal(running.found().rows, at_once.rows)
    np.testing.assert_allclose(running.found().distances, at_once.distances, atol=1e-6)


def test_no_query_has_no_neighbours() -> None:
    assert nearest_rows(vectors(3)[:0], [vectors(5)], 2).rows.shape == (0, 2)


def test_where_there_are_fewer_rows_the_last_neighbours_are_none() -> None:
    found = nearest_rows(vectors(2), [vectors(3, seed=1)], 5)
    assert found.rows[:, 3:].tolist() == [[-1, -1], [-1, -1]]
    assert np.isinf(found.distances[:, 3:]).all()
    assert np.isfinite(found.distances[:, :3]).all()


def test_vectors_have_length_one_maps_are_averaged_and_zeros_stay() -> None:
    maps = np.random.default_rng(0).random((4, 3, 2, 5), np.float32)
    np.testing.assert_allclose(unit_vectors(maps), unit_vectors(maps.mean(axis=(1, 2))))
    np.testing.assert_allclose(np.linalg.norm(unit_vectors(maps * np.float32(1e25)), axis=1), 1, atol=1e-6)
    assert unit_vectors(np.zeros((1, 5), np.float32)).tolist() == [[0] * 5]
    assert unit_vectors(np.zeros((0, 5), np.float32)).shape == (0, 5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_no_numbers_are_refused(value: float) -> None:
    features = np.ones((3, 4), np.float32)
    features[1, 2] = value
    with pytest.raises(InvalidFeatures, match="1 of 3 features are NaN or infinite"):
        unit_vectors(features)
