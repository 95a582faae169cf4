"""Cells: what a search finds in them, what is left when vectors are removed, and how recall is measured."""

from pathlib import Path

import numpy as np
import pytest

from schemas.neighbours import nearest_rows, unit_vectors
from schemas.search import Cells
from schemas.search.cells import cells_for, recall_of, sample_for

pytest.importorskip("faiss", reason="cells are faiss's: pip install faiss-cpu")


def vectors(rows: int, seed: int = 0) -> np.ndarray:
    return unit_vectors(np.random.default_rng(seed).standard_normal((rows, 8), np.float32))


def filled(rows: np.ndarray, cells: int) -> Cells:
    made = Cells.train(rows[::2], cells)
    made.add(np.arange(len(rows)) + 100, rows)
    return made


def test_in_all_cells_the_neighbours_are_the_exact_ones() -> None:
    rows, queries = vectors(300), vectors(7, seed=1)
    cells, exact = filled(rows, 6), nearest_rows(queries, [rows], 5)
    cells.probes = 6
    found = cells.search(queries, 5)
    np.testing.assert_array_equal(found.rows, exact.rows + 100)
    np.testing.assert_allclose(found.distances, exact.distances, atol=1e-6)
    few = cells.search(queries, 301)
    assert (few.rows[:, -1] == -1).all()
    assert np.isinf(few.distances[:, -1]).all()


def test_only_what_is_allowed_is_found_and_what_is_removed_is_gone() -> None:
    rows = vectors(300)
    cells = filled(rows, 6)
    cells.probes = 6
    allowed = np.zeros(400, bool)
    allowed[150:170] = True
    assert set(cells.search(rows[:9], 20, allowed).rows.ravel()) == set(range(150, 170))
    cells.remove(allowed)
    assert len(cells) == 280
    assert not set(cells.search(rows[:9], 280).rows.ravel()) & set(range(150, 170))


def test_cells_that_are_filled_at_once_hold_what_those_do_that_are_added_to() -> None:
    rows, shares = vectors(40_000), list[float]()
    added = filled(rows, 50)
    made = Cells.train(rows[::2], 50)
    made.fill(rows, shares.append)
    assert len(made) == 40_000
    for own, others in zip(made.by_cell(), added.by_cell(), strict=True):
        np.testing.assert_array_equal(own + 100, others)
    queries = vectors(20, seed=1)
    own, others = made.search(queries, 5), added.search(queries, 5)
    np.testing.assert_array_equal(own.rows + 100, others.rows)
    np.testing.assert_array_equal(own.distances, others.distances)
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_recall_is_measured_against_all_cells_and_reached_by_as_few_as_give_it() -> None:
    rows = vectors(4000)
    cells = filled(rows, 50)
    recall = cells.tune()
    assert 0.98 <= recall <= 1
    assert 1 < cells.probes < 50
    queries = vectors(300, seed=2)
    assert recall_of(cells.search(queries, 20).rows, nearest_rows(queries, [rows], 20).rows + 100) > 0.95
    assert sorted(np.concatenate(list(cells.by_cell()))) == list(range(100, 4100))


def test_a_file_of_cells_holds_them_all(tmp_path: Path) -> None:
    rows = vectors(300)
    cells = filled(rows, 6)
    cells.probes = 6
    with (tmp_path / "cells").open("wb") as file:
        cells.write(file.write)
    for mapped in (True, False):
        read = Cells.read(tmp_path / "cells", 6, mapped=mapped)
        np.testing.assert_array_equal(read.search(rows[:9], 4).rows, cells.search(rows[:9], 4).rows)
    (tmp_path / "cells").write_bytes(b"none")
    with pytest.raises(ValueError, match=r"\w"):
        Cells.read(tmp_path / "cells", 6, mapped=True)


@pytest.mark.parametrize(("rows", "cells"), [(1, 1), (79, 1), (4000, 100), (1_000_000, 4000)])
def test_cells_grow_with_the_root_of_the_vectors_and_none_is_nearly_empty(rows: int, cells: int) -> None:
    assert cells_for(rows) == cells
    assert cells <= sample_for(rows) <= rows


def test_recall_counts_neighbours_that_there_are() -> None:
    found = np.array([[1, 2, 3], [4, -1, -1]])
    assert recall_of(found, np.array([[3, 2, 9], [4, -1, -1]])) == 0.75
    assert recall_of(found[:0], found[:0]) == 1.0


def test_a_picture_that_is_there_hundreds_of_times_makes_no_search_look_into_all_cells() -> None:
    rows = vectors(4000)
    rows[:400] = rows[0]
    cells = Cells.train(rows[400:], 32)
    cells.fill(rows)
    assert cells.tune_for_copies(1e-3) == 1
    assert cells.probes < 32
