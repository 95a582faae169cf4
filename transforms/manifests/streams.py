"""Streams: the bytes of a manifest, decompressed; its text in UTF-8, whatever its encoding."""

import codecs
from collections.abc import Iterator
from typing import IO, Final

import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from schemas.storage import input_file_system, open_stream

UTF_8: Final = "utf-8"
READ_BYTES: Final = 2**24

# No line is longer: a cell of some megabytes is.
MOST_LINE_BYTES: Final = 2**26
# Lists of URIs are compressed by a factor of 5 to 50.
_MOST_EXPANSION: Final = 200
_MOST_EXPANDED_BYTES: Final = 2**30
_SMALL_BYTES: Final = 2**24

# A text that begins with one of these says how it is encoded; the longer marks come first.
_MARKS: Final = (
    (codecs.BOM_UTF8, UTF_8),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def open_bytes(uri: str, compression: str | None = None) -> pa.NativeFile:
    """Opens a file to be read, decompressed.

    Raises:
        OSError: If it cannot be opened.
    """
    fs, path = input_file_system(uri)
    file = pa.OSFile(path) if isinstance(fs, LocalFileSystem) else pa.PythonFile(open_stream(uri), "r")
    return pa.CompressedInputStream(file, compression) if compression else file


def refuse_bomb(uri: str, compression: str | None) -> None:
    """Refuses a small file that decompresses to far more than a table of images; it is read to see that.

    Raises:
        pyarrow.ArrowInvalid: If it is one.
        OSError: If it cannot be read.
    """
    if compression is None:
        return
    fs, path = input_file_system(uri)
    size = fs.size(path)
    if size is None or size > _SMALL_BYTES:
        return
    most = max(_MOST_EXPANDED_BYTES, _MOST_EXPANSION * size)
    expanded = 0
    with open_bytes(uri, compression) as stream:
        while chunk := stream.read(READ_BYTES):
            expanded += len(chunk)
            if expanded > most:
                raise pa.ArrowInvalid(
                    f"its {size:,} bytes decompress to more than {most:,}, the most for a file of that size"
                )


def open_lines(uri: str) -> IO[bytes]:
    """Opens a file to be read line by line.

    Raises:
        OSError: If it cannot be opened.
    """
    fs, path = input_file_system(uri)
    file: IO[bytes] = fs.open(path, "rb")
    return file


def open_text(uri: str, compression: str | None, encoding: str) -> pa.NativeFile:
    """Opens a text to be read as UTF-8; a byte order mark is left in it where it is UTF-8 already.

    Raises:
        OSError: If it cannot be opened.
    """
    stream = open_bytes(uri, compression)
    return stream if encoding == UTF_8 else pa.transcoding_input_stream(stream, encoding, UTF_8)


def found_encoding(uri: str, compression: str | None) -> str:
    """Returns the encoding of a text by its byte order mark; UTF-8 where it has none.

    Raises:
        OSError: If it cannot be read.
    """
    with open_bytes(uri, compression) as stream:
        head = stream.read(max(len(mark) for mark, _ in _MARKS))
    return next((encoding for mark, encoding in _MARKS if head.startswith(mark)), UTF_8)


def is_utf_8(encoding: str) -> bool:
    """Whether an encoding is UTF-8, by any of its names."""
    return codecs.lookup(encoding).name == UTF_8


def whole_lines(stream: pa.NativeFile, size: int = READ_BYTES) -> Iterator[bytes]:
    """Yields a text in pieces of about `size` bytes that end where lines do.

    Raises:
        pyarrow.ArrowInvalid: If a line is longer than `MOST_LINE_BYTES`.
    """
    rest = b""
    while chunk := stream.read(size):
        if len(rest) > MOST_LINE_BYTES:
            raise too_long_line()
        text = rest + chunk
        end = text.rfind(b"\n") + 1
        rest = text[end:]
        if end:
            yield text[:end]
    if rest:
        yield rest


def too_long_line() -> pa.ArrowInvalid:
    """Returns the error of a line of more than `MOST_LINE_BYTES`."""
    return pa.ArrowInvalid(f"it has a line of more than {MOST_LINE_BYTES:,} bytes, which are the most")


def line_that_is_no_utf_8(stream: pa.NativeFile) -> int | None:
    """Returns the number of the first line, from 1, that is not UTF-8."""
    before = 0
    for text in whole_lines(stream):
        try:
            text.decode(UTF_8)
        except UnicodeDecodeError as error:
            return before + text.count(b"\n", 0, error.start) + 1
        before += text.count(b"\n")
    return None
