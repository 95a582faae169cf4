"""Members of ZIP archives are read by their places, whatever the packer wrote and whatever the directory claims."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.errors import DamagedArchive, FailureCode, ImageError
from schemas.extents import Extent
from schemas.storage import MemberUri, member_uri
from tests.support.archives import write_zip
from transforms.archives import Member, archive_members, find_member, read_member

PLAIN = b"A picture, " * 100


def members(path: Path) -> list[Member]:
    return list(archive_members("zip", f"file://{path}"))


def read(path: Path, member: Member, max_bytes: int = 10**6) -> bytes:
    return read_member(MemberUri("zip", member.name, f"file://{path}"), member.place, max_bytes)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_a_member_is_read_by_its_place_and_by_its_uri(compression: int, tmp_path: Path) -> None:
    contents = {"a/0.jpg": PLAIN, "empty.jpg": b"", "b c#?%20.jpg": b"x"}
    path = write_zip(tmp_path / "a.zip", contents, compression)
    found = members(path)
    assert {member.name: read(path, member) for member in found} == contents
    assert [member.size for member in found] == list(map(len, contents.values()))
    for name, data in contents.items():
        uri = member_uri(f"zip://{name}::file://{path}")
        assert uri is not None
        assert read_member(uri, None, 10**6) == data


def test_the_version_of_a_member_is_that_of_its_bytes(tmp_path: Path) -> None:
    first = members(write_zip(tmp_path / "a.zip", {"0.jpg": b"one", "1.jpg": b"two"}))
    second = members(write_zip(tmp_path / "a.zip", {"new.jpg": b"x", "0.jpg": b"one", "1.jpg": b"TWO"}))
    versions = {member.name: member.version for member in second}
    assert [versions[member.name] == member.version for member in first] == [True, False]


def test_an_archive_that_was_written_anew_is_looked_up_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    uri = MemberUri("zip", "0.jpg", f"file://{path}")
    for data in (b"one", b"another"):
        write_zip(path, {"0.jpg": data})
        assert find_member(uri).size == len(data)
        assert read_member(uri, None, 100) == data


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("cats\\0.jpg", "cats/0.jpg"),
        ("/abs/0.jpg", "abs/0.jpg"),
        ("../../etc/0.jpg", "etc/0.jpg"),
        ("./a//./0.jpg", "a/0.jpg"),
        ("a::b/0.jpg", "a::b/0.jpg"),
        ("\u00e4\u4e09/0.jpg", "\u00e4\u4e09/0.jpg"),
    ],
)
def test_names_are_those_under_which_a_member_would_be_unpacked(written: str, name: str, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {written: PLAIN})
    (member,) = members(path)
    assert (member.name, read(path, member)) == (name, PLAIN)
    uri = member_uri(f"zip://{name}::file://{path}")
    assert uri is not None
    assert read_member(uri, None, 10**6) == PLAIN


def test_utf_8_that_does_not_say_so_is_utf_8(tmp_path: Path) -> None:
    """As macOS packs names; what is no UTF-8 is code page 437, as the format has it."""
    path = write_zip(tmp_path / "a.zip", {"\u00e4.jpg": b"x", "\u00e9.jpg": b"y"})
    data = path.read_bytes()
    for flagged in (b"\x00\x08\x00\x00\x00\x00", b"\x14\x00\x00\x08"):
        data = data.replace(flagged, flagged.replace(b"\x08", b"\x00"))
    path.write_bytes(data.replace("\u00e9".encode(), b"\x82\x82"))
    assert [member.name for member in members(path)] == ["\u00e4.jpg", "\u00e9\u00e9.jpg"]


def test_a_name_that_stands_there_once_more_as_utf_8_is_that_one(tmp_path: Path) -> None:
    """As packers on Windows write it behind a name in its code page; not if it belongs to another name."""
    path = tmp_path / "a.zip"
    local, name = "\u65e5/0.jpg".encode("cp932"), "\u65e5/0.jpg"
    for crc, found in ((zlib.crc32(local), name), (0, local.decode("cp437").replace("\\", "/"))):
        info = zipfile.ZipInfo("x" * len(local))
        field = struct.pack("<BI", 1, crc) + name.encode()
        info.extra = struct.pack("<HHB", 0x9999, 1, 0) + struct.pack("<HH", 0x7075, len(field)) + field
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(info, PLAIN)
        path.write_bytes(path.read_bytes().replace(b"x" * len(local), local))
        (member,) = members(path)
        assert (member.name, read(path, member)) == (found, PLAIN)


def changed(offset_in_directory: int, code: str, value: int) -> Callable[[bytes], bytes]:
    """Writes a number into the only entry of a directory."""

    def change(data: bytes) -> bytes:
        found = bytearray(data)
        struct.pack_into(code, found, data.index(b"PK\x01\x02") + offset_in_directory, value)
        return bytes(found)

    return change


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (changed(8, "<H", 1), FailureCode.PERMISSION_DENIED, "encrypted"),
        (changed(10, "<H", 14), FailureCode.UNSUPPORTED_FORMAT, "LZMA"),
        (changed(10, "<H", 77), FailureCode.UNSUPPORTED_FORMAT, "method 77"),
        (changed(16, "<L", 0), FailureCode.DAMAGED_ARCHIVE, "checksum"),
        (changed(20, "<L", 10), FailureCode.DAMAGED_ARCHIVE, "checksum|cannot be unpacked"),
        (changed(24, "<L", 10), FailureCode.DAMAGED_ARCHIVE, "size or checksum"),
        (changed(24, "<L", 10**9), FailureCode.TOO_MANY_BYTES, "1,000,000,000"),
        (changed(42, "<L", 5), FailureCode.DAMAGED_ARCHIVE, "no member where"),
        (lambda data: data.replace(b"PK\x03\x04", b"XXXX"), FailureCode.DAMAGED_ARCHIVE, "no member where"),
        (lambda data: b"\0" * (data.index(b"PK\x01\x02") - 40) + data[data.index(b"PK\x01\x02") - 40 :],
         FailureCode.DAMAGED_ARCHIVE, "no member where"),
    ],
)  # fmt: skip
def test_a_member_that_is_not_as_its_directory_says_is_one_failure(
    change: Callable[[bytes], bytes], code: FailureCode, message: str, tmp_path: Path
) -> None:
    path = write_zip(tmp_path / "a.zip", {"0.jpg": PLAIN}, zipfile.ZIP_DEFLATED)
    path.write_bytes(change(path.read_bytes()))
    (member,) = members(path)
    with pytest.raises(ImageError, match=message) as caught:
        read(path, member)
    assert caught.value.code == code
    assert len(caught.value.message) < 200


def test_a_bomb_is_not_unpacked_beyond_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = b"\0" * 10**6
    path = write_zip(tmp_path / "a.zip", {"0.jpg": bomb}, zipfile.ZIP_DEFLATED)
    (member,) = members(path)
    with pytest.raises(ImageError, match="1,000,000 bytes, the limit is 100,000") as caught:
        read(path, member, 10**5)
    assert caught.value.code == FailureCode.TOO_MANY_BYTES
    path.write_bytes(changed(24, "<L", 1000)(path.read_bytes()))
    (member,) = members(path)
    unpacked: list[int] = []

    make = zlib.decompressobj

    class Counting:
        def __init__(self, wbits: int) -> None:
            self._decompressor = make(wbits)

        def decompress(self, data: bytes, most: int) -> bytes:
            found = self._decompressor.decompress(data, most)
            unpacked.append(len(found))
            return found

    monkeypatch.setattr("schemas.extents.zlib.decompressobj", Counting)
    with pytest.raises(ImageError, match="size or checksum"):
        read(path, member)
    assert unpacked == [1001]


def test_a_long_header_before_a_member_is_passed_over(tmp_path: Path) -> None:
    """The header in front may be longer than the directory says."""
    path = write_zip(tmp_path / "a.zip", {"0.jpg": PLAIN})
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, 28, 1000)
    data[35:35] = b"\0" * 1000
    end = data.index(b"PK\x05\x06")
    struct.pack_into("<L", data, end + 16, data.index(b"PK\x01\x02"))
    path.write_bytes(data)
    (member,) = members(path)
    assert read(path, member) == PLAIN


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-30],
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: b"no archive at all",
        lambda data: data.replace(b"PK\x01\x02", b"XXXX"),
        lambda data: data[: data.index(b"PK\x05\x06") + 12] + b"\xff" * 8 + data[data.index(b"PK\x05\x06") + 20 :],
    ],
)
def test_without_its_directory_an_archive_is_damaged(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"0.jpg": PLAIN})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DamagedArchive, match="directory"):
        members(path)


def test_members_without_a_name_are_passed_over(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"": PLAIN, "a.jpg": PLAIN})
    assert [member.name for member in members(path)] == ["", "a.jpg"]


def test_folders_are_no_members_and_links_say_so(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.mkdir("cats")
        archive.writestr("dogs\\", b"")
        link = zipfile.ZipInfo("link.jpg")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "cats/0.jpg")
    (member,) = members(path)
    assert (member.name, member.place) == ("link.jpg", None)
    assert "link" in (member.problem or "")
    with pytest.raises(ImageError, match="link"):
        read_member(MemberUri("zip", "link.jpg", f"file://{path}"), None, 100)


def test_an_extent_reads_back_what_it_wrote() -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as written:
        written.writestr("0.jpg", PLAIN)
    raw = Extent(archive.getvalue().index(PLAIN), len(PLAIN))
    assert Extent.parse(str(raw)) == raw
    assert raw.read(lambda start, end: archive.getvalue()[start:end], 10**6) == PLAIN
    assert Extent.parse("gzip:1:2:etag") is None
    with pytest.raises(ImageError, match="breaks off"):
        raw.read(lambda start, end: archive.getvalue()[start : end - 1], 10**6)
