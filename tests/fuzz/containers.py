"""Containers: files divided into their parts, and put together with lengths, offsets and checksums that are right.

So a mutation of a part reaches what reads that part, and does not end at the first checksum.
"""

import dataclasses
import itertools
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from random import Random
from typing import Final

from tests.fuzz.mutations import Part, mutated, mutated_parts
from tests.support.data_sets import record

_MOST_MUTATIONS: Final = 4


@dataclasses.dataclass(frozen=True)
class Container:
    """A format of files that consist of parts.

    Attributes:
        split: Divides a file that is whole.
        join: Puts parts together.
        inner: Parts whose content, behind some bytes, is a file of another format: by their kind.
    """

    split: Callable[[bytes], Iterator[Part]]
    join: Callable[[Sequence[Part]], bytes]
    inner: Mapping[bytes, "tuple[int, Container]"] = dataclasses.field(default_factory=dict)

    def mutated(self, data: bytes, donor: bytes, chance: Random) -> bytes:
        """Returns a file after some mutations of its parts.

        Args:
            data: A whole file.
            donor: Another one of the same format, which gives some of its parts.
            chance: Decides which.
        """
        given = list(self.split(donor))
        parts: Sequence[Part] = list(self.split(data))
        for _ in range(chance.randint(1, _MOST_MUTATIONS)):
            parts = mutated_parts(parts, given, chance, self._change)
        return self.join(parts)

    def _change(self, part: Part, chance: Random) -> bytes:
        start, inner = self.inner.get(part.kind, (0, None))
        if inner is not None and chance.random() < 0.7:
            try:
                return part.content[:start] + inner.mutated(part.content[start:], part.content[start:], chance)
            except (struct.error, IndexError):
                pass  # What was mutated before is no such file any more.
        return mutated(part.content, chance)


# A marker alone, or a segment; behind the header of a scan its data, up to the next marker (ITU-T T.81, annex B).
_SCAN: Final = b"\xff\xda"
_ALONE: Final = frozenset({1, *range(0xD0, 0xDA)})


def _jpeg_parts(data: bytes) -> Iterator[Part]:
    at = 2
    while at + 1 < len(data):
        marker = data[at : at + 2]
        end = at + 2 + (0 if marker[1] in _ALONE else int.from_bytes(data[at + 2 : at + 4]))
        yield Part(marker, data[at + 4 : end])
        at = end
        if marker == _SCAN:
            while end + 1 < len(data) and (data[end] != 0xFF or data[end + 1] in {0, *range(0xD0, 0xD8)}):
                end += 1
            yield Part(b"", data[at:end])
            at = end


def _jpeg(parts: Sequence[Part]) -> bytes:
    return b"\xff\xd8" + b"".join(map(_jpeg_part, parts))


def _jpeg_part(part: Part) -> bytes:
    if not part.kind or (part.kind[-1] in _ALONE and not part.content):
        return part.kind + part.content
    return part.kind + struct.pack(">H", (len(part.content) + 2) % 2**16) + part.content


_PNG: Final = b"\x89PNG\r\n\x1a\n"


def _png_parts(data: bytes) -> Iterator[Part]:
    at = len(_PNG)
    while at < len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4])
        yield Part(data[at + 4 : at + 8], data[at + 8 : end])
        at = end + 4


def png(parts: Iterable[Part]) -> bytes:
    """Puts the chunks of a PNG file together."""
    return _PNG + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in parts
    )


def _webp_parts(data: bytes) -> Iterator[Part]:
    at = 12
    while at + 8 <= len(data):
        end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        yield Part(data[at : at + 4], data[at + 8 : end])
        at = end + end % 2


def _webp(parts: Sequence[Part]) -> bytes:
    chunks = b"".join(
        kind + struct.pack("<I", len(content)) + content + bytes(len(content) % 2) for kind, content in parts
    )
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


# GIF89a specification: a block is an image (descriptor, colours, and sub-blocks of data) or an extension.
_GIF_HEADER: Final = 13
_IMAGE: Final = b","
_PIXELS: Final = b"pixels"


def _colours(flags: int) -> int:
    return 3 * 2 ** (flags % 8 + 1) if flags & 0x80 else 0


def _gif_parts(data: bytes) -> Iterator[Part]:
    at = _GIF_HEADER + _colours(data[10])
    yield Part(b"", data[:at])
    while at < len(data) and data[at] != 0x3B:
        if data[at : at + 1] == _IMAGE:
            head = at + 11 + _colours(data[at + 9])
            yield Part(_IMAGE, data[at + 1 : head])
            kind = _PIXELS
        else:
            kind, head = data[at : at + 2], at + 2
        content = b""
        while data[head]:
            content += data[head + 1 : head + 1 + data[head]]
            head += 1 + data[head]
        yield Part(kind, content)
        at = head + 1


def _gif(parts: Sequence[Part]) -> bytes:
    return b"".join(map(_gif_part, parts)) + b";"


def _gif_part(part: Part) -> bytes:
    kind, content = part
    if kind in {b"", _IMAGE}:
        return kind + content
    blocks = (content[at : at + 255] for at in range(0, len(content), 255))
    return kind.replace(_PIXELS, b"") + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"


# TIFF 6.0, section 2: a header, the directory where that says, and tags of 12 bytes in it.
def _tiff_parts(data: bytes) -> Iterator[Part]:
    order = "<" if data[:2] == b"II" else ">"
    (first,) = struct.unpack_from(f"{order}I", data, 4)
    (tags,) = struct.unpack_from(f"{order}H", data, first)
    yield Part(b"", data)
    for at in range(first + 2, first + 2 + 12 * tags, 12):
        yield Part(data[at : at + 2], data[at + 2 : at + 12])


def tiff(parts: Sequence[Part]) -> bytes:
    """Puts a TIFF file together: what has no kind comes first, and then the directory of the others, which are tags."""
    body = b"".join(part.content for part in parts if not part.kind)
    tags = [(part.kind + part.content).ljust(12, b"\0")[:12] for part in parts if part.kind]
    order = ">" if body.startswith(b"MM") else "<"
    head = body[:4].ljust(4, b"\0") + struct.pack(f"{order}I", max(8, len(body)))
    return head + body[8:] + struct.pack(f"{order}H", len(tags) % 2**16) + b"".join(tags) + bytes(4)


# Boxes of the ISO base media format that hold boxes, and the bytes before these (ISO 14496-12).
_BOXES: Final = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0}


def _box_parts(data: bytes) -> Iterator[Part]:
    at = 0
    while at + 8 <= len(data):
        end = at + max(8, int.from_bytes(data[at : at + 4]))
        yield Part(data[at + 4 : at + 8], data[at + 8 : end])
        at = end


def _boxes(parts: Sequence[Part]) -> bytes:
    return b"".join(struct.pack(">I", len(content) + 8) + kind + content for kind, content in parts)


def _bmp_parts(data: bytes) -> Iterator[Part]:
    bounds = (0, 14, 14 + int.from_bytes(data[14:18], "little"), int.from_bytes(data[10:14], "little"), len(data))
    for start, end in itertools.pairwise(bounds):
        yield Part(b"", data[start:end])


def _joined(parts: Sequence[Part]) -> bytes:
    return b"".join(kind + content for kind, content in parts)


# PKWARE's APPNOTE: members, then the directory, then its end, which says where the directory is.
_MEMBER: Final = b"PK\3\4"
_ENTRY: Final = b"PK\1\2"
_END: Final = b"PK\5\6"


def _zip_parts(data: bytes) -> Iterator[Part]:
    starts = [at for at in range(len(data)) if data[at : at + 4] in {_MEMBER, _ENTRY, _END}]
    for start, end in itertools.pairwise([*starts, len(data)]):
        yield Part(data[start : start + 4], data[start + 4 : end])


def _zip(parts: Sequence[Part]) -> bytes:
    before = _joined(list(itertools.takewhile(lambda part: part.kind == _MEMBER, parts)))
    entries = [part for part in parts if part.kind == _ENTRY]
    size = len(_joined(entries))
    fields = struct.pack("<HHII", len(entries) % 2**16, len(entries) % 2**16, size, len(before))
    return b"".join(
        kind + (content[:4] + fields + content[16:] if kind == _END else content) for kind, content in parts
    )


# POSIX.1-2008, pax, "ustar Interchange Format": a header has the sum of its bytes, its own place taken for blanks.
_BLOCK: Final = 512


def _tar_parts(data: bytes) -> Iterator[Part]:
    at = 0
    while data[at : at + 1].strip(b"\0"):
        size = int(data[at + 124 : at + 135], 8)
        end = at + _BLOCK - (-size // _BLOCK) * _BLOCK
        yield Part(b"header", data[at : at + _BLOCK])
        if size:
            yield Part(b"content", data[at + _BLOCK : end])
        at = end


def _tar(parts: Sequence[Part]) -> bytes:
    return b"".join(map(_tar_part, parts)) + bytes(2 * _BLOCK)


def _tar_part(part: Part) -> bytes:
    if part.kind != b"header":
        return part.content
    head = part.content.ljust(_BLOCK, b"\0")
    total = sum(head[:148]) + 8 * ord(" ") + sum(head[156:_BLOCK])
    return head[:148] + b"%06o\0 " % total + head[156:]


def _records(data: bytes) -> Iterator[Part]:
    at = 0
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 8], "little")
        yield Part(b"", data[at + 12 : end])
        at = end + 4


TIFF: Final = Container(_tiff_parts, tiff)
JPEG: Final = Container(_jpeg_parts, _jpeg, {b"\xff\xe1": (6, TIFF)})
PNG: Final = Container(_png_parts, png, {b"eXIf": (0, TIFF)})
WEBP: Final = Container(_webp_parts, _webp, {b"EXIF": (0, TIFF)})
GIF: Final = Container(_gif_parts, _gif)
BMP: Final = Container(_bmp_parts, _joined)
_INNER_BOXES: Final[dict[bytes, tuple[int, Container]]] = {}
BOXES: Final = Container(_box_parts, _boxes, _INNER_BOXES)
_INNER_BOXES.update((kind, (start, BOXES)) for kind, start in _BOXES.items())
ZIP: Final = Container(_zip_parts, _zip)
TAR: Final = Container(_tar_parts, _tar)
TFRECORD: Final = Container(_records, lambda parts: b"".join(record(content) for _, content in parts))
