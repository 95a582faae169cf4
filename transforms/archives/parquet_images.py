"""Images in rows of Parquet files: cells of a column of bytes and paths, as Hugging Face's `datasets` writes them.

Or of bytes alone, as pandas writes them.

A member is a cell: `image-000000000042` is the one in row 42 of the column `image`, counted from 0. Cells are read a
few at a time, from the beginning of their row group; of the row groups that were read last, the place is kept, so that
a row group is read once by whoever asks in its order, and is never held whole.
"""

import collections
import json
import re
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import FailureCode, ImageError
from schemas.fragments import null_counts
from schemas.storage import open_parquet
from transforms.archives.archive import ArchiveFile, ArchiveKind, Member, Wanted, nothing
from transforms.archives.last_used import LastUsed
from transforms.manifests import is_list

BYTES: Final = "bytes"
PATH: Final = "path"

_CELLS_TOGETHER: Final = 32
_READ_BYTES: Final = 2**20
# Threads that fetch ask for cells of two row groups at once, where one ends; and there may be two shards.
_GROUPS_KEPT: Final = 4
_SEPARATOR: Final = "\t"

# JPEG, PNG, GIF, BMP, TIFF, WebP, and HEIC or AVIF.
_PICTURE: Final = re.compile(rb"\xff\xd8\xff|\x89PNG|GIF8|BM|II\*\0|MM\0\*|RIFF....WEBP|....ftyp", re.DOTALL)
_HEAD_BYTES: Final = 16


class Cell(NamedTuple):
    """Where an image is in a Parquet file.

    Attributes:
        group: The row group.
        row: The row in it, from 0.
        column: The column.
        version: The file's version, when it was listed.
    """

    group: int
    row: int
    column: str
    version: str

    def __str__(self) -> str:
        return _SEPARATOR.join(map(str, self))

    @classmethod
    def parse(cls, text: str) -> "Cell":
        """Reads what `str` has written."""
        group, row, rest = text.split(_SEPARATOR, 2)
        column, _, version = rest.rpartition(_SEPARATOR)  # A column may have any name, versions have no tab.
        return cls(int(group), int(row), column, version)


def cell_name(column: str, row: int) -> str:
    """Returns the name of a cell as a member; in the order of names rows are in theirs."""
    return f"{column}-{row:012}"


def features_of(schema: pa.Schema) -> Mapping[str, Any]:
    """Returns what Hugging Face's metadata says of the columns of a file; nothing where it has none."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}
    return features if isinstance(features, dict) else {}


def image_column(file: pq.ParquetFile) -> str | None:
    """Returns the first column of images, or None if there is none.

    It is one of structs of `bytes` and `path`, or of bytes alone, which the metadata declare to be images, or which
    begin as pictures do.
    """
    schema: pa.Schema = file.schema_arrow
    features = features_of(schema)
    structs: list[str] = [field.name for field in schema if _holds_images(field.type)]
    declared = [name for name in structs if _is_declared(features.get(name))]
    if structs:
        return (declared or structs)[0]
    plain = (field.name for field in schema if _is_binary(field.type))
    return next((name for name in plain if _is_declared(features.get(name)) or _begins_with_picture(file, name)), None)


def image_lists(schema: pa.Schema) -> list[str]:
    """Returns the columns whose cells hold several images each."""
    kinds = {field.name: field.type for field in schema if is_list(field.type)}
    return [name for name, kind in kinds.items() if _holds_images(kind.value_type) or _is_binary(kind.value_type)]


def _is_declared(feature: object) -> bool:
    return isinstance(feature, dict) and feature.get("_type") == "Image"


def _holds_images(kind: pa.DataType) -> bool:
    if not pa.types.is_struct(kind) or {field.name for field in kind} != {BYTES, PATH}:
        return False
    return _is_binary(kind.field(BYTES).type)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _begins_with_picture(file: pq.ParquetFile, column: str) -> bool:
    """Whether the first cell that is filled begins as a picture does."""
    cells = (cell for group in range(file.num_row_groups) for batch in _cells(file, group, column) for cell in batch)
    head = next((cell.as_py()[:_HEAD_BYTES] for cell in cells if cell.is_valid), b"")
    return _PICTURE.match(head) is not None


def holds_paths(schema: pa.Schema, column: str) -> bool:
    """Whether the cells of a column of images have paths beside their bytes."""
    return bool(pa.types.is_struct(schema.field(column).type))


def has_bytes(file: pq.ParquetFile, column: str, groups: Iterable[int]) -> Iterator[np.ndarray]:
    """Yields bool [n] for each of some row groups: whether its cells hold bytes; by statistics, where these can tell.

    Raises:
        pyarrow.ArrowInvalid: If a row group is damaged.
        OSError: If it cannot be read.
    """
    nulls = null_counts(file.metadata, _leaf(file, column))
    for group in groups:
        rows, count = file.metadata.row_group(group).num_rows, nulls[group]
        if count is not None and count in {0, rows}:
            yield np.full(rows, count == 0)
        else:
            cells = (each.is_valid().to_numpy(zero_copy_only=False) for each in _cells(file, group, column))
            yield np.concatenate([np.empty(0, bool), *cells])


def _leaf(file: pq.ParquetFile, column: str) -> str:
    """Returns the path of the bytes of a column of images."""
    return f"{column}.{BYTES}" if holds_paths(file.schema_arrow, column) else column


def _cells(file: pq.ParquetFile, group: int, column: str) -> Iterator[pa.Array]:
    for batch in file.iter_batches(_CELLS_TOGETHER, [group], [_leaf(file, column)], use_threads=False):
        cells = batch.column(0)
        yield cells.flatten()[0] if pa.types.is_struct(cells.type) else cells


class ParquetImages(ArchiveKind):
    """Parquet files with a column of images."""

    def members(self, archive: ArchiveFile, version: str, _wants: Wanted = nothing) -> Iterator[Member]:
        """Yields the cells that hold bytes; a cell has the version of its file."""
        with open_parquet(archive.uri, buffer_bytes=_READ_BYTES) as (file, _):
            column = image_column(file)
            if column is None:
                return
            first = 0
            groups = range(file.num_row_groups)
            for group, given in zip(groups, has_bytes(file, column, groups), strict=True):
                for row in np.flatnonzero(given).tolist():
                    place = str(Cell(group, row, column, version))
                    yield Member(cell_name(column, first + row), version, None, place)
                first += len(given)

    def read(self, archive: ArchiveFile, place: str, max_bytes: int) -> bytes:
        """Reads a cell."""
        cell = Cell.parse(place)
        content = _row_group_of(archive, cell).cell(cell.row)
        if content is None:
            raise ImageError(FailureCode.NOT_FOUND, "The row has no image.")
        if len(content) > max_bytes:
            raise ImageError(
                FailureCode.TOO_MANY_BYTES, f"The image has {len(content):,} bytes, the limit is {max_bytes:,}."
            )
        return content


class _RowGroup:
    """The cells of a row group, read in their order. The last ones are kept: threads ask a little out of turn."""

    def __init__(self, uri: str, group: int, column: str) -> None:
        self._uri = uri
        self._group = group
        self._column = column
        self._lock = threading.Lock()
        self._reading: Generator[pa.Array, None, None] | None = None
        self._kept: collections.deque[tuple[int, pa.Array]] = collections.deque(maxlen=2)
        self._next = 0

    def cell(self, row: int) -> bytes | None:
        """Returns a cell, or None if it is empty."""
        with self._lock:
            if self._reading is None or (self._kept and row < self._kept[0][0]):
                self._begin()
            while row >= self._next:
                self._advance()
            content: bytes | None = next(
                cells[row - first].as_py() for first, cells in self._kept if first <= row < first + len(cells)
            )
            return content

    def close(self) -> None:
        """Closes the file; whoever asks again opens it again."""
        with self._lock:
            self._end()

    def _begin(self) -> None:
        self._end()
        self._reading, self._next = self._read(), 0

    def _end(self) -> None:
        if self._reading is not None:
            self._reading.close()
        self._reading = None
        self._kept.clear()

    def _read(self) -> Generator[pa.Array, None, None]:
        with open_parquet(self._uri, buffer_bytes=_READ_BYTES) as (file, _):
            yield from _cells(file, self._group, self._column)

    def _advance(self) -> None:
        assert self._reading is not None  # noqa: S101 (it has begun)
        cells = None
        try:
            cells = next(self._reading, None)
        finally:
            if cells is None:  # Whoever asks again begins again.
                self._end()
        if cells is None:
            raise ImageError(FailureCode.NOT_FOUND, "The row group has no such row.")
        self._kept.append((self._next, cells))
        self._next += len(cells)


_GROUPS: Final = LastUsed[tuple[str, str, str, int], _RowGroup](_GROUPS_KEPT, _RowGroup.close)


def _row_group_of(archive: ArchiveFile, cell: Cell) -> _RowGroup:
    """Returns the row group of a cell.

    Raises:
        ImageError: If the file is there in another version.
    """

    def begin() -> _RowGroup:
        if archive.version() != cell.version:
            raise ImageError(FailureCode.UNREADABLE, "The file was written anew since it was listed.")
        return _RowGroup(archive.uri, cell.group, cell.column)

    return _GROUPS.get((archive.uri, cell.version, cell.column, cell.group), begin)
