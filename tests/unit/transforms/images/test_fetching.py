"""What is wrong with a file becomes a code; what is wrong with the machine is raised."""

import errno
import os
import zipfile
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from schemas.errors import FailureCode, ImageError
from schemas.images import ImageRef, image_refs
from tests.support.archives import write_tar, write_zip
from transforms.images import fetch_image
from transforms.images.fetching import fetch_together, lying_together
from transforms.sources import IgnoredFiles, ListingRules, find_sources, list_source


class FaultyFileSystem(MemoryFileSystem):
    """Raises what it is told to when a file is read."""

    protocol = "faulty"
    error: Exception

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: object) -> bytes:
        raise type(self).error


@pytest.fixture
def faulty() -> type[FaultyFileSystem]:
    fsspec.register_implementation("faulty", FaultyFileSystem, clobber=True)
    return FaultyFileSystem


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"abc")
    assert fetch_image(ImageRef(f"file://{tmp_path}/a.jpg", "1", None), 3) == b"abc"


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as caught:
        fetch_image(ImageRef(f"file://{tmp_path}/a.jpg", "", None), 3)
    assert caught.value.code == FailureCode.NOT_FOUND


@pytest.mark.parametrize("size", [4, None])
def test_a_file_that_is_too_large_is_not_read(size: int | None, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"abcd")
    with pytest.raises(ImageError) as caught:
        fetch_image(ImageRef(f"file://{tmp_path}/a.jpg", "1", size), 3)
    assert caught.value.code == FailureCode.TOO_MANY_BYTES


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PermissionError("no"), FailureCode.PERMISSION_DENIED),
        (TimeoutError("slow"), FailureCode.TIMEOUT),
        (OSError(errno.EIO, "broken"), FailureCode.UNREADABLE),
        (ConnectionResetError("gone"), FailureCode.UNREADABLE),
    ],
)
def test_what_storage_says_has_a_code(error: Exception, code: FailureCode, faulty: type[FaultyFileSystem]) -> None:
    faulty.error = error
    with pytest.raises(ImageError) as caught:
        fetch_image(ImageRef("faulty://a.jpg", "1", 3), 3)
    assert caught.value.code == code
    assert not code.permanent


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "full"), OSError(errno.EMFILE, "too many files"), MemoryError(), KeyError("a bug")]
)
def test_the_machine_at_its_limit_is_no_bad_image(error: Exception, faulty: type[FaultyFileSystem]) -> None:
    faulty.error = error
    with pytest.raises(type(error)):
        fetch_image(ImageRef("faulty://a.jpg", "1", 3), 3)


def test_a_file_that_has_grown_since_it_was_listed_is_not_read_beyond_the_limit(tmp_path: Path) -> None:
    with (tmp_path / "a.jpg").open("wb") as file:
        file.truncate(2**40)  # Nobody has so much memory.
    for size in (3, None):
        with pytest.raises(ImageError) as caught:
            fetch_image(ImageRef(f"file://{tmp_path}/a.jpg", "1", size), 100)
        assert caught.value.code == FailureCode.TOO_MANY_BYTES


class GrownFileSystem(MemoryFileSystem):
    """Has more than it lists."""

    protocol = "grown"
    asked: tuple[int | None, int | None] = (None, None)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: object) -> bytes:
        type(self).asked = start, end
        return bytes(10**6 if end is None else end)


def test_a_bucket_is_asked_for_no_more_than_the_limit_whatever_it_lists() -> None:
    fsspec.register_implementation("grown", GrownFileSystem, clobber=True)
    with pytest.raises(ImageError) as caught:
        fetch_image(ImageRef("grown://a.jpg", "1", 3), 100)
    assert caught.value.code == FailureCode.TOO_MANY_BYTES
    assert GrownFileSystem.asked == (None, 101)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["a pipe", "a device", "an answer of the kernel", "a link to one", "an archive"])
def test_only_regular_files_are_opened(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    os.mkfifo(tmp_path / "pipe")
    targets = {"a pipe": "pipe", "a device": "/dev/zero", "an answer of the kernel": "/proc/self/environ"}
    path.symlink_to(targets.get(kind, "pipe"))
    uri = f"zip://a.jpg::file://{path}" if kind == "an archive" else f"file://{path}"
    if kind == "a link to one":
        (tmp_path / "b.jpg").symlink_to("a.jpg")
        uri = f"file://{tmp_path}/b.jpg"
    with pytest.raises(ImageError) as caught:
        fetch_image(ImageRef(uri, "", 1), 100)
    assert caught.value.code == FailureCode.NOT_FOUND
    assert "it is a pipe, a socket, a device, or an answer of the kernel" in caught.value.message


def member(name: str, offset: int, size: int, archive: str = "s3://bucket/a.tar", **fields: str) -> ImageRef:
    return ImageRef(f"tar://{name}::{archive}", "1", size, place=f"raw:{offset}:{size}", **fields)


FAR = 2**20


@pytest.mark.parametrize(
    ("refs", "groups"),
    [
        ([member("1", 512, 100), member("2", 1536, 100), member("3", 2560, 100)], [3]),
        ([member("1", 512, 100), member("2", 512 + FAR, 100), member("3", 1024 + FAR, 100)], [1, 2]),
        ([member("1", 512, 100), member("2", 1536, 100, "s3://bucket/b.tar")], [1, 1]),
        ([member("2", 1536, 100), member("1", 512, 100)], [1, 1]),
        ([member("1", 512, 3 * FAR), member("2", 512 + 3 * FAR, 3 * FAR)], [1, 1]),
        ([member("1", 512, 100), member("2", 1536, 5 * FAR), member("3", 2048 + 5 * FAR, 100)], [1, 1, 1]),
        (
            [member("1", 512, 100), member("2", 1536, 100, problem="no"), member("3", 2560, 100)],
            [1] * 3,
        ),
        ([member("1", 512, 100, "file:///a.tar"), member("2", 1536, 100, "file:///a.tar")], [1, 1]),
        ([ImageRef("s3://bucket/1.jpg", "1", 100), ImageRef("s3://bucket/2.jpg", "1", 100)], [1, 1]),
        ([member(str(number), 1024 * number, 100) for number in range(40)], [32, 8]),
        ([], []),
    ],
)
def test_members_that_lie_side_by_side_are_read_together(refs: list[ImageRef], groups: list[int]) -> None:
    together = list(lying_together(refs, max_bytes=4 * FAR))
    assert [len(one.refs) for one in together] == groups
    assert [ref for one in together for ref in one.refs] == refs
    assert [one.first for one in together] == [sum(groups[:number]) for number in range(len(groups))]


def test_what_is_read_together_is_what_is_read_alone(tmp_path: Path) -> None:
    members = {f"{number}.jpg": bytes([number]) * (100 + number) for number in range(9)}
    fs = fsspec.filesystem("memory")
    for name in ("stored.zip", "deflated.zip", "a.tar"):
        method = zipfile.ZIP_STORED if name == "stored.zip" else zipfile.ZIP_DEFLATED
        path = tmp_path / name
        write_tar(path, members) if name == "a.tar" else write_zip(path, members, method)
        fs.pipe_file(name, path.read_bytes())
        (source,) = find_sources([f"memory://{name}"])
        (batch,) = list_source(source, ListingRules(), IgnoredFiles())
        (together,) = lying_together(image_refs(batch), 1000)
        alone = [fetch_image(ref, 1000) for ref in together.refs]
        assert fetch_together(together, 1000) == alone == list(members.values())
        too_large = fetch_together(together._replace(span=None), 104)
        assert [isinstance(one, ImageError) for one in too_large] == [len(one) > 104 for one in alone]
