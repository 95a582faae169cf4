"""What a command is: a parser whose complaints are one sentence, and an exit code."""

import argparse
import atexit
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn, TextIO

from schemas.errors import ConvbaseError, UsageError, first_line, printable
from schemas.storage import interrupt
from schemas.uris import without_secrets

# What an operator, a scheduler or a container's end sends.
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are one sentence."""

    def __init__(self, prog: str, description: str, epilog: str | None = None) -> None:
        super().__init__(
            prog=f"python -m {prog}",
            usage="%(prog)s [options]",
            description=description,
            epilog=epilog,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        """Raises instead of printing the usage, which is three screens long."""
        raise UsageError(f"{message[:1].upper()}{message[1:]}; see {self.prog} --help.")


def run_main(main: Callable[[Sequence[str]], int]) -> NoReturn:
    """Runs a command and exits with its code; what ends it, but for a bug, is one sentence on standard error.

    SIGINT and SIGTERM raise `KeyboardInterrupt` in the command, once: a second one ends the process.
    """
    sys.excepthook = _print_bug
    output = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115 (for good; the caller has closed ours)
    sys.stdout = _PrintableStream(output)  # type: ignore[assignment]
    gc.freeze()  # What is imported by now lives to the end; looking through it once more there takes 0.1 s.
    for number in _SIGNALS:
        signal.signal(number, _interrupt)
    try:
        code = main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        # Nobody reads what is printed; the interpreter shall not find that out once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 128 + signal.SIGPIPE
    except ConvbaseError as error:
        code = _said(str(error), error.exit_code)
    except KeyboardInterrupt as error:
        code = 128 + (error.args[0] if error.args else signal.SIGINT)
        print("Interrupted.", file=sys.stderr)
    except (OSError, *_delta_errors()) as error:
        code = _said(_storage_sentence(error), 1)
    except ValueError as error:
        if type(error).__module__ != "pyarrow.lib":  # Which is not imported for its error alone.
            raise
        code = _said(_storage_sentence(error), 1)
    _end_process(code)


def _delta_errors() -> tuple[type[Exception], ...]:
    """Returns what `deltalake` raises; nothing where it is not imported."""
    loaded = sys.modules.get("deltalake.exceptions")
    return () if loaded is None else (loaded.DeltaError,)


def _print_bug(_: object, error: BaseException, __: object) -> None:
    """Prints a traceback as Python does, but for the secrets of URLs that are in it."""
    print(without_secrets("".join(traceback.format_exception(error))), end="", file=sys.stderr)


class _PrintableStream:
    """A stream to which nothing is written that a terminal would obey, whoever has named what is printed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes a text, its control characters but for line breaks and tabs as Python writes them."""
        return self._stream.write("\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n")))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _interrupt(number: int, _: object) -> NoReturn:
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_DFL)
    interrupt(number)
    raise KeyboardInterrupt(number)


def _said(sentence: str, code: int) -> int:
    print("error: " + "\n".join(map(printable, without_secrets(sentence).split("\n"))), file=sys.stderr)
    return code


def _storage_sentence(error: Exception) -> str:
    return (
        f"A file cannot be read or written: {first_line(error).rstrip('.')}. If it is one of a store, "
        "`python -m pipelines.maintain STORE check --deep` says what is wrong with it."
    )


def _end_process(code: int) -> NoReturn:
    """Ends the process with its code once all is cleaned up and flushed, and leaves the interpreter as it is.

    To finalize it takes threads of libraries by surprise: one of Arrow's that drops a Python object then aborts the
    process (Python before 3.14), and the exit code is 134, after all was done.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            code = code or 120  # As Python itself ends where what was printed cannot be written.
    os._exit(code)
