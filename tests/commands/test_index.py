"""`pipelines.index`: neighbours by an index are those of all images, and what has left the table never comes back."""

import importlib.util
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipelines import explore, maintain, search
from pipelines import index as command
from schemas.errors import RunFailed, UsageError
from schemas.fragments import TableName
from schemas.neighbours import unit_vectors
from schemas.search import INDEXES, find_index
from schemas.store import FeatureStore
from tests.benchmarks.made_tables import write_rows
from tests.conftest import clusters, store_of_features

ROWS, LATER, K = 1500, 200, 10
LATER_IMAGE = "file:///pictures/00000003.jpg"


@pytest.fixture(autouse=True)
def _faiss() -> None:
    pytest.importorskip("faiss", reason="an index is made by faiss: pip install faiss-cpu")


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    return clusters([150] * 12)[0][: ROWS + LATER]


@pytest.fixture(scope="module")
def indexed(features: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of one file with an index; do not change it."""
    pytest.importorskip("faiss", reason="an index is made by faiss: pip install faiss-cpu")
    folder = tmp_path_factory.mktemp("indexed") / "a store #1"
    store_of_features(folder, features[:ROWS])
    assert command.main([str(folder)]) == 0
    return folder


@pytest.fixture
def store(indexed: Path, tmp_path: Path) -> Path:
    shutil.copytree(indexed, tmp_path / "a store #2")
    return tmp_path / "a store #2"


def add_later(store: Path, features: np.ndarray) -> None:
    opened = FeatureStore.open(str(store))
    fragment = write_rows(opened, range(LATER), features[ROWS:])
    opened.commit_fragments(TableName.FEATURES, "later", [fragment])


def take_down(store: Path, folder: Path, uri: str) -> None:
    (folder / "gone.txt").write_text(uri)
    assert maintain.main([str(store), "takedown", f"--uris={folder}/gone.txt"]) == 0


def vacuum(store: Path) -> None:
    assert maintain.main([str(store), "vacuum", "--retention=0h", "--allow_short_retention"]) == 0


def found(store: Path, uri: str, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[list[str], str]:
    """What a search for an image finds, a line an image, and what it says of how it was done."""
    capsys.readouterr()
    assert search.main([str(store), f"--uri={uri}", f"--k={K}", *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    return lines[1 : K + 1], "".join(lines[K + 1 :])


def cell_files(store: Path) -> list[Path]:
    return sorted((store / INDEXES).glob("*.cells"))


def test_neighbours_by_the_index_are_those_of_all(
    indexed: Path, features: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    store = FeatureStore.open(str(indexed))
    index = store.index()
    assert index is not None
    assert index.cells.probes < index.cells.cells
    queries = features[::50][:30] + 0.1
    by_index, exact = (store.neighbours(queries, K, index=given).to_pandas() for given in (index, None))
    both = by_index.merge(exact, on=["query", "uri"])
    assert len(both) >= 0.95 * len(exact) == 0.95 * 30 * K
    np.testing.assert_allclose(both.distance_x, both.distance_y, atol=1e-6)
    assert index.stored.recall >= 0.98
    hits, said = found(indexed, "file:///image-7", capsys)
    assert said.startswith("By the index of version 1, which finds ")
    assert (hits, "") == found(indexed, "file:///image-7", capsys, "--exact")
    assert found(indexed, "file:///image-7", capsys, "--where=width = 1") == (hits, "")


def test_what_came_since_is_found_and_then_added(
    store: Path, features: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    add_later(store, features)
    hits, said = found(store, LATER_IMAGE, capsys)
    assert f"{LATER} rows of further files were compared" in said
    assert any("pictures" in line for line in hits)
    assert any("image-" in line for line in found(store, "file:///image-9", capsys)[0])
    assert command.main([str(store)]) == 0
    printed = capsys.readouterr().out
    assert "is brought up to date: 1,700 images of version 2" in printed
    assert f"came                 {LATER} images" in printed
    again, said = found(store, LATER_IMAGE, capsys)
    assert again == hits
    assert "further" not in said
    assert len(cell_files(store)) == 1


def test_what_was_taken_down_does_not_come_back_by_the_index(
    store: Path, features: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_later(store, features)
    assert command.main([str(store)]) == 0
    near = found(store, "file:///image-7", capsys)[0][0].split()[-1]
    number = int(re.findall(r"\d+", near)[-1]) + (ROWS if "pictures" in near else 0)
    bytes_of_it = unit_vectors(features[number : number + 1]).tobytes()
    assert bytes_of_it in cell_files(store)[0].read_bytes()
    take_down(store, tmp_path, near)
    hits, said = found(store, "file:///image-7", capsys)
    assert "rows of further files were compared" in said
    assert near not in " ".join(hits)
    assert hits == found(store, "file:///image-7", capsys, "--exact")[0]
    assert command.main([str(store)]) == 0
    assert bytes_of_it not in cell_files(store)[0].read_bytes()
    assert near not in " ".join(found(store, "file:///image-7", capsys)[0])
    vacuum(store)
    assert len(cell_files(store)) == 1


def test_a_vacuum_removes_an_index_with_what_was_taken_down(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    take_down(store, tmp_path, "file:///image-3")
    assert cell_files(store)
    vacuum(store)
    assert "Files of indexes with features of these: 2" in capsys.readouterr().out
    assert not list((store / INDEXES).iterdir())
    assert found(store, "file:///image-7", capsys)[1] == ""


def test_a_compacted_table_is_compared_until_the_index_has_its_files(
    store: Path, features: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    add_later(store, features)
    version = FeatureStore.open(str(store)).features().version()
    hits, _ = found(store, "file:///image-7", capsys, "--exact")
    assert maintain.main([str(store), "compact"]) == 0
    all_compared = "All images were compared: the files of the index are no longer those of the table."
    assert found(store, "file:///image-7", capsys) == (hits, all_compared)
    assert command.main([str(store)]) == 0
    printed = capsys.readouterr().out
    assert "came                 1,700 images" in printed
    assert "left                 1,500 rows" in printed
    assert found(store, "file:///image-7", capsys)[0] == hits
    assert found(store, "file:///image-7", capsys, f"--table_version={version}") == (hits, all_compared)


def test_an_index_that_is_not_what_was_written_is_not_believed(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (cells,) = cell_files(store)
    data = cells.read_bytes()
    cells.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(RunFailed, match=r"is damaged .*--rebuild"):
        command.main([str(store)])
    cells.write_bytes(data[:100])
    assert find_index(FeatureStore.open(str(store)).uri, "features") is None
    assert found(store, "file:///image-7", capsys)[1] == ""
    assert command.main([str(store), "--rebuild"]) == 0
    assert found(store, "file:///image-7", capsys)[1] != ""


def test_without_faiss_an_index_is_a_sentence(
    indexed: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = found(indexed, "file:///image-7", capsys, "--exact")[0]
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "faiss" else find_spec(name, *rest)
    )
    with pytest.raises(UsageError, match=r"needs faiss.*: pip install faiss-cpu\."):
        command.main([str(indexed)])
    hits, said = found(indexed, "file:///image-7", capsys)
    assert hits == expected
    assert said == "All images were compared: the index is read by faiss (pip install faiss-cpu)."


def test_a_store_without_images_has_nothing_to_index(empty_store: Path) -> None:
    with pytest.raises(UsageError, match="There is no image to index"):
        command.main([str(empty_store)])


def test_many_images_are_explored_by_cells(
    features: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = features[:20] * 1.0001 + 1e-5
    splits = ["train"] * ROWS + ["test"] * len(copies)
    store_of_features(tmp_path / "store", np.concatenate([features[:ROWS], copies]), split=splits)
    options = ("--thumbnails=0", "--projection=pca", f"--output={tmp_path}/page", "--duplicate_distance=1e-5")
    monkeypatch.setattr("transforms.exploration.explored_images.MOST_WITHOUT_CELLS", 1000)
    assert explore.main([f"{tmp_path}/store", *options]) == 0
    by_cells = capsys.readouterr().out
    assert "across splits        20 groups" in by_cells
    assert explore.main([f"{tmp_path}/store", "--exact", *options]) == 0
    exact = capsys.readouterr().out
    assert "across splits        20 groups" in exact
    assert "compared by cells" in by_cells
    assert "compared by cells" not in exact
