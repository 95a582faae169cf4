"""Standard output and standard error of a command: what it prints never ends it, and no terminal obeys it.

What a command does is worth more than what it says: a training goes on where nobody reads its lines any more, as in
`… | head`, and so does a run whose log is on a disk that is full. Its exit code and one sentence tell of it at the end.
"""

import functools
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

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
        if isinstance(self._stream, io.TextIOWrapper):
            self._stream.reconfigure(errors="backslashreplace")  # As Python has it for standard error alone.

    def write(self, text: str) -> int:
        """Writes a text."""
        self._attempt(functools.partial(self._stream.write, text))
        return len(text)

    def flush(self) -> None:
        """Writes what is still held."""
        self._attempt(self._stream.flush)

    def _attempt(self, to_write: Callable[[], object]) -> None:
        if self.error is None:
            try:
                to_write()
            except OSError as error:
                self.error = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class PrintableStream(LastingStream):
    """A stream to which nothing is written that a terminal would obey, whoever has named what is printed."""

    def write(self, text: str) -> int:
        """Writes a text, its control characters but for line breaks and tabs as Python writes them."""
        return super().write("\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n")))
