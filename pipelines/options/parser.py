"""What a command is: a parser whose complaints are one sentence, and an exit code."""

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
