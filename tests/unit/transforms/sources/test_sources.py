"""Folders, globs and manifests become refs; names come back exactly."""

import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.errors import InvalidInput
from tests.conftest import write_pictures
from transforms.manifests import ManifestOptions
from transforms.source_kinds.folders import FolderSource, GlobSource
from transforms.source_kinds.manifest_source import ManifestSource
from transforms.source_kinds.single_files import FileSource
from transforms.sources import (
    IgnoredFiles,
    ListingRules,
    carried_columns,
    find_sources,
    list_source,
    look_up_versions,
    take_first_look,
)
from transforms.sources.data_sets import _records


def refs(*inputs: object, ignored: IgnoredFiles | None = None, **rules: Any) -> list[dict[str, Any]]:
    sources = find_sources(map(str, inputs))
    listing = ListingRules(**{"carried": carried_columns(sources), **rules})
    batches = [batch for source in sources for batch in list_source(source, listing, ignored or IgnoredFiles())]
    return [row for batch in batches for row in look_up_versions(batch).to_pylist()]


def uris(*inputs: object, **rules: Any) -> list[str]:
    return [row["uri"] for row in refs(*inputs, **rules)]


def test_a_folder_is_read_to_its_depths_and_the_rest_is_counted(tmp_path: Path) -> None:
    for name in ("a.jpg", "b/c.JPEG", "b/d/e.png", "b/notes.txt", "f.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    ignored = IgnoredFiles()
    found = uris(tmp_path, ignored=ignored)
    assert sorted(found) == [f"file://{tmp_path}/{name}" for name in ("a.jpg", "b/c.JPEG", "b/d/e.png")]
    assert ignored.files == 2
    assert uris(tmp_path, extensions=("mp4",)) == [f"file://{tmp_path}/f.mp4"]


def test_a_glob_takes_what_it_matches(tmp_path: Path) -> None:
    write_pictures(tmp_path / "x", 3)
    (tmp_path / "x" / "picture").write_bytes(b"no extension")
    assert len(uris(tmp_path / "x" / "*")) == 4
    assert len(uris(tmp_path / "**" / "00[01].jpg")) == 2


def test_one_picture_is_an_input(tmp_path: Path) -> None:
    (path,) = write_pictures(tmp_path, 1)
    assert uris(path) == [f"file://{path}"]


ODD_NAMES = (
    "a b.jpg",
    "a#b.jpg",
    "a?b.jpg",
    "a%2Fb.jpg",
    "a::b.jpg",
    "caf\u00e9.jpg",
    "cafe\u0301.jpg",
    "a\nb.jpg",
    "[a].jpg",
    " a.jpg",
)


@pytest.mark.parametrize("kind", ["folder", "csv", "parquet"])
def test_odd_names_come_back_exactly(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ODD_NAMES:
        (folder / name).write_bytes(name.encode())
    paths = [f"{folder}/{name}" for name in ODD_NAMES]
    manifest = tmp_path / f"manifest.{kind}"
    if kind == "csv":
        manifest.write_text("uri\n" + "".join(f'"{path}"\n' for path in paths), newline="")
    elif kind == "parquet":
        pq.write_table(pa.table({"uri": paths}), manifest)
    found = refs(folder if kind == "folder" else manifest)
    assert {row["uri"] for row in found} == {f"file://{path}" for path in paths}
    assert all(row["version"] and row["_size"] == len(row["uri"].rpartition("/")[2].encode()) for row in found)


def test_a_text_file_has_a_uri_a_line(tmp_path: Path) -> None:
    write_pictures(tmp_path, 2)
    manifest = tmp_path / "list.txt"
    manifest.write_bytes(f"{tmp_path}/000.jpg\r\n\n001.jpg\ns3://bucket/x y.jpg\n".encode())
    rules = ListingRules()
    (source,) = find_sources([str(manifest)])
    (batch,) = list_source(source, rules, IgnoredFiles())
    # A relative path is one beside the manifest.
    assert batch["uri"].to_pylist() == [
        f"file://{tmp_path}/000.jpg",
        f"file://{tmp_path}/001.jpg",
        "s3://bucket/x y.jpg",
    ]
    assert batch["version"].null_count == 3


def test_a_csv_carries_its_columns_as_text(tmp_path: Path) -> None:
    write_pictures(tmp_path, 2)
    manifest = tmp_path / "m.csv"
    manifest.write_text("uri,label,split,breed,age\n000.jpg,cat,train,,3\n001.jpg,,test,boxer,4\n")
    first, second = refs(manifest)
    assert (first["label"], first["split"], first["breed"], first["age"]) == ("cat", "train", None, "3")
    assert (second["label"], second["split"], second["breed"], second["age"]) == (None, "test", "boxer", "4")


def test_a_parquet_manifest_keeps_its_types(tmp_path: Path) -> None:
    table = pa.table(
        {
            "uri": ["s3://b/1.jpg"],
            "version": ["v1"],
            "label": pa.array([7], pa.int32()),
            "age": pa.array([3], pa.int16()),
            "weight": pa.array([2.5], pa.float32()),
            "tags": pa.array([["a", "b"]], pa.list_(pa.string())),
            "breed": pa.array(["boxer"]).dictionary_encode(),
        }
    )
    pq.write_table(table, tmp_path / "m.parquet")
    sources = find_sources([str(tmp_path / "m.parquet")])
    types = {field.name: str(field.type) for field in carried_columns(sources)}
    assert types == {"age": "int64", "weight": "double", "tags": "list<element: string>", "breed": "string"}
    (row,) = refs(tmp_path / "m.parquet")
    assert row == {
        "uri": "s3://b/1.jpg", "version": "v1", "label": "7", "split": None, "_size": None, "_supersedes": None,
        "_problem": None, "_place": None, "_location": None, "_known_in": None,
        "_given": '["age", "breed", "label", "tags", "weight"]',
        "age": 3, "weight": 2.5, "tags": ["a", "b"], "breed": "boxer",
    }  # fmt: skip


def test_several_inputs_may_carry_different_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("uri,version,x\ns3://b/1.jpg,1,one\n")
    (tmp_path / "b.csv").write_text("uri,version,y\ns3://b/2.jpg,1,two\n")
    rows = refs(tmp_path / "*.csv")
    assert [(row["uri"][-5:], row["x"], row["y"]) for row in rows] == [("1.jpg", "one", None), ("2.jpg", None, "two")]


def test_the_parents_name_is_the_label(tmp_path: Path) -> None:
    for folder in ("train/cats", "validation/dogs", "test/cats", "other/dogs"):
        write_pictures(tmp_path / folder, 1)
    rows = refs(tmp_path, labels_from_parent=True)
    assert {(row["label"], row["split"]) for row in rows} == {
        ("cats", "train"), ("dogs", "validation"), ("cats", "test"), ("dogs", None)
    }  # fmt: skip


def test_a_manifests_own_label_stands(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("uri,version,label\ns3://b/train/cats/1.jpg,1,tiger\ns3://b/train/cats/2.jpg,1,\n")
    assert [row["label"] for row in refs(tmp_path / "m.csv", labels_from_parent=True)] == ["tiger", "cats"]


def test_a_changed_file_has_another_version(tmp_path: Path) -> None:
    (path,) = write_pictures(tmp_path, 1)
    (before,) = refs(tmp_path)
    path.write_bytes(path.read_bytes() + b" ")
    (after,) = refs(tmp_path)
    assert before["uri"] == after["uri"]
    assert before["version"] != after["version"]


def test_a_folder_and_a_manifest_tell_the_same_version(tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures", 2)
    (tmp_path / "list.txt").write_text("pictures/000.jpg\npictures/001.jpg\n")
    assert refs(tmp_path / "pictures") == refs(tmp_path / "list.txt")


def test_versions_may_be_trusted(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("s3://nowhere/1.jpg\n")
    assert [row["version"] for row in refs(tmp_path / "list.txt", stat_manifests=False)] == [""]


def test_a_zip_file_is_a_folder(tmp_path: Path) -> None:
    import zipfile

    (path,) = write_pictures(tmp_path, 1)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(path, "in/side.jpg")
    assert uris(f"zip://::{tmp_path}/a.zip") == [f"zip://in/side.jpg::file://{tmp_path}/a.zip"]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        (
            "m.csv",
            b"url,label\na.jpg,cat\n",
            r"no column 'uri' \(its columns: url, label\); did you mean 'url'; --uri_column",
        ),
        ("m.csv", b"", "is empty"),
        ("m.parquet", b"no parquet", "cannot be read"),
    ],
)
def test_bad_manifests_are_refused(name: str, content: bytes, sentence: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=sentence):
        find_sources([str(tmp_path / name)])


@pytest.mark.parametrize("name", ["m.csv", "m.jsonl", "m.parquet"])
def test_a_row_without_a_uri_is_known_by_its_place(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "m.csv":
        path.write_text("uri,label\na.jpg,cat\n,dog\n")
    elif name == "m.jsonl":
        path.write_text('{"uri": "a.jpg", "label": "cat"}\n{"uri": "", "label": "dog"}\n')
    else:
        pq.write_table(pa.table({"uri": ["a.jpg", None], "label": ["cat", "dog"]}), path, row_group_size=1)
    good, bad = refs(path, rows_per_section=1)
    assert (good["uri"], good["_problem"]) == (f"file://{tmp_path}/a.jpg", None)
    assert (bad["uri"], bad["version"]) == (f"file://{path}#row=2", "")
    assert bad["_problem"] == "The row has no URI."


def test_a_row_of_which_nothing_can_be_made_keeps_its_uri(tmp_path: Path) -> None:
    named = ["hdfs2://host/a.jpg", "http://[bad/a.jpg", "sftp://host/a.jpg", "github://a:b@main/x.jpg", "s3://"]
    pq.write_table(pa.table({"uri": [*named, "a\0b.jpg", "x" * 300]}), tmp_path / "m.parquet")
    (batch,) = list_source(*find_sources([str(tmp_path / "m.parquet")]), ListingRules(), IgnoredFiles())
    here = f"file://{tmp_path}"
    assert batch["uri"].to_pylist() == [*named, f"{here}/a\0b.jpg", f"{here}/{'x' * 300}"]
    local = batch.slice(5)
    assert look_up_versions(local)["version"].to_pylist() == ["", ""]


def test_columns_of_two_types_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("uri,x\na.jpg,one\n")
    pq.write_table(pa.table({"uri": ["b.jpg"], "x": [1]}), tmp_path / "b.parquet")
    with pytest.raises(InvalidInput, match="disagree on column 'x': string and int64"):
        carried_columns(find_sources([str(tmp_path / "a.csv"), str(tmp_path / "b.parquet")]))


def test_there_must_be_an_input_and_an_image_in_it(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="There is no input at"):
        find_sources([str(tmp_path / "nowhere")])
    with pytest.raises(InvalidInput, match="cannot be read"):
        find_sources(["nosuchprotocol://a"])
    assert not take_first_look(find_sources([str(tmp_path)]), ListingRules())
    (tmp_path / "a.jpg" / "b").mkdir(parents=True)
    (tmp_path / "a.jpg" / "notes.md").touch()
    assert not take_first_look(find_sources([str(tmp_path)]), ListingRules())
    (tmp_path / "a.jpg" / "b" / "c.JPG").touch()
    assert take_first_look(find_sources([str(tmp_path)]), ListingRules())


def test_kinds(tmp_path: Path) -> None:
    write_pictures(tmp_path, 1)
    (tmp_path / "a.TXT").write_text("")
    (tmp_path / "list").write_text("000.jpg\n")
    (tmp_path / "picture").write_bytes((tmp_path / "000.jpg").read_bytes())
    kinds = {
        tmp_path: FolderSource,
        tmp_path / "*.jpg": GlobSource,
        tmp_path / "000.jpg": FileSource,
        tmp_path / "picture": FileSource,
        tmp_path / "a.TXT": ManifestSource,
        tmp_path / "list": ManifestSource,
    }
    assert [type(source) for source in find_sources(map(str, kinds))] == list(kinds.values())


def test_a_data_set_of_thousands_of_files_is_looked_through_once() -> None:
    uris = [f"file:///a/train.tfrecord-{number:05}-of-30000" for number in range(30_000)]
    began = time.process_time()
    found = _records(uris, ManifestOptions())
    assert time.process_time() - began < 5
    assert [source.uri for source in found] == uris
