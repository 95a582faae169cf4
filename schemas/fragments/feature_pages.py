"""The numbers of a feature column as they lie in the pages of a file, without making lists of them.

A Parquet file says of each number of a list whether it begins a list and how much of it is null (its levels). Arrow
reads these one by one, which takes about as long as unpacking the numbers. A file that this package has written holds
lists of one length and nothing that is null: its levels repeat, a few bytes for each list, and are compared with what
they have to be. Whatever is otherwise is left to Arrow, which reads it, or says what is wrong with it.

Numbers of fields are those of `parquet.thrift` of the format (2.11).
"""

import functools
import struct
import zlib
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from schemas.fragments.parquet_footer import Thrift

_SCHEMA, _ROW_GROUPS = 2, 4
_NAME, _REPETITION, _REQUIRED = 4, 3, 0
_LISTS: Final = (b"list", b"element")
_COLUMNS, _ROWS, _METADATA = 1, 3, 3
_TYPE, _PATH, _CODEC, _VALUES, _COMPRESSED_BYTES, _PAGES_AT, _DICTIONARY_AT = 1, 3, 4, 5, 7, 9, 11
_FLOAT = 4
# None stands for a column that is not compressed.
_CODECS: Final = {0: None, 6: "zstd"}
_PAGE_TYPE, _PAGE_BYTES, _PAGE_COMPRESSED_BYTES, _PAGE_CRC, _DATA_PAGE = 1, 2, 3, 4, 5
_PAGE_VALUES, _ENCODING, _DEFINITION_ENCODING, _REPETITION_ENCODING = 1, 2, 3, 4
_PLAIN, _RLE = 0, 3

_END: Final = struct.Struct("<I4s")
_LENGTH: Final = struct.Struct("<I")
# Ours have some thirty bytes, without statistics.
_MOST_HEADER_BYTES: Final = 256
# Row groups that are unpacked as a whole; ours have an eighth of that.
_MOST_BYTES: Final = 2**27
# Lists of fewer numbers are written in other ways.
_LEAST_SIZE: Final = 16
_KEPT: Final = 256
_UNREADABLE: Final = (ValueError, LookupError, TypeError, OSError, struct.error, RecursionError, MemoryError)


class FeaturePages:
    """A feature column of a file of this machine."""

    def __init__(self, path: str, column: str) -> None:
        """Reads the footer.

        Args:
            path: The file.
            column: The column.
        """
        self._groups: list[_Chunk | None] = []
        try:
            self._view = memoryview(pa.memory_map(path).read_buffer()).cast("B")
            self._groups = list(_chunks(self._view, column.encode()))
        except _UNREADABLE:
            return

    def vectors(self, group: int, size: int) -> np.ndarray | None:
        """Reads a row group, its pages compared with their checksums.

        Args:
            group: Its number.
            size: The numbers of a feature.

        Returns:
            float32 [n, size]; None if it is not as this package writes it, or is damaged.
        """
        try:
            chunk = self._groups[group]
            if chunk is None or chunk.values != chunk.rows * size or 4 * chunk.values > _MOST_BYTES:
                return None
            vectors = np.empty((chunk.rows, size), np.float32)
            return vectors if size >= _LEAST_SIZE and _read(self._view, chunk, vectors) else None
        except _UNREADABLE:
            return None


class _Chunk(NamedTuple):
    """The pages of a row group.

    Attributes:
        rows: Its rows.
        values: Its values.
        begin: Where the first page begins.
        end: Where the last one ends.
        level: The level of a number that is there.
        codec: The codec by which they are compressed, or None.
    """

    rows: int
    values: int
    begin: int
    end: int
    level: int
    codec: str | None


def _chunks(view: memoryview, column: bytes) -> Iterator[_Chunk | None]:
    """Yields the column's pages in each row group; None where they are of another kind."""
    length, magic = _END.unpack(view[-_END.size :])
    if magic != b"PAR1":
        raise ValueError("It is no Parquet.")
    footer = Thrift(bytes(view[-_END.size - length : -_END.size])).struct()
    names = [element[_NAME] for element in footer[_SCHEMA]]
    first = names.index(column)
    if tuple(names[first + 1 : first + 3]) != _LISTS:
        raise ValueError("It is no list.")
    level = sum(element[_REPETITION] != _REQUIRED for element in footer[_SCHEMA][first : first + 3])
    for group in footer[_ROW_GROUPS]:
        chunks = (chunk[_METADATA] for chunk in group[_COLUMNS])
        found: dict[int, Any] = next((chunk for chunk in chunks if chunk[_PATH] == [column, *_LISTS]), {})
        if found.get(_TYPE) != _FLOAT or found.get(_CODEC) not in _CODECS or _DICTIONARY_AT in found:
            yield None
            continue
        begin, codec = found[_PAGES_AT], _CODECS[found[_CODEC]]
        yield _Chunk(group[_ROWS], found[_VALUES], begin, begin + found[_COMPRESSED_BYTES], level, codec)


def _read(view: memoryview, chunk: _Chunk, vectors: np.ndarray) -> bool:
    """Reads the pages of a row group into place, and returns whether all of them are as they have to be."""
    size, values = vectors.shape[1], vectors.reshape(-1)
    codec, at, done = pa.Codec(chunk.codec) if chunk.codec else None, chunk.begin, 0
    while at < chunk.end and done < len(values):
        thrift = Thrift(bytes(view[at : at + _MOST_HEADER_BYTES]))
        header = thrift.struct()
        at += thrift.at
        packed = view[at : at + header[_PAGE_COMPRESSED_BYTES]]
        at += header[_PAGE_COMPRESSED_BYTES]
        count = _values_of(header)
        if count is None or not 0 < count <= len(values) - done or header[_PAGE_COMPRESSED_BYTES] < 0:
            return False
        crc = header.get(_PAGE_CRC)
        if crc is not None and zlib.crc32(packed) != crc & 0xFFFFFFFF:
            return False
        levels = _levels(size, done % size, count, chunk.level)
        if levels is None or header[_PAGE_BYTES] != len(levels) + 4 * count:
            return False
        page = memoryview(codec.decompress(packed, header[_PAGE_BYTES])).cast("B") if codec else packed
        if len(page) != header[_PAGE_BYTES] or page[: len(levels)] != levels:
            return False
        values[done : done + count] = np.frombuffer(page, np.float32, count, len(levels))
        done += count
    return at == chunk.end and done == len(values)


def _values_of(header: dict[int, Any]) -> int | None:
    """Returns how many values a page has; None if it is of another kind than this package writes."""
    page = header.get(_DATA_PAGE)
    if header[_PAGE_TYPE] != 0 or page is None:
        return None
    encodings = (page[_ENCODING], page[_DEFINITION_ENCODING], page[_REPETITION_ENCODING])
    count: int = page[_PAGE_VALUES]
    return count if encodings == (_PLAIN, _RLE, _RLE) else None


@functools.lru_cache(_KEPT)
def _levels(size: int, begun: int, count: int, level: int) -> bytes | None:
    """Returns the levels of a page as Arrow's writer encodes them: of lists of one length, with all of their numbers.

    Args:
        size: The numbers of a list.
        begun: How many of the first list the pages before have.
        count: The values of the page.
        level: The level of a number that is there.

    Returns:
        The levels of repetition, then those of definition; None where the page begins or ends so near to the beginning
        or the end of a list that they are encoded in another way.
    """
    first = min((size - begun) % size, count)
    lists, rest = divmod(count - first, size)
    if 0 < first < 8 or 0 < rest < _LEAST_SIZE:
        return None
    # Eight levels as bits, of which the first one is a zero, and then a run of ones.
    whole, part = (bytes([3, 0xFE]) + _run(length - 8, 1) for length in (size, rest))
    repetition = (_run(first, 1) if first else b"") + lists * whole + (part if rest else b"")
    definition = _run(count, level)
    return b"".join(_LENGTH.pack(len(levels)) + levels for levels in (repetition, definition))


def _run(count: int, value: int) -> bytes:
    """Returns a run of equal levels of at most eight bits (Parquet format, "Run Length Encoding")."""
    encoded, left = bytearray(), max(count, 0) << 1
    while left > 127:
        encoded.append(left & 127 | 128)
        left >>= 7
    return bytes([*encoded, left, value])
