"""Fenced blocks of the documentation's pages, and what running them here does and prints."""

import contextlib
import dataclasses
import gc
import importlib
import io
import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from schemas.errors import ConvbaseError
from tests.conftest import REPOSITORY

_BLOCK = re.compile(
    r"^(?:<!-- (?:(?P<parsed>parsed only): .+?|tested with (?P<extra>.+?)) -->\n)?```(?P<kind>\w+)\n(?P<text>.*?)^```$",
    flags=re.M | re.S,
)
_MODULE = "python -m pipelines."
_EXIT_CODE = re.compile(r"# exit code (\d)$")


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        kind: `bash`, `python`, `text`, or `sh` for commands that are never run.
        text: What is between the fences.
        is_run: Whether it is run, and not only parsed.
        extra: Options that its commands are tested with besides their own.
    """

    kind: str
    text: str
    is_run: bool
    extra: str


def blocks_of(text: str) -> list[Block]:
    """The blocks of a page, or of a part of it, in order."""
    return [
        Block(
            kind=found["kind"],
            text=found["text"],
            is_run=not found["parsed"] and found["kind"] in {"bash", "python"},
            extra=found["extra"] or "",
        )
        for found in _BLOCK.finditer(text)
    ]


def commands_of(text: str) -> Iterator[str]:
    """The commands of ours in a block, each as one line."""
    lines = text.replace("\\\n", " ").splitlines()
    return (line for line in map(_as_module, lines) if line.startswith(_MODULE))


def run_blocks(blocks: Sequence[Block], folder: Path) -> str:
    """Runs blocks in a folder, in order, and returns what they printed.

    A line that ends with `# exit code N` has to end with that, every other one with 0.
    """
    printed = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
        for block in blocks:
            if block.is_run and block.kind == "bash":
                _run_bash(block)
            elif block.is_run:
                before = printed.tell()
                exec(compile(block.text, "a block", "exec"), {"__name__": "example"})
                assert printed.tell() > before, block.text
    return printed.getvalue()


def _as_module(line: str) -> str:
    """A command of the console script as its module has it; the script is there only once a wheel is installed."""
    return re.sub(r"^convbase (?=[a-z])", _MODULE, line)


def _run_bash(block: Block) -> None:
    """Runs a block in order: our commands here, those of `make demo` too, and everything else in a shell."""
    for line in map(_as_module, block.text.replace("\\\n", " ").splitlines()):
        if line.startswith(_MODULE):
            _run_command(line, block.extra if block.extra and _takes_extra(line, block) else "")
        elif line.startswith("make demo"):
            for command in _demo_commands():
                _run_command(command)
        elif not line.startswith("make "):
            subprocess.run(["bash", "-euo", "pipefail", "-c", line], check=True, capture_output=True)


def _run_command(line: str, extra: str = "") -> None:
    """Runs one command here: importing Beam and TensorFlow for each would take most of the time."""
    module, *arguments = [*shlex.split(line, comments=True)[2:], *shlex.split(extra)]
    found = _EXIT_CODE.search(line)
    expected = int(found[1]) if found else 0
    try:
        code = importlib.import_module(module).main(arguments)
    except ConvbaseError as error:
        if error.exit_code != expected:
            raise
        code = error.exit_code
    assert code == expected, line
    gc.collect()


def _takes_extra(line: str, block: Block) -> bool:
    """Whether a command takes the further options of its block: an extraction, or the only command."""
    return line.startswith(f"{_MODULE}extract ") or len(list(commands_of(block.text))) == 1


def _demo_commands() -> list[str]:
    recipe = re.search(r"^demo:.*\n((?:\t.*\n)+)", (REPOSITORY / "Makefile").read_text(), flags=re.M)
    assert recipe
    return [line.replace("\t$(BIN)/", "") for line in recipe[1].splitlines()]
