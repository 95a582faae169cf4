"""What a command is: a parser whose complaints are one sentence, and an exit code."""

import argparse
import atexit
import contextlib
import gc
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NoReturn

from pipelines.options.streams import (
    LastingStream,
    PrintableStream,
    add_log_options,
    asks_for_records,
    print_records,
    set_up_logging,
)
from schemas.errors import ConvbaseError, RunFailed, UsageError, first_line, printable
from schemas.storage import forget_interruptions, interrupt
from schemas.uris import without_secrets

# The console script, as `pyproject.toml` names it.
SCRIPT: Final = "convbase"

# What an operator, a scheduler or a container's end sends.
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are one sentence, and whose help begins with the options that people use first.

    The names of options may be written with dashes, too.
    """

    def __init__(
        self, prog: str, description: str, epilog: str | None = None, *, sentence: str = "", first: Sequence[str] = ()
    ) -> None:
        """Begins a parser.

        Args:
            prog: The command's module.
            description: What stands above the options in its help.
            epilog: What stands below them.
            sentence: What the command does, the first line of its help.
            first: The options that `--help` shows, by name; by default all. `--help_all` shows the others, too.
        """
        super().__init__(
            prog=_shown_name(prog),
            usage="%(prog)s [options]",
            description=description,
            epilog=epilog,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self._sentence = sentence
        self._first = frozenset(first)
        if first:
            self.add_argument("--help_all", action=_HelpAll, help="show every option, and exit")

    @classmethod
    def of_command(
        cls, prog: str, documentation: str | None, *, first: Sequence[str] = (), epilog: str | None = None
    ) -> "Parser":
        """Returns the parser of a module, whose docstring begins with how it is called, a colon, and what it does.

        It has the options that every command has.
        """
        head, _, description = (documentation or "").partition("\n")
        sentence = head.partition(": ")[2]
        sentence = f"{sentence[:1].upper()}{sentence[1:]}"
        command = cls(prog, description.strip("\n"), epilog, sentence=sentence, first=first)
        add_log_options(command)
        return command

    def begin(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parses the arguments of a command that begins, and sets up its logging.

        Raises:
            UsageError: If an argument is wrong or unknown.
        """
        given = self.parse_args(list(arguments))
        set_up_logging(given)
        return given

    def begin_with_rest(self, arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
        """Does the same for a command that hands on the arguments that it does not know, and returns these, too.

        Raises:
            UsageError: If an argument is wrong.
        """
        given, rest = self.parse_known_args(list(arguments))
        set_up_logging(given)
        return given, rest

    def parse_known_args(
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parses what is known; values of options that are not come back joined to them, as `--name=value`.

        A value that stood alone would be taken for an input, and an input behind a flag for its value.
        """
        texts: list[str] = []
        for text in sys.argv[1:] if args is None else args:
            if texts and not text.startswith("-"):
                if self._is_unknown(texts[-1]):
                    texts[-1] = f"{texts[-1]}={text}"
                    continue
                texts[-1] = self._with_its_value(texts[-1], text)
            texts.append(self._underscored(text))
        return super().parse_known_args(texts, namespace)

    def _with_its_value(self, option: str, following: str) -> str:
        """Returns an option that need not have a value with the one that it has alone, if what follows is none."""
        action = self._option_string_actions.get(option)
        if action is None or action.nargs != argparse.OPTIONAL or not callable(action.type):
            return option
        try:
            action.type(following)
        except (ValueError, argparse.ArgumentTypeError):
            return f"{option}={str(action.const).lower()}"
        return option

    def _is_unknown(self, text: str) -> bool:
        return text.startswith("--") and len(text) > 2 and "=" not in text and text not in self._option_string_actions

    def _underscored(self, text: str) -> str:
        name, equals, value = text.partition("=")
        if not name.startswith("--") or name in self._option_string_actions:
            return text
        return f"--{name[2:].replace('-', '_')}{equals}{value}"

    def format_help(self, *, every_option: bool = False) -> str:
        """Returns the help, with the options that are used first, or with every one."""
        shown = [action for action in self._actions if _name(action) in self._first]
        groups = [("options", shown)]
        if every_option or not shown:
            groups = [(group.title, group._group_actions) for group in self._action_groups]
        formatter = self._get_formatter()
        formatter.add_usage(self.usage, self._actions, self._mutually_exclusive_groups)
        formatter.add_text(self._sentence)
        formatter.add_text(self.description)
        for title, actions in groups:
            formatter.start_section(title)
            formatter.add_arguments(actions)
            formatter.end_section()
        if shown and not every_option:
            formatter.add_text(f"{len(self._actions) - len(shown) - 2} more options: {self.prog} --help_all")
        formatter.add_text(self.epilog)
        return formatter.format_help()

    def error(self, message: str) -> NoReturn:
        """Raises instead of printing the usage, which is three screens long."""
        raise UsageError(f"{message[:1].upper()}{message[1:]}; see {self.prog} --help.")


class _HelpAll(argparse._HelpAction):
    """Prints the help with every option."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        if isinstance(parser, Parser):
            parser._print_message(parser.format_help(every_option=True), sys.stdout)
        parser.exit()


def _name(action: argparse.Action) -> str:
    """Returns the name of an option without its dashes, or of what stands without an option."""
    return action.option_strings[0].removeprefix("--") if action.option_strings else action.dest


def _shown_name(prog: str) -> str:
    """Returns how a command was called: `convbase extract`, or `python -m pipelines.extract`."""
    if Path(sys.argv[0]).stem == SCRIPT:
        return prog.replace("pipelines.", f"{SCRIPT} ", 1)
    return f"python -m {prog}"


def run_main(main: Callable[[Sequence[str]], int]) -> NoReturn:
    """Runs a command and exits with its code; what ends it, but for a bug, is one sentence on standard error.

    SIGINT and SIGTERM raise `KeyboardInterrupt` in the command, once: a second one ends the process. What cannot be
    printed ends no command: see `pipelines/options/streams.py`.
    """
    sys.excepthook = _print_bug
    output, errors = PrintableStream(sys.stdout), LastingStream(sys.stderr)
    sys.stdout, sys.stderr = output, errors  # type: ignore[assignment]
    if asks_for_records(sys.argv):
        print_records()  # What is wrong with the command line is a record, too.
    gc.freeze()  # What is imported by now lives to the end; looking through it once more there takes 0.1 s.
    for number in _SIGNALS:
        signal.signal(number, _interrupt)
    try:
        with storage_errors_in_a_sentence():
            code = main(sys.argv[1:])
    except SystemExit as error:  # Of --help.
        code = int(error.code or 0)
    except ConvbaseError as error:
        code = _said(str(error), error.exit_code)
    except KeyboardInterrupt as error:
        code = 128 + (error.args[0] if error.args else signal.SIGINT)
        print("Interrupted.", file=sys.stderr)
    _end_process(code, output)


@contextlib.contextmanager
def storage_errors_in_a_sentence() -> Iterator[None]:
    """Turns what storage and its libraries raise into a sentence.

    Raises:
        RunFailed: For such an error.
    """
    try:
        yield
    except (OSError, *_delta_errors()) as error:
        raise RunFailed(_storage_sentence(error)) from error
    except ValueError as error:
        if type(error).__module__ != "pyarrow.lib":  # Which is not imported for its error alone.
            raise
        raise RunFailed(_storage_sentence(error)) from error


def _delta_errors() -> tuple[type[Exception], ...]:
    """Returns what `deltalake` raises; nothing where it is not imported."""
    loaded = sys.modules.get("deltalake.exceptions")
    return () if loaded is None else (loaded.DeltaError,)


def _print_bug(_: object, error: BaseException, __: object) -> None:
    """Prints a traceback as Python does, but for the secrets of URLs that are in it."""
    print(without_secrets("".join(traceback.format_exception(error))), end="", file=sys.stderr)


def _interrupt(number: int, _: object) -> NoReturn:
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_DFL)
    interrupt(number)
    raise KeyboardInterrupt(number)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Lets SIGINT end what is done meanwhile as it ends a command, and this process go on; only in its main thread."""
    before = signal.getsignal(signal.SIGINT)
    if not callable(before) or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _: object) -> NoReturn:
        signal.signal(number, before)
        interrupt(number)
        raise KeyboardInterrupt(number)

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        forget_interruptions()


def _said(sentence: str, code: int) -> int:
    print("error: " + "\n".join(map(printable, without_secrets(sentence).split("\n"))), file=sys.stderr)
    return code


def _storage_sentence(error: Exception) -> str:
    return (
        f"A file cannot be read or written: {first_line(error).rstrip('.')}. If it is one of a store, "
        "`python -m pipelines.maintain STORE check --deep` says what is wrong with it."
    )


def _end_process(code: int, output: LastingStream) -> NoReturn:
    """Ends the process with its code once all is cleaned up and flushed, and leaves the interpreter as it is.

    To finalize it takes threads of libraries by surprise: one of Arrow's that drops a Python object then aborts the
    process (Python before 3.14), and the exit code is 134, after all was done.
    """
    atexit._run_exitfuncs()
    output.flush()
    lost = 0 if output.error is None else _code_of_lost_output(output.error)
    sys.stderr.flush()
    os._exit(code or lost)


def _code_of_lost_output(error: OSError) -> int:
    """Returns the exit code of a command that has done its work and could not say so, and tells why on standard error.

    A reader that has left, such as `head`, wanted no more, and is told nothing.
    """
    if isinstance(error, BrokenPipeError):
        return 128 + signal.SIGPIPE
    return _said(
        f"Standard output cannot be written ({first_line(error)}): what was printed is lost, what was done is not.", 1
    )
