"""What a command is: a parser whose complaints are one sentence, a table of its options, and an exit code."""

import argparse
import gc
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from schemas.errors import ConvbaseError, UsageError


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


def markdown_table(parser: argparse.ArgumentParser, besides: argparse.ArgumentParser | None = None) -> str:
    """Returns the options of a command as a table in Markdown, without those that another one has too.

    Args:
        parser: The command's parser.
        besides: The other command's, if there is one.
    """
    others = {action.dest for action in besides._actions} if besides else {"help"}
    rows = ["| option | meaning |", "|---|---|"]
    for action in parser._actions:
        if action.dest in others:
            continue
        name = action.option_strings[0] if action.option_strings else action.dest.upper()
        value = "" if action.nargs == 0 else action.metavar or "|".join(map(str, action.choices or ()))
        option = f"{name} {value}".strip().replace("|", "\\|")
        rows.append(f"| `{option}` | {(action.help or '').replace('|', chr(92) + '|')} |")
    return "\n".join(rows)


def run_main(main: Callable[[Sequence[str]], int]) -> NoReturn:
    """Runs a command and exits with its code; an error that is ours is one sentence on standard error."""
    gc.freeze()  # What is imported by now lives to the end; looking through it once more there takes 0.1 s.
    try:
        code = main(sys.argv[1:])
    except ConvbaseError as error:
        print(f"error: {error}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        print("Interrupted; nothing of this run is visible.", file=sys.stderr)
        code = 130
    sys.exit(code)
