"""Damaged indexes: `maintain check` names each with what is wrong, `--repair` and a vacuum remove it."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines import index as index_command
from pipelines import maintain, search
from schemas.errors import RunFailed
from schemas.maintenance import check_indexes
from schemas.search import INDEXES, read_about
from schemas.serialisation import with_checksum
from schemas.store import FeatureStore
from tests.conftest import SMALL_BASE, extract, write_pictures

IMAGES = 12
Spoil = Callable[[Path, Path], None]


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures and a store with an index; do not change it."""
    pytest.importorskip("faiss", reason="an index is made by faiss: pip install faiss-cpu")
    folder = tmp_path_factory.mktemp("indexed")
    write_pictures(folder / "pictures", IMAGES)
    extract(f"--input={folder}/pictures", f"--output={folder}/store", *SMALL_BASE)
    assert index_command.main([f"{folder}/store"]) == 0
    return folder


@pytest.fixture
def store(indexed: Path, tmp_path: Path) -> Path:
    shutil.copytree(indexed / "store", tmp_path / "store")
    return tmp_path / "store"


def files_of_index(store: Path) -> tuple[Path, Path]:
    """Its `.json` and its `.cells`."""
    (about,), (cells,) = (list((store / INDEXES).glob(f"*{suffix}")) for suffix in (".json", ".cells"))
    return about, cells


def rewritten(about: Path, **fields: object) -> None:
    """Writes other values into the `.json`, as if they had been written at first."""
    values = json.loads(about.read_text())
    values.pop("index_sha256")
    about.write_text(json.dumps(with_checksum({**values, **fields}, "index_sha256")))


def empty(about: Path, _: Path) -> None:
    about.write_bytes(b"")


def cut(about: Path, _: Path) -> None:
    about.write_bytes(about.read_bytes()[:-10])


def another_number(about: Path, _: Path) -> None:
    about.write_text(about.read_text().replace(f'"images": {IMAGES}', f'"images": {IMAGES - 1}'))


def of_no_version(about: Path, _: Path) -> None:
    rewritten(about, table_version=7)


def of_other_rows(about: Path, _: Path) -> None:
    (file,) = json.loads(about.read_text())["files"]
    rewritten(about, files=[{**file, "rows": IMAGES + 1}])


def more_images(about: Path, _: Path) -> None:
    rewritten(about, images=IMAGES + 1)


def empty_cells(_: Path, cells: Path) -> None:
    cells.write_bytes(b"")


def cut_cells(_: Path, cells: Path) -> None:
    cells.write_bytes(cells.read_bytes()[:-10])


def no_cells(_: Path, cells: Path) -> None:
    cells.unlink()


DAMAGES = {
    empty: r"\.json: it is not what was written: ",
    cut: r"\.json: it is not what was written: ",
    another_number: r"\.json: it is not what was written: Its SHA-256 differs\.",
    of_no_version: r"\.json: it is of version 7 of features, of which 1 is the newest\.",
    of_other_rows: rf"\.json: it takes ds=\S+\.parquet for a file of {IMAGES + 1} rows, which has {IMAGES}\.",
    more_images: rf"\.json: it has {IMAGES + 1} images, and its files have {IMAGES} rows\.",
    empty_cells: r"\.cells: it has 0 bytes, [\d,]+ were written\.",
    cut_cells: r"\.cells: it has [\d,]+ bytes, [\d,]+ were written\.",
    no_cells: r"\.cells: it is missing\.",
}


@pytest.mark.parametrize(("spoil", "said"), DAMAGES.items(), ids=[spoil.__name__ for spoil in DAMAGES])
def test_a_damaged_index_is_named_and_a_repair_removes_it(
    spoil: Spoil, said: str, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert maintain.main([str(store), "check"]) == 0
    assert "indexes: 1, none damaged." in capsys.readouterr().out
    spoil(*files_of_index(store))
    with pytest.raises(RunFailed, match=r"is damaged; --repair"):
        maintain.main([str(store), "check"])
    printed = capsys.readouterr().out
    assert re.search(said, printed)
    assert "indexes: 1, 1 damaged." in printed
    assert maintain.main([str(store), "check", "--repair"]) == 0
    assert "indexes: 1 is removed; pipelines.index makes others." in capsys.readouterr().out
    assert not list((store / INDEXES).iterdir())
    assert maintain.main([str(store), "check", "--deep"]) == 0
    assert index_command.main([str(store)]) == 0
    assert maintain.main([str(store), "check", "--deep"]) == 0
    assert "indexes: 1, none damaged." in capsys.readouterr().out


def test_a_bit_of_the_vectors_is_found_by_a_deep_check(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, cells = files_of_index(store)
    data = bytearray(cells.read_bytes())
    data[len(data) // 2] ^= 1
    cells.write_bytes(data)
    assert maintain.main([str(store), "check"]) == 0
    with pytest.raises(RunFailed, match=r"is damaged; --repair"):
        maintain.main([str(store), "check", "--deep"])
    assert f"{cells.name}: its SHA-256 differs." in capsys.readouterr().out


def test_no_bit_of_what_an_index_says_of_itself_can_be_another(store: Path) -> None:
    about, _ = files_of_index(store)
    uri, data = FeatureStore.open(str(store)).uri, about.read_bytes()
    for place in range(len(data)):
        spoilt = bytearray(data)
        spoilt[place] ^= 1 << place % 5
        about.write_bytes(spoilt)
        with pytest.raises(ValueError, match=r"."):
            read_about(uri, about.name)


def test_features_that_an_index_does_not_account_for_are_found_by_a_deep_check(store: Path) -> None:
    """As those of rows that were taken down would be, had an update left them."""
    about, _ = files_of_index(store)
    (file,) = json.loads(about.read_text())["files"]
    rewritten(about, files=[{**file, "rows": IMAGES - 2, "path": "gone.parquet"}], images=IMAGES - 2)
    uri = FeatureStore.open(str(store)).uri
    assert not check_indexes(uri).damages
    assert [damage.how for damage in check_indexes(uri, deep=True).damages] == [
        f"it has {IMAGES} images, {IMAGES - 2} were written"
    ]
    rewritten(about, images=IMAGES, files=[{**file, "rows": IMAGES - 2}, {**file, "path": "b", "first": IMAGES + 1}])
    (damage,) = check_indexes(uri, deep=True).damages
    assert "it takes " in damage.how
    rewritten(about, files=[{**file, "rows": IMAGES - 2, "path": "a"}, {**file, "path": "b", "first": IMAGES + 1}])
    assert [damage.how for damage in check_indexes(uri, deep=True).damages] == [
        "it has features of 2 rows that have left the table"
    ]


def test_an_index_that_has_not_followed_a_takedown_is_told_and_traced(
    store: Path, indexed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone.txt").write_text(f"{indexed}/pictures/003.jpg")
    takedown = [str(store), "takedown", f"--uris={tmp_path}/gone.txt"]
    assert maintain.main(takedown) == 0
    assert maintain.main([str(store), "check", "--deep"]) == 0
    assert f"features of {IMAGES} rows that have left the table are in them, until" in capsys.readouterr().out
    with pytest.raises(RunFailed, match=r"^2 files hold rows of these images"):
        maintain.main([*takedown, "--verify"])
    assert f"{files_of_index(store)[1].name}: 1 row, in older versions only" in capsys.readouterr().out
    # A vacuum of another program does not know of indexes.
    present = {file.path for file in FeatureStore.open(str(store)).scan().files}
    for path in (store / "features").rglob("ds=*/*.parquet"):
        if path.relative_to(store / "features").as_posix() not in present:
            path.unlink()
    with pytest.raises(RunFailed, match=r"^1 file holds rows of these images, or cannot be read"):
        maintain.main([*takedown, "--verify"])
    assert f"{files_of_index(store)[1].name}: it has features of 1 file that is gone" in capsys.readouterr().out
    assert maintain.main([str(store), "vacuum"]) == 0
    assert maintain.main([*takedown, "--verify"]) == 0


def test_a_vacuum_removes_an_index_of_a_version_that_is_gone(
    store: Path, indexed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would be taken for the newest, and stay, whatever index is made after it."""
    about, _ = files_of_index(store)
    rewritten(about, table_version=7)
    assert maintain.main([str(store), "vacuum"]) == 0
    assert "Files of indexes with features of these: 2" in capsys.readouterr().out
    assert not list((store / INDEXES).iterdir())
    assert search.main([str(store), f"--uri={indexed}/pictures/003.jpg"]) == 0
