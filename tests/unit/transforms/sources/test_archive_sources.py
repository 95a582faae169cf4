"""Archives as inputs: the same members by whatever name, labels and columns of what is in them, and nothing dropped."""

import json
import os
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest

from schemas.errors import DamagedArchive, InputNotFound, InvalidInput
from schemas.images import ImageRef, image_refs
from tests.support.archives import add, write_tar, write_zip
from transforms.images import fetch_image
from transforms.sources import (
    IgnoredFiles,
    ListingRules,
    annotated_columns,
    carried_columns,
    find_sources,
    list_source,
    look_up_versions,
    take_first_look,
)

NAMES = ("train/cats/0.jpg", "train/dogs/0.jpg", "val/cats/0.jpg")
MEMBERS = {name: name.encode() for name in NAMES}
Row = dict[str, Any]


def batches(*inputs: object, ignored: IgnoredFiles | None = None, **rules: Any) -> list[pa.RecordBatch]:
    sources = find_sources(map(str, inputs), rules=ListingRules(**rules))
    listing = ListingRules(**{"carried": carried_columns(sources), **rules})
    assert take_first_look(sources, listing)
    found = [batch for source in sources for batch in list_source(source, listing, ignored or IgnoredFiles())]
    return list(map(look_up_versions, found))


def rows(*inputs: object, ignored: IgnoredFiles | None = None, **rules: Any) -> list[Row]:
    return [row for batch in batches(*inputs, ignored=ignored, **rules) for row in batch.to_pylist()]


def names(*inputs: object, **rules: Any) -> list[str]:
    """The members that are listed, without their archives."""
    return [row["uri"].partition("::")[0].partition("://")[2] for row in rows(*inputs, **rules)]


def contents(*inputs: object) -> list[bytes]:
    return [fetch_image(ref, 10**6) for batch in batches(*inputs) for ref in image_refs(batch)]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an archive in it, which is also where relative paths begin."""
    folder = tmp_path / "in"
    folder.mkdir()
    monkeypatch.chdir(folder)
    write_zip(folder / "a.zip", MEMBERS)
    return folder


def test_an_archive_has_one_form_by_whatever_name(photos: Path) -> None:
    (photos.parent / "m.csv").write_text("\n".join(["uri", *(f"zip://{name}::in/a.zip" for name in NAMES)]))
    forms = [
        "a.zip", "./../in/a.zip", f"{photos}/a.zip", f"file://{photos}/a.zip", "*.zip", "*", str(photos), "zip://::a.zip",
        f"ZIP://::file://{photos}/a.zip", "zip://**/*.jpg::a.zip", "zip:///::*.zip", f"{photos.parent}/m.csv",
        "{a,a}.zip",
    ]  # fmt: skip
    expected = [(f"zip://{name}::file://{photos}/a.zip", MEMBERS[name]) for name in NAMES]
    for form in forms:
        found = list(dict.fromkeys(zip([row["uri"] for row in rows(form)], contents(form), strict=True)))
        assert sorted(found) == sorted(expected), form
    versions = {row["uri"]: row["version"] for row in rows("a.zip")}
    assert versions == {row["uri"]: row["version"] for row in rows(f"{photos.parent}/m.csv")}


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_without_an_extension_is_told_by_how_it_begins(kind: str, tmp_path: Path) -> None:
    (write_zip if kind == "zip" else write_tar)(tmp_path / "download", MEMBERS)
    assert [row["uri"] for row in rows(tmp_path / "download")] == [
        f"{kind}://{name}::file://{tmp_path}/download" for name in NAMES
    ]


def test_a_part_of_an_archive_is_an_input(photos: Path) -> None:
    assert names("zip://train::a.zip") == list(NAMES[:2])
    assert names("zip://*/cats/*::a.zip") == [NAMES[0], NAMES[2]]
    assert names(f"zip://{NAMES[1]}::a.zip") == [NAMES[1]]
    assert names("zip://train::a.zip", exclude=("cats",)) == [NAMES[1]]
    (source,) = find_sources(["zip://nowhere::a.zip"])
    assert not take_first_look([source], ListingRules())
    assert "no image in zip://nowhere::file://" in source.without_image(ListingRules())
    with pytest.raises(InputNotFound, match=r"no archive at .*b\.zip"):
        find_sources(["zip://::b.zip"])


@pytest.mark.parametrize("protocol", ["zip", "tar", "tgz"])
def test_an_archive_of_a_bucket_is_an_input(protocol: str, tmp_path: Path) -> None:
    write = write_zip if protocol == "zip" else write_tar
    data = write(tmp_path / f"a.{protocol}", MEMBERS).read_bytes()
    fs = fsspec.filesystem("memory")
    fs.pipe_file(f"/photos/a.{protocol}", data)
    try:
        for form in (f"memory://photos/a.{protocol}", "memory://photos", "memory://photos/*"):
            assert contents(form) == list(MEMBERS.values())
            assert rows(form)[0]["uri"].endswith(f"://{NAMES[0]}::memory:///photos/a.{protocol}")
    finally:
        fs.rm("/photos", recursive=True)


def test_a_folder_is_one_of_archives_if_there_is_no_picture_in_it(photos: Path) -> None:
    (photos / "more").mkdir()
    write_tar(photos / "more" / "b.tar.gz", {"cats/1.jpg": b"1"})
    write_zip(photos / ".hidden.zip", MEMBERS)
    (photos / "notes.gz").write_bytes(b"")
    assert names(photos) == [*NAMES, "cats/1.jpg"]
    assert names(photos, exclude=("a.zip",)) == ["cats/1.jpg"]
    (photos / "more" / "2.jpg").write_bytes(b"2")
    ignored = IgnoredFiles()
    assert [row["uri"] for row in rows(photos, ignored=ignored)] == [f"file://{photos}/more/2.jpg"]
    assert ignored.files == 4
    assert names(photos, exclude=("2.jpg",)) == [*NAMES, "cats/1.jpg"]
    assert {row["uri"][:4] for row in rows(f"{photos}/more/*")} == {"file"}


def test_numbers_in_braces_are_the_shards_of_a_data_set(tmp_path: Path) -> None:
    for number in range(8, 12):
        write_tar(tmp_path / f"shard-{number:03}.tar", {f"{number}.jpg": b"x", f"{number}.cls": b"3"})
    found = rows(tmp_path / "shard-{008..011}.tar")
    assert [(row["uri"].partition("::")[0], row["label"]) for row in found] == [
        (f"tar://{number}.jpg", "3") for number in range(8, 12)
    ]
    with pytest.raises(InputNotFound, match=r"shard-012\.tar"):
        find_sources([f"{tmp_path}/shard-{{008..012}}.tar"])
    with pytest.raises(InvalidInput, match="more than 100,000"):
        find_sources([f"{tmp_path}/shard-{{0..999999999}}.tar"])


def test_hidden_and_other_members_are_ignored_and_counted(tmp_path: Path) -> None:
    others = ["__MACOSX/cats/._0.jpg", "__MACOSX/._x.jpg", ".git/0.jpg", "cats/._0.jpg", "cats/notes.txt", "in.zip"]
    write_zip(tmp_path / "a.zip", dict.fromkeys(["cats/0.jpg", *others], b"x"))
    ignored = IgnoredFiles()
    assert names(tmp_path / "a.zip", ignored=ignored) == ["cats/0.jpg"]
    assert ignored.files == 5
    assert names(tmp_path / "a.zip", include_hidden=True) == ["cats/0.jpg", *others[:4]]
    assert names(tmp_path / "a.zip", extensions=("txt",)) == ["cats/notes.txt"]


@pytest.mark.parametrize("name", ["a.zip", "a.tar"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_last_of_several_members_of_a_name_counts(name: str, tmp_path: Path) -> None:
    written = [("0.jpg", b"old"), ("1.jpg", b"1"), ("./0.jpg", b"new")]
    if name == "a.zip":
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for member, data in written:
                archive.writestr(member, data)
    else:
        with tarfile.open(tmp_path / name, "w") as archive:
            for member, data in written:
                add(archive, member, data)
    ignored = IgnoredFiles()
    assert names(tmp_path / name, ignored=ignored) == ["1.jpg", "0.jpg"]
    assert ignored.files == 1
    assert contents(tmp_path / name) == [b"1", b"new"]


def test_the_last_of_several_members_of_a_name_beside_a_picture_counts(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        add(archive, "0.jpg", b"picture")
        for content in (b'{"label": "cat", "by": "me"}', b"{ broken", b'{"label": "dog"}'):
            add(archive, "0.json", content)
        for _ in range(2):
            add(archive, "beside-none.json", b"{}")
    ignored = IgnoredFiles()
    (row,) = rows(tmp_path / "a.tar", ignored=ignored)
    assert (row["label"], row["by"], row["_problem"]) == ("dog", None, None)
    assert ignored.files == 4


def test_labels_are_those_of_folders_in_the_archive(tmp_path: Path) -> None:
    folder = tmp_path / "train" / "dogs"
    folder.mkdir(parents=True)
    write_zip(folder / "a.zip", {**MEMBERS, "2.jpg": b"x", "test\\3.jpg": b"x", "cats\\4.jpg": b"x"})
    found = [(row["label"], row["split"]) for row in rows(folder / "a.zip", labels_from_parent=True)]
    assert found == [
        ("cats", "train"), ("dogs", "train"), ("cats", "validation"), (None, None), (None, "test"), ("cats", None),
    ]  # fmt: skip


def sample(key: str, **fields: object) -> dict[str, bytes]:
    """A picture and what stands beside it."""
    return {
        f"{key}.jpg": b"picture",
        **{
            f"{key}.{extension}": value if isinstance(value, bytes) else json.dumps(value).encode()
            for extension, value in fields.items()
        },
    }


def test_what_stands_beside_a_picture_is_its_label_and_columns(tmp_path: Path) -> None:
    members = {
        **sample("a/0", cls=b"7", txt=b" a cat \n", json={"score": 1, "width": 640, "key": "k", "exif": {"a": 1}}),
        **sample("a/1", cls=b"", json={"score": 0.5, "ok": True, "label": "json", "Split": "val", "big": 2**70}),
        **sample("a/2", json={"label": " dog ", "key": None, "score": float("nan")}),
        "readme.txt": b"not beside a picture",
    }
    for name in ("a.tar", "a.tgz"):
        write_tar(tmp_path / name, members)
        sources = find_sources([f"{tmp_path}/{name}"])
        types = {field.name: str(field.type) for field in carried_columns(sources)}
        assert types == {"txt": "string", "score": "double", "key": "string", "ok": "bool", "big": "string"}
        ignored = IgnoredFiles()
        found = rows(tmp_path / name, ignored=ignored)
        assert [[row[column] for column in ("label", "split", *types)] for row in found] == [
            ["7", None, "a cat", 1.0, "k", None, None],
            [None, "validation", None, 0.5, None, True, str(2**70)],
            ["dog", None, None, None, None, None, None],
        ]
        assert ignored.files == 1
        listing = ListingRules(carried=carried_columns(sources, ["score"]))
        assert annotated_columns(sources, listing) == ["label", "score", "split"]


def test_other_shards_need_not_have_what_the_first_one_has(tmp_path: Path) -> None:
    """Data sets are told apart by the names of their shards: a test set without labels takes none away."""
    write_tar(tmp_path / "test-0.tar", sample("0"))
    write_tar(tmp_path / "train-0.tar", sample("0", cls=b"1"))
    write_tar(tmp_path / "train-1.tar", sample("1"))
    assert [(row["label"], row["_given"]) for row in rows(tmp_path)] == [
        (None, None), ("1", '["label"]'), (None, '["label"]'),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("json", b"{", "Its .json cannot be read"),
        ("json", b"[1]", "is no object"),
        ("json", b'{"key": "\\ud800"}', "Its .json cannot be read"),
        ("json", b"[" * 100_000, "Its .json cannot be read"),
        ("json", b'{"score": 1e999}', "Its field score is Infinity"),
        ("txt", b"\xff\xfe", "Its .txt cannot be read"),
        ("json", {"score": "high"}, 'Its field score is "high"; in the first samples it is int64'),
        ("json", {"score": 0.5}, "Its field score is 0.5"),
        ("txt", b"x" * (2**20 + 1), "1,048,577 bytes"),
    ],
)
def test_what_cannot_be_read_beside_a_picture_is_a_row_in_failures(
    field: str, value: object, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transforms.archives.samples.FIRST_SAMPLES", 1)
    write_tar(
        tmp_path / "a.tar",
        {**sample("0", json={"score": 1}, txt=b"a"), **sample("00", txt=b"b"), **sample("1", **{field: value})},
    )
    first, _, bad = rows(tmp_path / "a.tar")
    assert (first["score"], first["_problem"]) == (1, None)
    assert message in bad["_problem"]
    assert (bad["_place"], bad["score"], bad["_given"]) == (None, None, None)


def test_an_unknown_split_is_refused(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", sample("0", json={"split": "holdout"}))
    with pytest.raises(InvalidInput, match=r"The archive .*a\.tar has the split 'holdout' for tar://0\.jpg"):
        rows(tmp_path / "a.tar")


def test_a_damaged_archive_is_refused_or_a_row_beside_the_others(tmp_path: Path) -> None:
    write_zip(tmp_path / "good.zip", MEMBERS)
    (tmp_path / "bad.zip").write_bytes((tmp_path / "good.zip").read_bytes()[:-40])
    whole = write_tar(tmp_path / "a.tar", {"0.jpg": b"x", "1.jpg": b"x" * 2000}).read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[:2000])
    with pytest.raises(InvalidInput, match=r"The input .*bad\.zip cannot be read\. The archive is damaged"):
        take_first_look(find_sources([f"{tmp_path}/bad.zip"]), ListingRules())
    (tmp_path / "empty.tar").touch()
    with pytest.raises(InvalidInput, match=r"The input .*empty\.tar cannot be read\. The archive is damaged"):
        take_first_look(find_sources([f"{tmp_path}/empty.tar"]), ListingRules())
    (tmp_path / "empty.tar").unlink()
    found = rows(tmp_path)
    assert [row["uri"].partition("::")[0] for row in found] == [
        "tar://0.jpg", "tar://1.jpg", "tar://", "zip://", *(f"zip://{name}" for name in NAMES),
    ]  # fmt: skip
    for row in found:
        if row["uri"].startswith(("tar://::", "zip://::")):
            size = (tmp_path / row["uri"].rpartition("/")[2]).stat().st_size
            assert row["version"].startswith(f"{size}-")
            with pytest.raises(DamagedArchive):
                fetch_image(ImageRef(row["uri"], row["version"], None), 100)
    labelled = rows(tmp_path, labels_from_parent=True)
    assert {row["label"] for row in labelled} == {None, "cats", "dogs"}


def test_a_name_that_is_not_utf_8_is_a_row_with_the_name_escaped(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as archive:
        add(archive, "caf\u00e9.jpg", b"x")
    (row,) = rows(tmp_path / "a.tar")
    assert row["uri"] == rf"tar://caf\xe9.jpg::file://{tmp_path}/a.tar"
    assert "not UTF-8" in row["_problem"]


@pytest.mark.parametrize("name", ["a.7z", "a.rar", "a.tar.bz2", "a.TAR.XZ"])
def test_other_archives_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InvalidInput, match=r"archive of a kind that is not read; write it as \.zip"):
        find_sources([str(tmp_path / name)])


def opened(monkeypatch: pytest.MonkeyPatch) -> Sequence[object]:
    """The directories and headers that are read from here on."""
    found: list[object] = []
    for module, name in ((zipfile.ZipFile, "__init__"), (tarfile.TarFile, "__init__")):
        original = getattr(module, name)

        def counted(self: object, *args: Any, _original: Any = original, **kwargs: Any) -> None:
            found.append(self)
            _original(self, *args, **kwargs)

        monkeypatch.setattr(module, name, counted)
    return found


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
def test_a_directory_is_read_once_for_all_members(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    members = {f"{number:04}.jpg": os.urandom(10) for number in range(500)}
    path = (write_zip if name == "a.zip" else write_tar)(tmp_path / name, members)
    uris = [f"{'zip' if name == 'a.zip' else 'tar'}://{member}::{path}" for member in members]
    (tmp_path / "m.txt").write_text("\n".join(uris))
    (source,) = find_sources([str(path)])
    found = opened(monkeypatch)
    listed = list(list_source(source, ListingRules(), IgnoredFiles()))
    assert [fetch_image(ref, 100) for batch in listed for ref in image_refs(batch)] == list(members.values())
    assert len(found) == 1
    (batch,) = batches(tmp_path / "m.txt")
    assert [fetch_image(ref, 100) for ref in image_refs(batch)] == list(members.values())
    by_uri = batch.drop_columns(["_place"]).append_column("_place", pa.nulls(500, pa.string()))
    assert [fetch_image(ref, 100) for ref in image_refs(by_uri)] == list(members.values())
    assert len(found) == 2
