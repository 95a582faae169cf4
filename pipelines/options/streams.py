"""Standard output and standard error of a command: what it prints never ends it, and no terminal obeys it.

What a command does is worth more than what it says: a training goes on where nobody reads its lines any more, as in
`… | head`, and so does a run whose log is on a disk that is full. Its exit code and one sentence tell of it at the end.

With `--log_format=json` each print becomes a record, whoever has printed it: all of it passes here.
"""

import functools
import io
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from pipelines.monitoring import printed_record
from schemas.errors import printable


class LastingStream:
    """A stream that takes what is printed, also when it can be written no more: from then on it is lost.

    Attributes:
        error: Why nothing more was written; None while all was.
    """

    def __init__(self, stream: TextIO | None) -> None:
        """Takes a stream; None where the caller has closed it."""
        self._stream = stream or Path(os.devnull).open("w")  # noqa: SIM115 (for good)
        self.error: OSError | None = None
        self._record_of: Callable[[str], str] | None = None
        self._unfinished = threading.local()  # Of each thread the beginning of what it is printing.
        if isinstance(self._stream, io.TextIOWrapper):
            self._stream.reconfigure(errors="backslashreplace")  # As Python has it for standard error alone.

    def write(self, text: str) -> int:
        """Writes a text, or makes a record of it once its last line is finished."""
        if self._record_of is None:
            self.write_whole(text)
            return len(text)
        printed = getattr(self._unfinished, "text", "") + text
        self._unfinished.text = "" if printed.endswith("\n") else printed
        if printed.endswith("\n") and printed.strip():
            self.write_whole(f"{self._record_of(printed.rstrip())}\n")
        return len(text)

    def write_whole(self, text: str) -> None:
        """Writes a text as it is."""
        self._attempt(functools.partial(self._stream.write, text))

    def flush(self) -> None:
        """Writes what is still held."""
        self._attempt(self._stream.flush)

    def isatty(self) -> bool:
        """Whether a person looks at it who is shown bars that move."""
        return self._record_of is None and self._stream.isatty()

    def make_records(self, record_of: Callable[[str], str]) -> None:
        """Makes a record of each print from now on.

        Args:
            record_of: Returns the record of what was printed, one line without its line break.
        """
        self._record_of = record_of

    def _attempt(self, to_write: Callable[[], object]) -> None:
        if self.error is None:
            try:
                to_write()
            except OSError as error:
                self.error = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def print_records() -> None:
    """Makes records of what a command prints from now on; in other programs, such as notebooks, nothing changes."""
    for stream, is_error in ((sys.stdout, False), (sys.stderr, True)):
        if isinstance(stream, LastingStream):
            stream.make_records(functools.partial(printed_record, is_error=is_error))


class PrintableStream(LastingStream):
    """A stream to which nothing is written that a terminal would obey, whoever has named what is printed."""

    def write(self, text: str) -> int:
        """Writes a text, its control characters but for line breaks and tabs as Python writes them."""
        return super().write("\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n")))
