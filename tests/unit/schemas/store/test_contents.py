"""The same bytes are found again, wherever their features are."""

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.errors import RunFailed
from schemas.store import FeatureStore, KnownContents, read_known_contents, read_places
from schemas.store.content_index import Place
from tests.conftest import SMALL_BASE, extract, write_pictures


def sha256(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


@pytest.mark.parametrize("most_recent", [10, 10_000])
@pytest.mark.parametrize("rows_a_file", [1, 7, 1000])
def test_every_image_is_found_where_it_is(rows_a_file: int, most_recent: int) -> None:
    known = KnownContents(most_recent=most_recent)
    for start in range(0, 1000, rows_a_file):
        known.add(f"file-{start}", [sha256(number) for number in range(start, min(start + rows_a_file, 1000))])
    assert len(known) == 1000
    for number in range(1000):
        assert known.find(sha256(number)) == Place(f"file-{number - number % rows_a_file}", number % rows_a_file)
    assert known.find(sha256(1000)) is None


def test_a_file_without_rows_changes_nothing() -> None:
    known = KnownContents()
    known.add("empty", [])
    assert (len(known), known.find(sha256(0))) == (0, None)


def test_rows_are_read_across_row_groups(tmp_path: Path) -> None:
    table = pa.table({"sha256": [sha256(number) for number in range(10)], "number": list(range(10))})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=3)
    wanted = [9, 0, 4, 4]
    places = [Place(f"{tmp_path}/a.parquet", number) for number in wanted]
    found = {}
    for indices, rows in read_places(places, [sha256(number) for number in wanted], ["number"]):
        found.update(dict(zip(indices, rows["number"].to_pylist(), strict=True)))
    assert [found[index] for index in range(4)] == wanted


def test_another_image_with_the_same_first_bits_is_not_taken_for_it(tmp_path: Path) -> None:
    other = sha256(1)[:16] + sha256(2)[16:]
    pq.write_table(pa.table({"sha256": [sha256(1)], "number": [1]}), tmp_path / "a.parquet")
    known = KnownContents()
    known.add(f"{tmp_path}/a.parquet", [sha256(1)])
    place = known.find(other)
    assert place is not None
    with pytest.raises(RunFailed, match="another image than its hash says"):
        list(read_places([place], [other], ["number"]))


def test_the_newest_files_of_a_store_are_indexed_first(tmp_path: Path) -> None:
    hashes = []
    for night in range(3):
        paths = write_pictures(tmp_path / str(night), 4, seed=night)
        extract(f"--input={tmp_path}/{night}", f"--output={tmp_path}/store", *(() if night else SMALL_BASE))
        hashes.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in paths])
    store = FeatureStore.open(f"{tmp_path}/store")
    every = read_known_contents(store.features(), f"{store.uri}/features")
    assert all(every.find(each) for night in hashes for each in night)
    newest = read_known_contents(store.features(), f"{store.uri}/features", most_rows=4)
    assert [bool(newest.find(night[0])) for night in hashes] == [False, False, True]
