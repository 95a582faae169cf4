"""Generates the tables of the reference: from the commands' parsers, the tables' schemas and the error classes.

    python -m docs.generate build/reference

The pages in `docs/reference` include the files that this writes, so that nothing there is written twice.
"""

import argparse
import importlib
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Final

import pyarrow as pa

from pipelines.__main__ import COMMANDS as COMMAND_NAMES
from schemas.augmentation import AugmentedRows
from schemas.errors import ConvbaseError, FailureCode
from schemas.spec import FeatureSpec
from schemas.store import PREDICTIONS
from schemas.tables import DRIFT, FAILURES, RUNS, TAKEDOWNS, features_schema

COMMANDS: Final[Mapping[str, ModuleType]] = {
    name: importlib.import_module(f"pipelines.{name}") for name in COMMAND_NAMES
}

_OF_EVERY_COMMAND: Final = frozenset({"log_level", "log_format"})
_EXAMPLE: Final = FeatureSpec(
    "VGG16",
    weights_sha256="0",
    input_shape=(150, 150, 3),
    layers=("block5_pool",),
    feature_shapes=((512,),),
    augmentation=AugmentedRows(),
)


def main(arguments: Sequence[str]) -> None:
    """Writes every generated file into the folder that the only argument names."""
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in generated().items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def generated() -> dict[str, str]:
    """Returns the Markdown of every generated file by its name, without the extension."""
    schemas = {
        "features": features_schema(_EXAMPLE),
        "failures": FAILURES,
        "runs": RUNS,
        "takedowns": TAKEDOWNS,
        "drift": DRIFT,
        "predictions": PREDICTIONS,
    }
    return {
        **{name: command_text(command.parser()) for name, command in COMMANDS.items()},
        **{f"{name}_table": columns_table(schema) for name, schema in schemas.items()},
        "failure_codes": failure_codes_table(),
        "exit_codes": exit_codes_table(),
    }


def command_text(parser: argparse.ArgumentParser) -> str:
    """Returns a command's examples, what its description says, and a table of options for each group of them."""
    examples, _, description = (parser.description or "").partition("\n\n")
    description = description.replace("\nExit codes:", "\n\nExit codes:")
    fenced = f"```sh\n{textwrap.dedent(examples)}\n```"
    return "\n\n".join([fenced, _escaped(description), *_option_tables(parser), *_subcommands(parser)]) + "\n"


def _option_tables(parser: argparse.ArgumentParser) -> Iterator[str]:
    groups = {group.title or "": list(filter(_is_option, group._group_actions)) for group in parser._action_groups}
    for title, actions in sorted(groups.items(), key=lambda item: _are_of_every_command(item[1])):
        if actions:
            yield f"## {_capitalised(title)}\n\n{options_table(actions)}"


def _are_of_every_command(actions: Iterable[argparse.Action]) -> bool:
    return all(action.dest in _OF_EVERY_COMMAND for action in actions)


def _capitalised(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _is_option(action: argparse.Action) -> bool:
    """Whether an argument stands in a table; those that a subcommand takes from its command stand there alone."""
    is_repeated = action.default == argparse.SUPPRESS
    return not (is_repeated or isinstance(action, argparse._HelpAction | argparse._SubParsersAction))


def _subcommands(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield f"## `{name}`\n\n{_capitalised(_escaped(command.description or ''))}."
                yield options_table([option for option in command._actions if _is_option(option)])


def options_table(actions: Sequence[argparse.Action]) -> str:
    """Returns options as a table in Markdown: name and value, meaning; `style.css` lays it out on narrow pages."""
    rows = [(f"`{_usage(action)}`", _escaped(action.help or "")) for action in actions]
    return f'<div class="options" markdown>\n\n{_table(("option", "meaning"), rows)}\n\n</div>'


def _usage(action: argparse.Action) -> str:
    if not action.option_strings:
        return action.dest.upper()
    value = "" if action.nargs == 0 else action.metavar or "|".join(map(str, action.choices or ()))
    return f"{', '.join(action.option_strings)} {value}".strip()


def _escaped(text: str) -> str:
    """Keeps Markdown from reading tags and cells in a text; what stands between backticks is literal already."""
    parts = enumerate(text.split("`"))
    return "`".join(part if code % 2 else part.replace("<", "&lt;").replace("|", "&#124;") for code, part in parts)


def columns_table(schema: pa.Schema) -> str:
    """Returns the columns of a table with their types and comments."""
    return _table(
        ("column", "type", "holds"),
        [
            (f"`{field.name}`", f"`{str(field.type).replace(' not null', '')}`", field.metadata[b"comment"].decode())
            for field in schema
        ],
    )


_MEANINGS: Final = {
    FailureCode.INVALID_URI: "The URI is empty, too long, holds a NUL byte, or is no URL or bucket that could be.",
    FailureCode.UNKNOWN_PROTOCOL: "No file system has the protocol of the URI.",
    FailureCode.PACKAGE_MISSING: "The package of the URI's file system is not installed.",
    FailureCode.NOT_FOUND: "There is no such file; on the web, the status is 404 or 410.",
    FailureCode.NOT_ALLOWED: "A manifest names a place, or a link in a folder leads to one, that nobody has allowed: "
    "`--allowed_sources`, `--follow_links`.",
    FailureCode.NO_CREDENTIALS: "There are no credentials for the storage.",
    FailureCode.PERMISSION_DENIED: "The file may not be read; on the web, the status is 401, 403 or 407.",
    FailureCode.UNKNOWN_HOST: "The host has no address.",
    FailureCode.CONNECTION_REFUSED: "The server takes no connections.",
    FailureCode.TLS_ERROR: "The server's certificate is not trusted, or TLS failed.",
    FailureCode.TOO_MANY_REDIRECTS: "The server redirects more than ten times.",
    FailureCode.TOO_MANY_REQUESTS: "The server asks for fewer requests: status 429.",
    FailureCode.SERVER_ERROR: "The server is at fault: status 500 and above.",
    FailureCode.TIMEOUT: "The storage did not answer in time.",
    FailureCode.UNREADABLE: "The file could not be read for another reason, or broke off.",
    FailureCode.DAMAGED_ARCHIVE: "The archive breaks off, or what it says of the member is not so.",
    FailureCode.TOO_MANY_BYTES: "The file has more bytes than `--max_bytes`.",
    FailureCode.EMPTY_FILE: "The file has no bytes.",
    FailureCode.NOT_AN_IMAGE: "The file is no image that Pillow knows.",
    FailureCode.UNSUPPORTED_FORMAT: "The file is of a format that `--formats` does not name.",
    FailureCode.DECODER_MISSING: "The package that decodes this format is not installed; the message names it.",
    FailureCode.UNSUPPORTED_PIXELS: "The pixels are floats, whose range the file does not tell.",
    FailureCode.TOO_MANY_PIXELS: "The picture has more pixels than `--max_pixels`, or a side longer than `--max_side`.",
    FailureCode.TOO_MUCH_METADATA: "What stands beside the pixels would take more than 64 MiB to read, or 100 scans.",
    FailureCode.DECODER_TIMEOUT: "Decoding takes more processor time than `--decode_timeout`.",
    FailureCode.DECODER_OUT_OF_MEMORY: "Decoding takes more memory than `--decode_memory`.",
    FailureCode.NOT_FINITE: "The conv base makes of the picture what is no number, or infinite.",
    FailureCode.DECODER_CRASHED: "The process that decodes has died of it, four times.",
    FailureCode.TRUNCATED: "The file ends too soon; `--truncated=keep` takes what is there.",
    FailureCode.DECODER_ERROR: "The file cannot be decoded.",
}


def failure_codes_table() -> str:
    """Returns the codes of the table `failures`."""
    rows = [
        (f"`{code}`", code.stage, "permanent" if code.permanent else "transient", _MEANINGS[code])
        for code in FailureCode
    ]
    return _table(("code", "stage", "tried again", "means"), rows)


def exit_codes_table() -> str:
    """Returns the errors that end a command, by their exit code."""
    rows = [
        (error.exit_code, f"| {error.exit_code} | `{error.__name__}` | {_first_sentence(error)} |")
        for error in _descendants(ConvbaseError)
    ]
    return "\n".join(["| exit code | error | means |", "| --- | --- | --- |", *(row for _, row in sorted(rows))]) + "\n"


def _descendants(error: type[ConvbaseError]) -> Iterator[type[ConvbaseError]]:
    for kind in error.__subclasses__():
        yield kind
        yield from _descendants(kind)


def _first_sentence(documented: type) -> str:
    return (documented.__doc__ or "").partition("\n")[0]


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    main(sys.argv[1:])
