"""Delimited texts: CSV with any of the usual delimiters, and TSV. Every column is text, in every run."""

import csv
import functools
import io
import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from schemas.images import REFS_PER_BATCH
from transforms.manifests.columns import Column
from transforms.manifests.streams import MOST_LINE_BYTES, READ_BYTES, UTF_8

_DELIMITERS: Final = (",", ";", "\t", "|")
_HEAD_BYTES: Final = 2**20
_TOLD: Final = re.compile(r"sep=.[\r\n]+", re.IGNORECASE)

csv.field_size_limit(MOST_LINE_BYTES)


class Header(NamedTuple):
    """What the first line of a delimited text says.

    Attributes:
        delimiter: What stands between its cells.
        names: The names of the columns, as they stand there.
        is_alone: Whether nothing follows it.
        skipped: How many lines stand before it.
    """

    delimiter: str
    names: tuple[str, ...]
    is_alone: bool = False
    skipped: int = 0

    @property
    def is_padded(self) -> bool:
        """Whether blanks stand around the names, and so around the cells."""
        return any(name != name.strip() for name in self.names)


def read_header(stream: pa.NativeFile, uri_column: str, *, is_checked: bool = True) -> Header:
    """Reads the first line, and finds out its delimiter: the one that sets the column of URIs apart.

    Args:
        stream: The text as UTF-8.
        uri_column: The name of the column of URIs.
        is_checked: Whether it is looked at whether it is UTF-8.

    Raises:
        UnicodeDecodeError: If it is not UTF-8.
        pyarrow.ArrowInvalid: If it is longer than any header.
    """
    head = stream.read(_HEAD_BYTES)
    if len(head) == _HEAD_BYTES and not set(b"\r\n") & set(head):
        raise pa.ArrowInvalid(f"its first line has more than {_HEAD_BYTES:,} bytes, which are the most")
    # The last character may be cut off.
    is_strict = is_checked and len(head) < _HEAD_BYTES
    text = head.decode("utf-8-sig", "strict" if is_strict else "ignore").lstrip("\r\n")
    # A line that tells Excel the delimiter.
    told = _TOLD.match(text)
    text = text[told.end() :] if told else text
    headers = [_header(text, delimiter, is_whole=len(head) < _HEAD_BYTES) for delimiter in _DELIMITERS]
    apart = [header for header in headers if uri_column in map(str.strip, header.names)]
    found = apart[0] if apart else max(headers, key=lambda header: len(header.names))
    return found._replace(skipped=1) if told else found


def _header(text: str, delimiter: str, *, is_whole: bool) -> Header:
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    names = tuple(next(rows, ()))
    return Header(delimiter, names, is_whole and not any(rows))


def delimited_rows(stream: pa.NativeFile, header: Header, columns: Sequence[Column]) -> Iterator[pa.RecordBatch]:
    """Yields the rows of a delimited text in batches; an empty cell is null.

    Args:
        stream: The text as UTF-8.
        header: Its header.
        columns: The columns that are read.

    Raises:
        pyarrow.ArrowInvalid: If a row has more or fewer cells than the header, or is not UTF-8.
    """
    if header.is_alone:
        return
    wanted = [column.source for column in columns]
    convert = pa_csv.ConvertOptions(
        column_types=dict.fromkeys(wanted, pa.string()),
        include_columns=wanted,
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    parse = pa_csv.ParseOptions(delimiter=header.delimiter, newlines_in_values=True)
    read = pa_csv.ReadOptions(block_size=READ_BYTES, skip_rows=header.skipped)
    names = [column.name for column in columns]
    with pa_csv.open_csv(stream, read_options=read, parse_options=parse, convert_options=convert) as reader:
        for batch in reader:
            cells = [trimmed(cells) for cells in batch.columns] if header.is_padded else batch.columns
            rows = pa.RecordBatch.from_arrays(cells, names)
            yield from (rows.slice(start, REFS_PER_BATCH) for start in range(0, rows.num_rows, REFS_PER_BATCH))


def trimmed(texts: pa.Array) -> pa.Array:
    """Returns texts without blanks around them, string [n]; null where nothing is left."""
    bare = pc.utf8_trim_whitespace(texts)
    return pc.if_else(pc.equal(bare, ""), pa.scalar(None, pa.string()), bare)


class RaggedRow(NamedTuple):
    """A row that has more or fewer cells than the header.

    Attributes:
        line: The line on which it ends, from 1.
        cells: How many it has.
    """

    line: int
    cells: int


def first_ragged_row(stream: pa.NativeFile, header: Header) -> RaggedRow | None:
    """Finds the first row that has more or fewer cells than the header, if there is one."""
    text = io.TextIOWrapper(io.BufferedReader(_Raw(stream)), UTF_8, "replace", newline="")
    lines = iter(functools.partial(text.readline, MOST_LINE_BYTES), "")
    reader = csv.reader(lines, delimiter=header.delimiter)
    for number, row in enumerate(reader):
        if row and number >= header.skipped and len(row) != len(header.names):
            return RaggedRow(reader.line_num, len(row))
    return None


class _Raw(io.RawIOBase):
    """An Arrow stream as Python's own streams are made of."""

    def __init__(self, stream: pa.NativeFile) -> None:
        super().__init__()
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
