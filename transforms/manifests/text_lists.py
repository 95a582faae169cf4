"""Lists of URIs as text: one a line."""

import codecs
from collections.abc import Iterator
from typing import IO, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.images import REFS_PER_BATCH
from transforms.manifests.columns import URI
from transforms.manifests.streams import MOST_LINE_BYTES, too_long_line, whole_lines

BYTES_PER_SECTION: Final = 2**24


def text_sections(size: int, bytes_per_section: int) -> Iterator[tuple[int, int]]:
    """Divides the bytes of a text; to a section belong the lines that begin in it."""
    yield from ((start, min(start + bytes_per_section, size)) for start in range(0, size, bytes_per_section))


def section_rows(file: IO[bytes], start: int, end: int) -> Iterator[pa.RecordBatch]:
    """Yields the lines of a section of a text in UTF-8 that are not blank.

    Raises:
        pyarrow.ArrowInvalid: If it is not UTF-8, or has a line that is too long.
    """
    file.seek(max(0, start - 1))
    if start:
        _line(file)  # The end of a line that began before; at least the line break itself.
    text = file.read(max(0, end - file.tell()))
    text += b"" if text.endswith(b"\n") or not text else _line(file)
    yield from _rows(text.removeprefix(codecs.BOM_UTF8) if not start else text)


def _line(file: IO[bytes]) -> bytes:
    line = file.readline(MOST_LINE_BYTES + 1)
    if len(line) > MOST_LINE_BYTES:
        raise too_long_line()
    return line


def stream_rows(stream: pa.NativeFile) -> Iterator[pa.RecordBatch]:
    """Yields the lines of a whole text in UTF-8 that are not blank.

    Raises:
        pyarrow.ArrowInvalid: If it is not UTF-8.
    """
    for number, text in enumerate(whole_lines(stream)):
        yield from _rows(text if number else text.removeprefix(codecs.BOM_UTF8))


def _rows(text: bytes) -> Iterator[pa.RecordBatch]:
    lines = pc.utf8_rtrim(_lines(text), "\r\n")
    lines = lines.filter(pc.not_equal(pc.utf8_trim_whitespace(lines), ""))
    for start in range(0, len(lines), REFS_PER_BATCH):
        yield pa.RecordBatch.from_arrays([lines.slice(start, REFS_PER_BATCH)], [URI])


def _lines(text: bytes) -> pa.StringArray:
    """Returns the lines of a text, each with its break."""
    ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n")) + 1
    offsets = np.unique(np.concatenate([[0], ends, [len(text)]])).astype(np.int32)
    lines = pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(text))
    lines.validate(full=True)
    return lines
