"""convbase: every command by its name, as `convbase extract …` or `python -m pipelines extract …`.

    convbase extract photos/*.jpg --output=store
    convbase --version

As the console script it imports nothing from the folder in which it is called.
"""

import ast
import importlib
import importlib.util
import os
from collections.abc import Iterator, Sequence
from typing import Final, NoReturn

from pipelines.options import SCRIPT, run_main
from schemas.errors import UsageError, nearest_names, shown

COMMANDS: Final = (
    "extract", "backfill", "train", "finetune", "predict", "inspect", "measure", "explore", "search", "index",
    "maintain", "template",
)  # fmt: skip


def console_script() -> NoReturn:
    """Runs the command that the first argument names, and exits with its code."""
    os.environ["PYTHONSAFEPATH"] = "1"  # Beam's worker processes look for packages in the folder, too.
    run_main(dispatch)


def dispatch(arguments: Sequence[str]) -> int:
    """Runs the command that the first argument names, and returns its exit code; without one, lists all of them.

    Raises:
        ConvbaseError: If there is no such command, or it cannot start, or fails.
    """
    name, *rest = arguments or ("--help",)
    if name in {"-h", "--help", "help"}:
        print("\n".join(overview()))
        return 0
    if name == "--version":
        from transforms.runtime import package_versions

        print(f"{SCRIPT} {package_versions([SCRIPT])[SCRIPT]}")
        return 0
    if name not in COMMANDS:
        hint = nearest_names(name, COMMANDS) or f"; {SCRIPT} alone lists them."
        raise UsageError(f"There is no command {shown(name)}{hint}")
    code: int = importlib.import_module(f"pipelines.{name}").main(rest)
    return code


def overview() -> Iterator[str]:
    """Yields how commands are called, and what each of them does."""
    yield f"usage: {SCRIPT} COMMAND [options]"
    yield ""
    for name in COMMANDS:
        yield f"  {name:<10} {what_it_does(name)}"
    yield ""
    yield f"{SCRIPT} COMMAND --help shows what it takes. {SCRIPT} --version says which version this is."


def what_it_does(name: str) -> str:
    """Returns the sentence of a command, from its module's docstring, without importing it and what it needs."""
    spec = importlib.util.find_spec(f"pipelines.{name}")
    source = spec.loader.get_source(spec.name) if spec else ""
    first_line = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
    return first_line.partition(": ")[2]


if __name__ == "__main__":
    run_main(dispatch)
