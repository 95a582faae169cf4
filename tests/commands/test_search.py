"""`pipelines.search`: a picture, or an image of the table, in; the nearest images out."""

import io
import re
import sys
from pathlib import Path

import numpy as np
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from pipelines import search as command
from schemas.errors import InvalidFeatures, InvalidInput, UsageError
from schemas.neighbours import unit_vectors
from schemas.store import FeatureStore
from tests.conftest import Run, store_of_features


@pytest.fixture
def vectors(small_store: FeatureStore) -> np.ndarray:
    return unit_vectors(small_store.scan(small_store.spec.layers).to_numpy())


def expected(store: FeatureStore, vectors: np.ndarray, row: int) -> list[str]:
    order = np.argsort(-(vectors @ vectors[row]), kind="stable")
    return [str(uri) for uri in store.scan().to_numpy("uri")[order]]


def found(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[list[str]]:
    assert command.main([*map(str, arguments)]) == 0
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_a_picture_of_the_table_is_nearest_to_itself(
    small_store: FeatureStore, vectors: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = str(small_store.scan().to_numpy("uri")[4])
    lines = found(capsys, small_store.uri, f"--image={uri.removeprefix('file://')}", "--k=5")
    assert lines[0] == ["distance", "label", "split", "uri"]
    assert [line[-1] for line in lines[1:]] == expected(small_store, vectors, 4)[:5]
    assert float(lines[1][0]) < 1e-4 < float(lines[2][0])


def test_an_image_of_the_table_is_left_out_of_its_own_neighbours(
    small_store: FeatureStore, vectors: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = str(small_store.scan().to_numpy("uri")[7])
    lines = found(capsys, small_store.uri, f"--uri={uri}", "--k=100")
    assert [line[-1] for line in lines[1:]] == [other for other in expected(small_store, vectors, 7) if other != uri]
    lines = found(capsys, small_store.uri, f"--uri={uri}", "--where=label = 'discs'")
    assert [line[1] for line in lines[1:]] == ["discs"] * 4


def test_that_nothing_is_found_is_a_sentence(small_store: FeatureStore, capsys: pytest.CaptureFixture[str]) -> None:
    uri = str(small_store.scan().to_numpy("uri")[7])
    assert command.main([small_store.uri, f"--uri={uri}", "--where=label = 'cow'"]) == 0
    assert capsys.readouterr().out == "No image was found.\n"
    assert "No image was found." in command(small_store.uri, uri=uri, where="label = 'cow'")._repr_html_()


def test_standard_input(
    small_store: FeatureStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = str(small_store.scan().to_numpy("uri")[2])
    data = Path(uri.removeprefix("file://")).read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert found(capsys, small_store.uri, "--image=-", "--k=1")[1][-1] == uri


def test_hits_are_written_as_a_page_or_a_table(
    small_store: FeatureStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = str(small_store.scan().to_numpy("uri")[0])
    for name in ("hits.html", "hits.parquet", "hits.csv"):
        assert (
            found(capsys, small_store.uri, f"--uri={uri}", "--k=3", f"--output={tmp_path / name}")[-1][0] == "Written"
        )
    table = pq.read_table(tmp_path / "hits.parquet")
    assert table.column_names[:3] == ["distance", "uri", "version"]
    assert pa_csv.read_csv(tmp_path / "hits.csv")["uri"].to_pylist() == table["uri"].to_pylist()
    page = (tmp_path / "hits.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 4
    assert re.findall('<figure class="card" title="(.*?)"', page) == [uri, *table["uri"].to_pylist()]
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page


def test_python_asks_for_many_at_once(small_store: FeatureStore, vectors: np.ndarray) -> None:
    hits = small_store.neighbours(vectors[:3], 2, where=[("label", "=", "discs")])
    assert hits.column_names[:2] == ["query", "distance"]
    assert hits["query"].to_pylist() == [0, 0, 1, 1, 2, 2]
    assert set(hits["label"].to_pylist()) == {"discs"}
    assert small_store.spec.layers[0] not in hits.column_names
    assert small_store.neighbours(vectors[:1], 2, where=[("label", "=", "none")]).num_rows == 0
    with pytest.raises(InvalidFeatures, match="The features have"):
        small_store.neighbours(np.ones((1, 3), np.float32))


def test_maps_are_averaged(tmp_path: Path) -> None:
    maps = np.random.default_rng(0).random((30, 3, 3, 4), np.float32)
    store = store_of_features(tmp_path / "store", maps)
    by_map = store.neighbours(maps[:2], 5)
    assert by_map["uri"].to_pylist()[::5] == ["file:///image-0", "file:///image-1"]
    assert store.neighbours(maps[:2].mean(axis=(1, 2)), 5)["uri"] == by_map["uri"]


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        (["--uri=nowhere.jpg"], UsageError, "The table has no image"),
        (["--image=nowhere.jpg"], InvalidInput, "nowhere.jpg is no picture that could be searched for"),
        (["--image=."], InvalidInput, "is a folder"),
        ([], UsageError, "One of the arguments --image --uri is required"),
        (["--uri=a", "--output=hits.json"], UsageError, "is none of .html, .parquet, .csv"),
        (["--uri=a", "--output=/dev/null/hits.csv"], UsageError, "--output=/dev/null/hits.csv cannot be written"),
        (["--uri=a", "--where=lable = 'x'"], UsageError, "did you mean 'label'"),
        (["--uri=a", "--layer=b"], UsageError, "no features of a layer 'b'"),
    ],
)
def test_what_cannot_be_searched_for_is_one_sentence(
    small_store: FeatureStore, options: list[str], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=re.escape(said)) as raised:
        command.main([small_store.uri, *options])
    assert "\n" not in str(raised.value)


def test_the_command_imports_neither_beam_nor_tensorflow(small_store: FeatureStore, run: Run, tmp_path: Path) -> None:
    uri = str(small_store.scan().to_numpy("uri")[0])
    done = run(
        "search", small_store.uri, f"--image={uri.removeprefix('file://')}", "--k=1", PYTHONPROFILEIMPORTTIME="1"
    )
    assert done.returncode == 0
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "numpy" in imported
    assert not imported & {"apache_beam", "tensorflow", "keras", "jinja2"}


def test_a_spreadsheet_takes_no_text_of_a_file_of_hits_for_a_formula(tmp_path: Path) -> None:
    labels = ["=1+1", "cat", "-1.5", None]
    store = store_of_features(tmp_path / "store", np.eye(4), label=labels)
    assert command.main([store.uri, "--uri=file:///image-3", f"--output={tmp_path}/hits.csv"]) == 0
    said = pa_csv.read_csv(tmp_path / "hits.csv").select(["uri", "label"]).to_pylist()
    assert {row["uri"]: row["label"] for row in said} == {
        "file:///image-0": "'=1+1", "file:///image-1": "cat", "file:///image-2": "-1.5",
    }  # fmt: skip
