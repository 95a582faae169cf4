"""What of a folder is listed: names by their own rules, links and pipes by theirs, keys of buckets as they are."""

import os
import socket
from pathlib import Path
from typing import Any

import boto3
import pytest

from schemas.errors import InvalidInput
from tests.support.servers import s3_server
from transforms.folders import FollowLinks, IgnoredFiles, Selection
from transforms.sources import ListingRules, find_sources, list_source, take_first_look


def listed(uri: object, **rules: Any) -> tuple[list[str], int]:
    """The URIs of an input's images, and how many files and folders are ignored."""
    ignored = IgnoredFiles()
    sources = find_sources([str(uri)])
    assert take_first_look(sources, ListingRules(**rules))
    batches = [batch for source in sources for batch in list_source(source, ListingRules(**rules), ignored)]
    return sorted(uri for batch in batches for uri in batch["uri"].to_pylist()), ignored.files


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize(
    ("path", "selection", "taken"),
    [
        ("a.jpg", {}, True),
        ("a.HEIC", {"extensions": ("heic",)}, True),
        (".a.jpg", {}, False),
        (".a.jpg", {"include_hidden": True}, True),
        ("Thumbs.db", {"extensions": ("db",)}, False),
        ("a.jpg", {"exclude": ("*.jpg",)}, False),
        ("raw/a.jpg", {"exclude": ("*.png", "raw/*")}, False),
        ("raw/a.jpg", {"exclude": ("raw/b*",)}, True),
        ("x/raw/a.jpg", {"exclude": ("raw/*",)}, True),
        ("x/a.txt", {"pattern": "*/a.*"}, True),
        ("x/y/a.txt", {"pattern": "*/a.*"}, False),
        ("x/y/a.txt", {"pattern": "**/a.*"}, True),
        ("x/.a.txt", {"pattern": "*/*"}, False),
        ("x/.a.txt", {"pattern": "*/.*"}, True),
    ],
)
def test_names(path: str, selection: dict[str, Any], taken: bool) -> None:
    chosen = Selection(**{"extensions": ("jpg",), **selection})
    assert chosen.takes_file(path, path.rpartition("/")[2]) is taken


@pytest.mark.parametrize(
    ("pattern", "path", "reached"),
    [("*.jpg", "a", False), ("*/*.jpg", "a", True), ("x*/*.jpg", "a", False), ("a/**/b", "a/c/d", True)],
)
def test_a_glob_is_not_looked_for_where_it_cannot_match(pattern: str, path: str, reached: bool) -> None:
    assert Selection((), pattern=pattern).reaches(path) is reached


def test_pictures_of_phones_are_listed(tmp_path: Path) -> None:
    touch(tmp_path, "1.HEIC", "2.heif", "3.avif", "4.mov")
    found, ignored = listed(tmp_path)
    assert [uri.rpartition("/")[2] for uri in found] == ["1.HEIC", "2.heif", "3.avif"]
    assert ignored == 1


def test_a_folder_has_one_path_whatever_links_lead_to_it(tmp_path: Path) -> None:
    touch(tmp_path, "in/a/1.jpg", "in/b/2.jpg", "out/3.jpg", "out/deep/4.jpg")
    links = {"in/a/up": "..", "in/b/a": "../a", "in/y": "../out", "in/x": "../out", "out/deep/again": "..",
             "in/self": "self", "in/gone": "nowhere"}  # fmt: skip
    for link, target in links.items():
        (tmp_path / link).symlink_to(target)
    found, ignored = listed(tmp_path / "in")
    names = ["a/1.jpg", "b/2.jpg", "x/3.jpg", "x/deep/4.jpg"]
    assert found == sorted(f"file://{tmp_path}/in/{name}" for name in names)
    assert ignored == 4 + 2  # Links to what is listed already, and two that are no folder and no image.


@pytest.mark.parametrize(
    ("follow", "followed"),
    [("inside", ["in/a/1.jpg"]), ("beside", ["in/a/1.jpg", "in/x/3.jpg"]), ("anywhere", None)],
)
def test_links_are_followed_so_far_as_is_said(follow: str, followed: list[str] | None, tmp_path: Path) -> None:
    touch(tmp_path, "data/in/a/1.jpg", "data/out/3.jpg", "elsewhere/5.jpg", "elsewhere/.hidden/6.jpg")
    links = {"in/b": "a", "in/x": "../out", "in/y": str(tmp_path / "elsewhere"), "in/z.jpg": "../../elsewhere/5.jpg",
             "in/.y": str(tmp_path / "elsewhere"), "in/notes.txt": "/etc/passwd", "in/d": "/dev"}  # fmt: skip
    for link, target in links.items():
        (tmp_path / "data" / link).symlink_to(target)
    if followed is None:
        found, _ = listed(tmp_path / "data" / "in", exclude=("d",), follow_links=FollowLinks(follow))
        assert len(found) == 4
        assert {uri.rpartition("/")[2] for uri in found} == {"1.jpg", "3.jpg", "5.jpg", "z.jpg"}
        return
    problems = refused(tmp_path / "data" / "in", follow_links=FollowLinks(follow))
    root = f"file://{tmp_path}/data"
    assert [uri for uri, problem in problems.items() if problem is None] == [f"{root}/{name}" for name in followed]
    out = ["in/d", "in/y", "in/z.jpg"] + (["in/x"] if follow == "inside" else [])
    assert sorted(uri for uri, problem in problems.items() if problem) == sorted(f"{root}/{name}" for name in out)
    assert all("--follow_links=anywhere" in problem for problem in problems.values() if problem)


def refused(uri: object, **rules: Any) -> dict[str, str | None]:
    """The URIs of an input's images, and what is wrong with them."""
    batches = [batch for source in find_sources([str(uri)]) for batch in list_source(source, ListingRules(**rules), IgnoredFiles())]  # fmt: skip  # noqa: E501
    return {row["uri"]: row["_problem"] for batch in batches for row in batch.to_pylist()}


@pytest.mark.parametrize("name", ["", "/*/*.jpg"])
def test_a_folder_of_links_to_another_disk_is_a_sentence_with_the_remedy(name: str, tmp_path: Path) -> None:
    touch(tmp_path, "disk/photos/1.jpg")
    (tmp_path / "home" / "in").mkdir(parents=True)
    (tmp_path / "home" / "in" / "photos").symlink_to(tmp_path / "disk" / "photos")
    (source,) = find_sources([f"{tmp_path}/home/in{name}"])
    assert not take_first_look([source], ListingRules())
    assert "1 of them lead out of it" in source.without_image(ListingRules())
    assert "--follow_links=anywhere follows them" in source.without_image(ListingRules())
    assert source.has_image(ListingRules(follow_links=FollowLinks.ANYWHERE))


def test_what_lies_beside_is_never_the_whole_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    touch(tmp_path, "in/1.jpg", "mine/2.jpg")
    (tmp_path / "in" / "3.jpg").symlink_to("../mine/2.jpg")
    assert [problem is None for problem in refused(tmp_path / "in").values()] == [True, False]


def test_a_link_that_leads_nowhere_is_an_image_that_is_missing(tmp_path: Path) -> None:
    touch(tmp_path, "1.jpg")
    (tmp_path / "2.jpg").symlink_to("gone.jpg")
    (tmp_path / "3.jpg").symlink_to("3.jpg")
    assert len(listed(tmp_path)[0]) == 3


def test_what_is_no_file_is_ignored(tmp_path: Path) -> None:
    touch(tmp_path, "1.jpg")
    os.mkfifo(tmp_path / "2.jpg")
    (tmp_path / "3.jpg").symlink_to("2.jpg")
    (tmp_path / "4.jpg").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "5.jpg"))
        assert listed(tmp_path) == ([f"file://{tmp_path}/1.jpg"], 4)
        assert listed(tmp_path / "*") == ([f"file://{tmp_path}/1.jpg"], 4)


def test_a_place_has_one_form_however_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "photos/a/1.jpg", "photos/2.jpg", "photos/.git/3.jpg", "photos/._4.jpg")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path / "photos" / "a")
    expected = listed(tmp_path / "photos")
    assert len(expected[0]) == 2
    for uri in ("..", "../", "~/photos", "~/photos/", "../../photos/../photos", f"file://{tmp_path}/photos"):
        assert listed(uri) == expected
    for glob in ("../**", "~/photos/**", f"{tmp_path}/photos/**", f"file://{tmp_path}/photos/**/*"):
        assert listed(glob) == expected


def test_every_key_of_a_bucket_is_listed() -> None:
    keys = ("a/1.jpg", "a//2.jpg", "a//b/3.jpg", "/4.jpg", "//5.jpg", "c/d/6.jpg", "a/.hidden/7.jpg", "c//.8.jpg")
    with s3_server() as server:
        client = boto3.client("s3")
        for key in keys:
            client.put_object(Bucket=server.bucket, Key=key, Body=b"x")
        expected = sorted(f"s3://{server.bucket}/{key}" for key in keys[:6])
        assert listed(f"s3://{server.bucket}") == (expected, 2)
        assert listed(f"s3://{server.bucket}", folders_listed_together=1)[0] == expected
        below = [uri for uri in expected if uri.startswith(f"s3://{server.bucket}/a/")]
        assert listed(f"s3://{server.bucket}/a")[0] == below
        assert listed(f"s3://{server.bucket}/a/**")[0] == below


def test_a_folder_of_a_bucket_that_may_not_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    fs = MemoryFileSystem()
    fs.pipe_file("/locked/a/1.jpg", b"x")
    list_folder = MemoryFileSystem.ls

    def refusing(self: MemoryFileSystem, path: str, detail: bool = True, **kwargs: object) -> object:
        if path.endswith("/a"):
            raise PermissionError("no")
        return list_folder(self, path, detail, **kwargs)

    monkeypatch.setattr(MemoryFileSystem, "ls", refusing)
    with pytest.raises(InvalidInput, match="may not be read; --exclude=a leaves it out"):
        listed("memory://locked")
    fs.rm("/locked", recursive=True)
