"""The streams of a command take whatever is printed."""

import io

import pytest

from pipelines.options.streams import LastingStream, PrintableStream


class FullDisk(io.RawIOBase):
    """A file on a disk that is full after some bytes."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.calls = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.calls += 1
        size = len(memoryview(data))  # type: ignore[arg-type]
        if size > self.room:
            raise OSError(28, "No space left on device")
        self.room -= size
        return size


def test_what_cannot_be_written_is_kept_as_the_reason_and_nothing_more_is_tried() -> None:
    disk = FullDisk(room=6)
    stream = LastingStream(io.TextIOWrapper(io.BufferedWriter(disk), line_buffering=True))
    for number in range(5):
        print("line", number, file=stream, flush=True)
    assert stream.error is not None
    assert stream.error.errno == 28
    assert disk.calls < 5


def test_characters_that_an_encoding_lacks_are_written_as_python_writes_them() -> None:
    file = io.BytesIO()
    stream = PrintableStream(io.TextIOWrapper(file, encoding="ascii"))
    print("caf\u00e9\t\x1b[2J", file=stream, flush=True)
    assert file.getvalue() == b"caf\\xe9\t\\x1b[2J\n"


@pytest.mark.parametrize("stream", [LastingStream, PrintableStream])
def test_a_stream_that_the_caller_has_closed_takes_all(stream: type[LastingStream]) -> None:
    assert print("text", file=stream(None), flush=True) is None
