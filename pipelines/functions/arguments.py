"""Keyword arguments as a command line has them: what a function is given is checked as its command checks it."""

import argparse
import datetime
import functools
import inspect
import os
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from typing import Any, Final

from pipelines.options import OptionType
from schemas.errors import UsageError

_ANY: Final = inspect.Parameter.empty
_Texts = str | os.PathLike


def signature_of(command: argparse.ArgumentParser) -> inspect.Signature:
    """Returns the arguments of a command as a function: its options by name, with their types and defaults."""
    return inspect.Signature([_parameter(command, name, action) for name, action in _named(command).items()])


def arguments_of(
    command: argparse.ArgumentParser, positional: Sequence[object], options: Mapping[str, object]
) -> list[str]:
    """Returns the command line that stands for the arguments of a function.

    Names that the command does not have become options all the same: they are Beam's, or refused with one sentence.

    Args:
        command: The command's parser.
        positional: What stands without a name, as `photos/` in `extract("photos/")`.
        options: Values by the names of options. None stands for what is not given; True and False for options without
            a value, or for true and false; sequences for lists of words, and for options that may be given several
            times; a dictionary for NAME=VALUE.

    Raises:
        UsageError: If too many stand without a name, or one is given twice, or a sequence is empty.
    """
    places = [action.dest for action in command._actions if not action.option_strings]
    if len(positional) > len(places):
        raise UsageError(f"{len(positional)} arguments stand without a name, and there may be {len(places)}.")
    named = dict(zip(places, positional, strict=False))
    twice = sorted(named.keys() & options.keys())
    if twice:
        raise UsageError(f"'{twice[0]}' is given twice, without its name and with it.")
    actions = _named(command)
    return [text for name, value in {**named, **options}.items() for text in _argument(name, value, actions.get(name))]


def _named(command: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """Returns what a command takes by name; an option stands before what stands for it without its name."""
    actions = [action for action in command._actions if not isinstance(action, argparse._HelpAction)]
    alone = {action.dest: action for action in actions if not action.option_strings}
    return alone | {action.option_strings[0].removeprefix("--"): action for action in actions if action.option_strings}


def _argument(name: str, value: object, action: argparse.Action | None) -> Iterator[str]:
    if value is None:
        return
    if isinstance(value, Sized) and not isinstance(value, _Texts) and len(value) == 0:
        if action is None or action.default is None:
            raise UsageError(f"'{name}' names nothing: it is empty.")
        return
    if action is not None and not action.option_strings:
        yield _text(value)
    elif isinstance(action, argparse.BooleanOptionalAction):
        yield action.option_strings[0 if value else 1]
    elif action is not None and isinstance(action.nargs, int) and action.nargs > 0:
        yield from (f"--{name}", *map(_text, _each(value)))
    elif value is True and (action is None or action.nargs == 0):
        yield f"--{name}"
    elif value is not False or (action is not None and action.nargs != 0):
        values = _each(value) if isinstance(action, argparse._AppendAction) else [value]
        yield from (f"--{name}={_text(one)}" for one in values)


def _each(value: object) -> Iterable[object]:
    if isinstance(value, Mapping):
        return [f"{name}={_text(one)}" for name, one in value.items()]
    return [value] if isinstance(value, _Texts) or not isinstance(value, Iterable) else value


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime.timedelta):
        return f"{value.total_seconds():.0f}s"
    if isinstance(value, _Texts) or not isinstance(value, Iterable):
        return str(value)
    return ",".join(map(_text, value))


def _parameter(command: argparse.ArgumentParser, name: str, action: argparse.Action) -> inspect.Parameter:
    alone = any(each.dest == name and not each.option_strings for each in command._actions)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD if alone else inspect.Parameter.KEYWORD_ONLY
    needed = action.required and not (alone and action.option_strings)
    return inspect.Parameter(name, kind, default=_ANY if needed else action.default, annotation=_annotation(action))


def _annotation(action: argparse.Action) -> Any:
    if action.choices is not None:
        return typing.Literal[tuple(map(str, action.choices))]
    kind = bool if action.nargs == 0 else _read_type(action.type)
    if isinstance(action, argparse._AppendAction):
        return kind | Sequence[kind]
    return Sequence[kind] if isinstance(action.nargs, int) and action.nargs > 0 else kind


def _read_type(kind: object) -> Any:
    """Returns the type of the values that an option's type reads."""
    if kind is None:
        return str
    if isinstance(kind, functools.partial):
        return Any
    read = kind.read if isinstance(kind, OptionType) else kind
    if isinstance(read, type):
        return read
    owner = getattr(read, "__self__", None)
    found = owner if isinstance(owner, type) else typing.get_type_hints(read)["return"]
    return str | Sequence[str] if found == tuple[str, ...] else found
