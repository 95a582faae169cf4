"""Rows of Parquet files as images: labels by the names of classes, splits by names of files, bytes where they are."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.errors import FailureCode, ImageError, InvalidInput
from schemas.images import ImageRef
from schemas.threads import bounded_map
from tests.conftest import write_pictures
from tests.support.data_sets import IMAGE, write_image_table
from tests.unit.transforms.sources.test_sources import refs
from transforms.archives import parquet_images
from transforms.decoding import MAX_BYTES
from transforms.images import fetch_image
from transforms.manifests import ManifestOptions
from transforms.sources import IgnoredFiles, ListingRules, carried_columns, find_sources, list_source, take_first_look

CLASSES = ("cat", "dog", "cow")


def cells(count: int) -> list[dict[str, bytes | str | None]]:
    return [{"bytes": f"picture {number}".encode() * 50, "path": f"{number}.jpg"} for number in range(count)]


def ref_of(row: dict[str, Any]) -> ImageRef:
    return ImageRef(row["uri"], row["version"], row["_size"], row["_problem"], row["_place"])


def found(path: object, **options: Any) -> list[dict[str, Any]]:
    sources = find_sources([str(path)], ManifestOptions(**options))
    rules = ListingRules(carried=carried_columns(sources, options.get("carry")))
    return [row for each in sources for batch in list_source(each, rules, IgnoredFiles()) for row in batch.to_pylist()]


def test_rows_are_images_with_labels_and_columns(tmp_path: Path) -> None:
    path = write_image_table(
        tmp_path / "data" / "train-00000-of-00002.parquet", cells(6), {"label": CLASSES, "season": ("wet", "dry")},
        label=[0, 1, 2, -1, None, 1], season=[1, 0, 1, 1, 0, 0], age=[1, 2, 3, 4, 5, 6],
        objects=[[{"x": 1}]] * 6,
    )  # fmt: skip
    rows = found(path)
    assert [row["label"] for row in rows] == ["cat", "dog", "cow", None, None, "dog"]
    assert [row["season"] for row in rows] == ["dry", "wet", "dry", "dry", "wet", "wet"]
    assert [(row["split"], row["age"]) for row in rows] == [("train", age) for age in range(1, 7)]
    assert "objects" not in rows[0]
    assert [row["uri"] for row in rows] == [f"parquet://image-{n:012}::file://{path}" for n in range(6)]
    assert len({row["version"] for row in rows}) == 1
    for number, row in enumerate(rows):
        assert fetch_image(ref_of(row), MAX_BYTES) == cells(6)[number]["bytes"]
        assert fetch_image(ImageRef(row["uri"], "", None), MAX_BYTES) == cells(6)[number]["bytes"]


@pytest.mark.parametrize(("kind", "column"), [("one of classes", "fine_label"), ("named", "kind")])
def test_labels_may_have_another_name(kind: str, column: str, tmp_path: Path) -> None:
    classes = {column: CLASSES} if kind == "one of classes" else {column: CLASSES, "other": ("a", "b")}
    path = write_image_table(tmp_path / "a.parquet", cells(2), classes, **{column: [2, 0], "other": [0, 1]})
    options = {"label_column": "kind"} if kind == "named" else {}
    assert [row["label"] for row in found(path, **options)] == ["cow", "cat"]


def test_lists_of_classes_are_several_labels(tmp_path: Path) -> None:
    numbers = pa.array([[0, 2], [], None], pa.list_(pa.int64()))
    path = write_image_table(tmp_path / "a.parquet", cells(3), {"label": CLASSES}, label=numbers)
    assert [row["labels"] for row in found(path)] == [["cat", "cow"], [], None]


def test_a_file_without_an_extension_is_told_by_how_it_begins(tmp_path: Path) -> None:
    path = write_image_table(tmp_path / "a.parquet", cells(1)).rename(tmp_path / "download")
    assert [row["uri"] for row in found(path)] == [f"parquet://image-{0:012}::file://{path}"]


def test_without_metadata_the_shape_tells_images(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": [7], "photo": pa.array(cells(1), IMAGE), "label": ["cat"]}), path)
    ((row,),) = (found(path),)
    assert (row["uri"], row["label"], row["id"]) == (f"parquet://photo-{0:012}::file://{path}", "cat", 7)


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
@pytest.mark.parametrize("declared", [True, False])
def test_a_column_of_bytes_alone_holds_images(kind: pa.DataType, declared: bool, tmp_path: Path) -> None:
    """As pandas writes it: told by the metadata, or by its first picture, behind other columns of bytes."""
    pictures = [path.read_bytes() for path in write_pictures(tmp_path / "p", 3)]
    contents = [None, *([b"no picture"] if declared else []), *pictures]
    table = pa.table(
        {"id": pa.array([b"\x00\x01"] * len(contents), pa.binary()), "jpg": pa.array(contents, kind)}
        | {"label": ["cat"] * len(contents), "age": list(range(len(contents)))}
    )
    if declared:
        features = {"jpg": {"_type": "Image", "decode": False}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    rows = found(tmp_path / "a.parquet")
    assert [(row["label"], row["age"]) for row in rows] == [("cat", age) for age in range(len(contents))]
    assert "id" not in rows[0]
    for row, content in list(zip(rows, contents, strict=True))[1:]:
        assert row["uri"] == f"parquet://jpg-{row['age']:012}::file://{tmp_path}/a.parquet"
        assert fetch_image(ref_of(row), MAX_BYTES) == content
        assert fetch_image(ImageRef(row["uri"], "", None), MAX_BYTES) == content
    assert rows[0]["_problem"] == "The row has neither bytes nor a path."


def test_bytes_that_are_no_pictures_are_no_images(tmp_path: Path) -> None:
    pq.write_table(pa.table({"hash": [b"\x00\x01"], "nothing": pa.nulls(1, pa.binary())}), tmp_path / "a.parquet")
    with pytest.raises(InvalidInput, match="has no column 'uri'"):
        found(tmp_path / "a.parquet")


@pytest.mark.parametrize("kind", [pa.list_(IMAGE), pa.list_(pa.binary())])
def test_several_images_a_row_are_refused(kind: pa.DataType, tmp_path: Path) -> None:
    pq.write_table(pa.table({"images": pa.array([None], kind)}), tmp_path / "a.parquet")
    with pytest.raises(InvalidInput, match=r"several images a row, in its column 'images'; write it with a row"):
        found(tmp_path / "a.parquet")


def test_classes_of_lists_are_named_in_each_form_of_the_metadata(tmp_path: Path) -> None:
    one = {"names": list(CLASSES), "_type": "ClassLabel"}
    for form in ({"feature": one, "_type": "List"}, {"feature": one, "length": -1, "_type": "Sequence"}, [one]):
        table = pa.table({"image": pa.array(cells(2), IMAGE), "label": pa.array([[0, 2], [1]], pa.list_(pa.int64()))})
        metadata = {"info": {"features": {"image": {"_type": "Image"}, "label": form}}}
        pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(metadata)}), tmp_path / "a.parquet")
        assert [row["labels"] for row in found(tmp_path / "a.parquet")] == [["cat", "cow"], ["dog"]]


def test_rows_without_bytes_are_files_by_their_paths(tmp_path: Path) -> None:
    (picture,) = write_pictures(tmp_path / "pictures", 1)
    mixed = [
        cells(1)[0], {"bytes": None, "path": "pictures/000.jpg"}, {"bytes": None, "path": None}, None,
        {"bytes": None, "path": "http://host/a.jpg"}, {"bytes": None, "path": ""},
    ]  # fmt: skip
    rows = found(write_image_table(tmp_path / "a.parquet", mixed, rows_per_group=3))
    assert [row["uri"] for row in rows[1:5:3]] == [f"file://{picture}", "http://host/a.jpg"]
    assert (rows[1]["version"], rows[1]["_place"]) == (None, None)
    assert fetch_image(ref_of(rows[0]), MAX_BYTES) == cells(1)[0]["bytes"]
    for row in (rows[2], rows[3], rows[5]):
        with pytest.raises(ImageError, match=r"^The row has neither bytes nor a path\.$"):
            fetch_image(ref_of(row), MAX_BYTES)


@pytest.mark.parametrize("pattern", ["", "data", "data/*.parquet"])
def test_a_folder_or_a_glob_of_files_is_a_data_set(pattern: str, tmp_path: Path) -> None:
    for name, label in (("train-00000-of-00002", 0), ("train-00001-of-00002", 1), ("test-00000-of-00001", 2)):
        write_image_table(tmp_path / "data" / f"{name}.parquet", cells(2), {"label": CLASSES}, label=[label] * 2)
    (tmp_path / "README.md").write_text("#")
    rows = found(tmp_path / pattern)
    assert sorted((row["label"], row["split"]) for row in rows) == [
        ("cat", "train"), ("cat", "train"), ("cow", "test"), ("cow", "test"), ("dog", "train"), ("dog", "train"),
    ]  # fmt: skip


def test_a_folder_with_a_splits_name_says_the_split(tmp_path: Path) -> None:
    assert found(write_image_table(tmp_path / "val" / "0000.parquet", cells(1)))[0]["split"] == "validation"
    path = write_image_table(tmp_path / "train" / "0000.parquet", cells(1), split=["test"])
    assert found(path)[0]["split"] == "test"


def test_pictures_in_a_folder_go_before_tables(tmp_path: Path) -> None:
    write_pictures(tmp_path, 1)
    write_image_table(tmp_path / "train.parquet", cells(1))
    assert [row["uri"] for row in found(tmp_path)] == [f"file://{tmp_path}/000.jpg"]


def test_a_row_group_is_read_once_by_threads_that_go_through_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_image_table(tmp_path / "a.parquet", cells(1000), rows_per_group=300)
    rows = found(path)
    lock, read = threading.Lock(), []
    opened = parquet_images._cells

    def counted(file: pq.ParquetFile, group: int, column: str) -> Any:
        with lock:
            read.append(group)
        yield from opened(file, group, column)

    monkeypatch.setattr(parquet_images, "_cells", counted)
    with ThreadPoolExecutor(16) as pool:
        contents = list(bounded_map(pool, lambda row: fetch_image(ref_of(row), MAX_BYTES), rows, 16))
    assert contents == [cell["bytes"] for cell in cells(1000)]
    assert sorted(read) == [0, 1, 2, 3]
    assert fetch_image(ref_of(rows[5]), MAX_BYTES) == contents[5], "what is behind is read again"


def test_a_file_that_was_written_anew_is_not_read_as_the_old_one(tmp_path: Path) -> None:
    path = write_image_table(tmp_path / "a.parquet", cells(3))
    (row, *_) = found(path)
    write_image_table(path, cells(8)[5:])
    with pytest.raises(ImageError, match="was written anew since it was listed"):
        fetch_image(ref_of(row), MAX_BYTES)
    assert fetch_image(ref_of(found(path)[0]), MAX_BYTES) == cells(8)[5]["bytes"]
    assert found(path)[0]["version"] != row["version"]


def test_a_cell_may_be_too_large(tmp_path: Path) -> None:
    (row,) = found(write_image_table(tmp_path / "a.parquet", cells(1)))
    with pytest.raises(ImageError) as caught:
        fetch_image(ref_of(row), 100)
    assert caught.value.code == FailureCode.TOO_MANY_BYTES


def test_a_table_without_rows_and_columns_that_are_missing_are_sentences(tmp_path: Path) -> None:
    path = write_image_table(tmp_path / "a.parquet", [])
    sources = find_sources([str(path)])
    assert not take_first_look(sources, ListingRules())
    assert "has a column of images, 'image', and no row" in sources[0].without_image(ListingRules())
    with pytest.raises(InvalidInput, match="has no column 'breed'"):
        find_sources([str(path)], ManifestOptions(label_column="breed"))
    with pytest.raises(InvalidInput, match="columns of types that a table cannot hold: 'objects'"):
        found(write_image_table(tmp_path / "b.parquet", cells(1), objects=[[{"x": 1}]]), carry=("objects",))


def test_a_manifest_with_uris_stays_one(tmp_path: Path) -> None:
    write_pictures(tmp_path, 1)
    table = {"uri": ["000.jpg"], "label": ["cat"], "image": pa.array(cells(1), IMAGE)}
    pq.write_table(pa.table(table), tmp_path / "m.parquet")
    ((row,),) = (found(tmp_path / "m.parquet", carry=()),)
    assert (row["uri"], row["label"]) == (f"file://{tmp_path}/000.jpg", "cat")


def test_metadata_that_is_none_is_ignored() -> None:
    for text in (b"", b"[]", b"null", b'{"info": 1}', json.dumps({"info": {"features": [1]}}).encode()):
        assert parquet_images.features_of(pa.schema([], {b"huggingface": text})) == {}


def test_versions_are_looked_up_for_files_alone(tmp_path: Path) -> None:
    write_pictures(tmp_path, 1)
    path = write_image_table(tmp_path / "t" / "a.parquet", [cells(1)[0], {"bytes": None, "path": "../000.jpg"}])
    embedded, beside = refs(path)
    assert (embedded["_size"], beside["_size"]) == (None, (tmp_path / "000.jpg").stat().st_size)


def test_a_column_of_images_may_have_any_name(tmp_path: Path) -> None:
    for number, name in enumerate(("a\tb", "\t", "a::b", "a/b", "ä", " ")):
        pq.write_table(pa.table({name: [b"\x89PNG 0", b"\x89PNG 1"]}), tmp_path / f"{number}.parquet")
        found = refs(tmp_path / f"{number}.parquet")
        images = [ImageRef(row["uri"], row["version"], None, None, row["_place"]) for row in found]
        assert [fetch_image(image, 10**6) for image in images] == [b"\x89PNG 0", b"\x89PNG 1"], name
