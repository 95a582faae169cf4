"""Members of tars are found by one pass over the headers, and read by their places, compressed ones too."""

import concurrent.futures
import gzip
import io
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import DamagedArchive, FailureCode, ImageError
from schemas.storage import MemberUri
from schemas.threads import bounded_map
from tests.support.archives import add, noise, write_tar
from transforms.archives import Member, archive_members, find_member, gzip_stream, read_member
from transforms.archives.gzip_stream import GzipStream

PLAIN = b"A picture, " * 100
BOTH = pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])


def members(path: Path) -> list[Member]:
    return list(archive_members("tar", f"file://{path}"))


def read(path: Path, member: Member, max_bytes: int = 10**6) -> bytes:
    return read_member(MemberUri("tar", member.name, f"file://{path}"), member.place, max_bytes)


def listed_until_damage(path: Path) -> list[str]:
    """The members before an archive is damaged."""
    found: list[Member] = []
    with pytest.raises(DamagedArchive):
        found.extend(archive_members("tar", f"file://{path}"))
    return [member.name for member in found]


@BOTH
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_member_is_read_by_its_place_and_by_its_uri(name: str, form: int, tmp_path: Path) -> None:
    contents = {"a/0.jpg": PLAIN, "empty.jpg": b"", f"{'d' * 90}/{'e' * 60}.jpg": b"long", "last.jpg": b"x" * 512}
    path = tmp_path / name
    with tarfile.open(path, "w:gz" if name.endswith("gz") else "w", format=form) as archive:
        for member, data in contents.items():
            add(archive, member, data)
    assert {member.name: read(path, member) for member in members(path)} == contents
    for member, data in contents.items():
        assert read_member(MemberUri("tar", member, f"file://{path}"), None, 10**6) == data
    with pytest.raises(ImageError) as caught:
        find_member(MemberUri("tar", "none.jpg", f"file://{path}"))
    assert caught.value.code == FailureCode.NOT_FOUND


def test_what_is_in_a_tar_says_whether_it_is_compressed(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(write_tar(tmp_path / "b.tgz", {"0.jpg": PLAIN}).read_bytes())
    (member,) = members(tmp_path / "a.tar")
    assert read(tmp_path / "a.tar", member) == PLAIN
    for mode, name in (("w:bz2", "bzip2"), ("w:xz", "XZ")):
        write_tar(tmp_path / "a.tar", {"0.jpg": PLAIN}, mode)
        with pytest.raises(DamagedArchive, match=f"{name}.*\\.tar\\.gz"):
            members(tmp_path / "a.tar")


@BOTH
def test_the_version_changes_with_the_archive(name: str, tmp_path: Path) -> None:
    versions = [
        {member.name: member.version for member in members(write_tar(tmp_path / name, {"0.jpg": data, "1.jpg": data}))}
        for data in (b"one", b"another")
    ]
    assert len({version for found in versions for version in found.values()}) == 4


def test_an_archive_that_was_written_anew_since_it_was_listed_is_not_read(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tgz", {"0.jpg": PLAIN})
    (member,) = members(path)
    write_tar(path, {"0.jpg": PLAIN * 2})
    members(path)
    for number in range(3):  # So that the first one is no longer kept.
        members(write_tar(tmp_path / f"{number}.tgz", {"0.jpg": PLAIN}))
    with pytest.raises(ImageError, match="written anew"):
        read(path, member)


@BOTH
def test_links_are_what_they_lead_to_and_devices_are_nothing(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    with tarfile.open(path, "w:gz" if name.endswith("gz") else "w") as archive:
        add(archive, "early.jpg", type=tarfile.SYMTYPE, linkname="a/../a/late.jpg")
        add(archive, "a", type=tarfile.DIRTYPE)
        add(archive, "a/soft.jpg", type=tarfile.SYMTYPE, linkname="late.jpg")
        add(archive, "a/late.jpg", PLAIN)
        add(archive, "hard.jpg", type=tarfile.LNKTYPE, linkname="a/late.jpg")
        add(archive, "twice.jpg", type=tarfile.SYMTYPE, linkname="hard.jpg")
        add(archive, "loop.jpg", type=tarfile.SYMTYPE, linkname="pool.jpg")
        add(archive, "pool.jpg", type=tarfile.SYMTYPE, linkname="loop.jpg")
        add(archive, "out.jpg", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        add(archive, "pipe.jpg", type=tarfile.FIFOTYPE)
    found = {member.name: member for member in members(path)}
    for link in ("early.jpg", "a/soft.jpg", "hard.jpg", "twice.jpg", "a/late.jpg"):
        assert read(path, found[link]) == PLAIN
    for link in ("loop.jpg", "pool.jpg", "out.jpg"):
        assert found[link].place is None
        assert "leads to no file" in (found[link].problem or "")
    assert (found["pipe.jpg"].place, found["pipe.jpg"].problem) == (None, None)
    assert len(found) == 9


def test_archives_that_follow_each_other_are_one(tmp_path: Path) -> None:
    pieces = [write_tar(tmp_path / f"{number}.tar", {f"{number}.jpg": PLAIN}) for number in range(3)]
    path = tmp_path / "a.tar"
    path.write_bytes(b"".join(piece.read_bytes() for piece in pieces))
    assert [read(path, member) for member in members(path)] == [PLAIN] * 3
    (tmp_path / "a.tgz").write_bytes(b"".join(gzip.compress(piece.read_bytes()) for piece in pieces))
    assert [read(tmp_path / "a.tgz", member) for member in members(tmp_path / "a.tgz")] == [PLAIN] * 3


def test_an_empty_archive_has_no_members(tmp_path: Path) -> None:
    assert members(write_tar(tmp_path / "a.tar", {})) == []


def negative(data: bytes) -> bytes:
    """The second header says that its member has less than no bytes, which would lead back to it for ever."""
    header = bytearray(data[2048:2560])
    header[124:136] = b"\xff" * 12
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    return data[:2048] + bytes(header) + data[2560:]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "in a header": lambda data: data[: 2048 + 100],
    "in a member": lambda data: data[: 2560 + 100],
    "a header that is none": lambda data: data[:2048] + b"x" * 512 + data[2560:],
    "something else behind it": lambda data: data[:6144] + b"x" * 512,
    "a size below zero": negative,
}


@pytest.mark.parametrize("last", ["0.jpg", "there.jpg"])
def test_links_through_thousands_of_links_are_followed_once(last: str, tmp_path: Path) -> None:
    names = [f"{number}.jpg" for number in range(20_000)]
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        add(archive, "there.jpg", PLAIN)
        for name, target in zip(names, [*names[1:], last], strict=True):
            add(archive, name, type=tarfile.SYMTYPE, linkname=target)
    began = time.process_time()
    found = members(tmp_path / "a.tar")
    assert time.process_time() - began < 10
    assert {member.place is None for member in found[1:]} == {last == "0.jpg"}
    assert len(found) == 1 + len(names)


@pytest.mark.parametrize("damage", DAMAGES)
@BOTH
def test_what_is_before_the_damage_is_listed_and_the_rest_is_not_dropped_in_silence(
    name: str, damage: str, tmp_path: Path
) -> None:
    plain = write_tar(tmp_path / "whole.tar", dict.fromkeys(("0.jpg", "1.jpg", "2.jpg"), PLAIN)).read_bytes()
    broken = DAMAGES[damage](plain)
    path = tmp_path / name
    path.write_bytes(gzip.compress(broken) if name.endswith("gz") else broken)
    assert listed_until_damage(path)[0] == "0.jpg"
    members_read = (read(path, member) for member in archive_members("tar", f"file://{path}"))
    with pytest.raises(ImageError, match="breaks off" if damage == "in a member" else "is damaged"):
        list(members_read)


@pytest.mark.parametrize("cut", [0, 1, 5, 100, -20, -4])
def test_a_compressed_archive_that_breaks_off_is_damaged(cut: int, tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar.gz", noise(3))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DamagedArchive, match=r"breaks off|headers"):
        members(path)


def test_a_compressed_bomb_takes_no_memory(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.tgz", "wb") as file:
        header = tarfile.TarInfo("bomb.jpg")
        header.size = 2 * 10**8
        file.write(header.tobuf())
        for _ in range(200):
            file.write(bytes(10**6))
    (member,) = members(tmp_path / "a.tgz")
    with pytest.raises(ImageError) as caught:
        read(tmp_path / "a.tgz", member)
    assert caught.value.code == FailureCode.TOO_MANY_BYTES


CONTENT = np.random.default_rng(0).integers(0, 30, 300_000, np.uint8).tobytes()


@given(st.lists(st.tuples(st.integers(0, 310_000), st.integers(0, 50_000)), max_size=20))
def test_a_stream_gives_any_range_in_any_order(ranges: list[tuple[int, int]]) -> None:
    packed = gzip.compress(CONTENT[:100_000]) + gzip.compress(CONTENT[100_000:]) + b"\0" * 100
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "BYTES_PER_REQUEST": 5000, "_PACKED_PER_STEP": 700, "_UNPACKED_PER_STEP": 900, "_BYTES_KEPT": 3000,
            "_BYTES_PER_STATE": 4000, "_STATES": 8,
        }.items():  # fmt: skip
            patch.setattr(gzip_stream, name, value)
        stream = GzipStream(lambda start, end: packed[start:end])
        for start, size in ranges:
            assert stream.read_range(start, start + size) == CONTENT[start : start + size]


def test_a_stream_is_read_once_by_several_threads_in_nearly_its_order() -> None:
    """And going back to its beginning reads it from the nearest state, not from its beginning."""
    content = np.random.default_rng(1).bytes(40 * 2**20)
    packed = gzip.compress(content, 1)
    requested: list[int] = []

    def read_packed(start: int, end: int) -> bytes:
        found = packed[start:end]
        requested.append(len(found))
        return found

    stream = GzipStream(read_packed)
    starts = range(0, len(content), 2**17)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        pieces = bounded_map(pool, lambda start: stream.read_range(start, start + 2**17), starts, 16)
        assert all(piece == content[number * 2**17 :][: 2**17] for number, piece in enumerate(pieces))
    assert sum(requested) <= 1.1 * len(packed)
    requested.clear()
    assert stream.read_range(30 * 2**20, 30 * 2**20 + 100) == content[30 * 2**20 : 30 * 2**20 + 100]
    assert sum(requested) <= 10 * 2**20


def test_names_that_are_not_utf_8_can_be_told(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as archive:
        archive.addfile(tarfile.TarInfo("caf\u00e9.jpg"), io.BytesIO())
    (member,) = members(tmp_path / "a.tar")
    assert member.name == "caf\udce9.jpg"
