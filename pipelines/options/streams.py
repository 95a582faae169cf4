"""Standard output and standard error of a command: what it prints never ends it, and no terminal obeys it.

What a command does is worth more than what it says: a training goes on where nobody reads its lines any more, as in
`… | head`, and so does a run whose log is on a disk that is full. Its exit code and one sentence tell of it at the end.

With `--log_format=json` each print becomes a record, whoever has printed it: all of it passes here. Every command
has that option: its parser declares it, and what reads its arguments sets it up.
"""

import argparse
import functools
import io
import itertools
import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TextIO

from pipelines.monitoring import RUN_LOGGER, JsonHandler, LogFormat, TextFormatter, printed_record
from schemas.errors import printable

# `--log_format=json`, with its dashes as underscores.
_RECORDS: Final = ("__log_format", "json")


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


def asks_for_records(arguments: Sequence[str]) -> bool:
    """Whether a command line, which may be wrong, has `--log_format=json`."""
    texts = [argument.replace("-", "_") for argument in arguments]
    return "=".join(_RECORDS) in texts or _RECORDS in itertools.pairwise(texts)


def add_log_options(
    options: "argparse.ArgumentParser | argparse._ArgumentGroup", *, in_subcommand: bool = False
) -> None:
    """Adds the options that say what is logged, and how it looks.

    Args:
        options: The parser.
        in_subcommand: Whether the parser is that of a subcommand, which may follow options that are given before it.
    """
    options.add_argument(
        "--log_level",
        choices=("debug", "info", "warning"),
        default=argparse.SUPPRESS if in_subcommand else "warning",
        help="what is logged on standard error; info shows the beginning and the end of runs and each load of a conv "
        "base, debug tracebacks (default: warning)",
    )
    options.add_argument(
        "--log_format",
        choices=tuple(LogFormat),
        default=argparse.SUPPRESS if in_subcommand else LogFormat.TEXT,
        help="json makes each line a record with severity, time, message, and the run, date and store that it is "
        "about, and has a record of the beginning and the end of each run (default: text)",
    )


def set_up_logging(given: argparse.Namespace) -> None:
    """Sends log records to standard error, and makes records of what is printed, too, where they are JSON.

    Beam logs a worker's exception with its traceback before the runner raises it; unless debugging was asked for, the
    one sentence at the command's end says it.

    Args:
        given: The command's options: what is logged, and how it looks. The beginning and the end of a run are logged in
            any case where records are JSON.
    """
    if given.log_format == LogFormat.JSON:
        handler: logging.Handler = JsonHandler()
        print_records()
        RUN_LOGGER.setLevel(logging.INFO)
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(TextFormatter())
        RUN_LOGGER.setLevel(logging.INFO if given.log_level != "warning" else logging.CRITICAL)
    logging.basicConfig(handlers=[handler], level=given.log_level.upper(), force=given.log_format == LogFormat.JSON)
    if given.log_level != "debug":
        logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
