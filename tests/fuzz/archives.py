"""What holds of every archive: ZIP, tar, TFRecord, and Parquet with a column of images."""

import collections
import functools
import gzip
import io
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from schemas.errors import ImageError, UsageError
from schemas.extents import Extent
from schemas.images import ImageRef, image_refs
from schemas.storage import member_uri
from tests.fuzz.containers import TAR, TFRECORD, ZIP, Container
from tests.fuzz.mutations import mutated
from tests.fuzz.sandbox import no_network
from tests.fuzz.target import Target, refusal
from tests.support.archives import add
from tests.support.data_sets import example, record, write_image_table
from transforms.folders import IgnoredFiles
from transforms.images import fetch_image
from transforms.images.decoder import Decoder, LocalFile
from transforms.images.pixel_memory import PixelMemory
from transforms.sources import ListingRules, carried_columns, find_sources, list_source

# What is unpacked of a member at the most, and how many are read of an archive whose directory names many.
_MAX_BYTES: Final = 2**20
_MOST_READ: Final = 40
_PICTURE: Final = b"\xff\xd8picture" * 20


class Case(NamedTuple):
    """An archive."""

    name: str
    content: bytes


def _zips() -> Iterator[bytes]:
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            for name in ("cats/0.jpg", "cats/1.JPG", "dogs\\2.png", "../3.gif", "é.webp", "folder/"):
                archive.writestr(zipfile.ZipInfo(name), _PICTURE if name != "folder/" else b"", method)
            link = zipfile.ZipInfo("link.jpg")
            link.create_system, link.external_attr = 3, 0o120777 << 16
            archive.writestr(link, "cats/0.jpg")
            with archive.open("large.jpg", "w", force_zip64=True) as large:
                large.write(_PICTURE)
        yield file.getvalue()


def _tars() -> Iterator[bytes]:
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", format=form) as archive:
            for number in range(3):
                add(archive, f"cats/{number}.jpg", _PICTURE, mtime=0.5 if form == tarfile.PAX_FORMAT else 0)
                add(archive, f"cats/{number}.cls", b"cat")
                add(archive, f"cats/{number}.json", b'{"n": 1, "split": "train", "x": 0.5}')
            add(archive, "n" * (90 if form == tarfile.USTAR_FORMAT else 200) + ".jpg", _PICTURE)
            add(archive, "link.jpg", type=tarfile.SYMTYPE, linkname="cats/0.jpg")
            add(archive, "hard.jpg", type=tarfile.LNKTYPE, linkname="cats/1.jpg")
            add(archive, "pipe.jpg", type=tarfile.FIFOTYPE)
        yield file.getvalue()


def _records() -> Iterator[bytes]:
    features = {"image/encoded": _PICTURE, "image/class/label": 3, "image/class/text": b"cat"}
    yield b"".join(map(record, [example(features), example({"image": _PICTURE, "label": 1}), example({"label": b""})]))


def _tables() -> Iterator[bytes]:
    cells = [
        {"bytes": _PICTURE, "path": "a.jpg"},
        {"bytes": None, "path": "b.jpg"},
        {"bytes": None, "path": None},
        None,
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "t.parquet")
        yield write_image_table(path, cells, {"label": ["cat", "dog"]}, 2, label=[0, 1, -1, 7]).read_bytes()


@functools.cache
def _drawn() -> Mapping[str, Sequence[bytes]]:
    tars, records = tuple(_tars()), tuple(_records())
    return {
        "a.zip": tuple(_zips()), "a.tar": tars, "a.tgz": tars, "train.tfrecord": records, "a.tfrecord.gz": records,
        "train-0.parquet": tuple(_tables()),
    }  # fmt: skip


_CONTAINERS: Final[Mapping[str, Container]] = {
    "a.zip": ZIP, "a.tar": TAR, "a.tgz": TAR, "train.tfrecord": TFRECORD, "a.tfrecord.gz": TFRECORD,
}  # fmt: skip
_PACKED: Final = ("gz", "tgz")


def _case(chance: Random) -> Case:
    drawn = _drawn()
    name = chance.choice(list(drawn))
    content = chance.choice(drawn[name])
    if name in _CONTAINERS and chance.random() < 0.8:
        content = _CONTAINERS[name].mutated(content, chance.choice(drawn[name]), chance)
    content = mutated(content, chance) if chance.random() < 0.3 else content
    if name.endswith(_PACKED):
        content = gzip.compress(content, 1, mtime=0)
        content = mutated(content, chance) if chance.random() < 0.2 else content
    return Case(name, content)


def check_archive(case: Case) -> str:
    """Its images are listed, or it is refused by a sentence; each is read, no larger than allowed, or one `ImageError`.

    A decoder that reads a member by its place finds the same bytes.
    """
    with tempfile.TemporaryDirectory() as folder, no_network():
        path = Path(folder, case.name)
        path.write_bytes(case.content)
        try:
            refs = list(_refs(path))
        except UsageError as error:
            return refusal(error)
        read = collections.Counter(map(_read, refs[:_MOST_READ]))
    return "no image" if not refs else "all read" if list(read) == ["read"] else "some bad"


def _refs(path: Path) -> Iterator[ImageRef]:
    sources = find_sources([str(path)])
    rules = ListingRules(carried=carried_columns(sources))
    for source in sources:
        for batch in list_source(source, rules, IgnoredFiles()):
            batch.validate(full=True)
            yield from image_refs(batch)


def _read(ref: ImageRef) -> str:
    try:
        content = fetch_image(ref, _MAX_BYTES)
    except ImageError as error:
        return error.code
    assert len(content) <= _MAX_BYTES
    extent = Extent.parse(ref.place) if ref.place else None
    member = member_uri(ref.uri)
    if extent is not None and member is not None:
        decoder = Decoder(PixelMemory())
        (held,) = decoder.read([LocalFile(member.archive_uri.removeprefix("file://"), ref.size, extent)], _MAX_BYTES)
        assert held is None or held.size == len(content)
    return "read"


def _nameless_zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo(""), _PICTURE)
        archive.writestr(zipfile.ZipInfo("cats/0.jpg"), _PICTURE)
    return file.getvalue()


def _damaged_table() -> bytes:
    (content,) = _tables()
    at = content.index(b"a.jpg")
    return content[: at - 8] + b"\xff" * 8 + content[at:]


def _other_column() -> bytes:
    """A table of images in which the columns of row groups have other names than those of the schema."""
    (content,) = _tables()
    return content.replace(b"\x05image\x05bytes", b"\x05image\x05bytez")


def _other_levels() -> bytes:
    """A table of images whose bytes are required by its schema, and have the levels of optional ones."""
    (content,) = _tables()
    assert content.count(b"%\x02\x18\x05bytes") == 1
    return content.replace(b"%\x02\x18\x05bytes", b"%\x00\x18\x05bytes")


FAILED: Final[Mapping[str, Case]] = {
    "a table whose images have the levels of another schema": Case("train-0.parquet", _other_levels()),
    "a table whose row groups have another column": Case("train-0.parquet", _other_column()),
    "a ZIP member without a name": Case("a.zip", _nameless_zip()),
    "a table of images whose pages are damaged": Case("train-0.parquet", _damaged_table()),
}
KNOWN: Final[Mapping[str, Case]] = {
    **{f"nothing, as {name}": Case(name, b"") for name in ("a.zip", "a.tar", "a.tgz", "a.tfrecord", "a.parquet")},
    "zeros that are packed": Case("a.tgz", gzip.compress(bytes(10**6))),
    "a record of 2^63 bytes": Case("a.tfrecord", (2**63).to_bytes(8, "little") + bytes(4)),
}

ARCHIVES: Final = Target(_case, check_archive, {**KNOWN, **FAILED})
