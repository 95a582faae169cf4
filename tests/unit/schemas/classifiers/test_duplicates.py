"""Near-duplicates as a file: which images are left out, and which share a place."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.classifiers import DUPLICATES, Duplicates
from schemas.errors import InvalidInput


@pytest.fixture
def duplicates(tmp_path: Path) -> Duplicates:
    columns = [["a", "b", "c", "d"], [0, 0, 1, 1], [0.0, 0.1, 0.0, 0.1], [True, False, True, True]]
    table = pa.table([*columns, [True, False, False, True]], schema=DUPLICATES)
    pq.write_table(table, tmp_path / "duplicates.parquet")
    return Duplicates.read(str(tmp_path / "duplicates.parquet"))


def test_all_but_the_kept_ones_are_dropped(duplicates: Duplicates) -> None:
    assert duplicates.are_dropped(pa.array(["d", "c", "x", "b", "a"])).tolist() == [False, True, False, True, False]


def test_images_of_a_group_share_a_place_and_others_keep_theirs(duplicates: Duplicates) -> None:
    places = duplicates.places_of(pa.array(["a", "x", "d", "b", "c"]), np.arange(5, dtype=np.uint64))
    assert places[0] == places[3] != places[2] == places[4]
    assert places[1] == 1
    assert places.dtype == np.uint64


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "no.parquet").write_text("no parquet")
    pq.write_table(pa.table({"uri": ["a"]}), tmp_path / "other.parquet")
    for name in ("no.parquet", "other.parquet", "gone.parquet"):
        with pytest.raises(InvalidInput, match="is no file of near-duplicates"):
            Duplicates.read(str(tmp_path / name))
