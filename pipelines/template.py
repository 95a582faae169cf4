"""python -m pipelines.template: the metadata of a Dataflow Flex Template, made of a command's own options.

python -m pipelines.template extract > infra/dataflow/extract-template.json

Dataflow checks the parameters of a launch against it, and the console makes a form of it. The format is
`TemplateMetadata` of Dataflow's API (v1b3). A template gives each parameter once, as `--name=value`.
"""

import argparse
import dataclasses
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from pipelines import extract
from pipelines.options import OptionType, Parser, not_negative, number, positive, ratio, run_main, true_or_false

Metadata: TypeAlias = dict[str, object]

_PARAM_TYPES: Final = {true_or_false: "BOOLEAN", **dict.fromkeys((positive, not_negative, number, ratio), "NUMBER")}
_ONCE: Final = "; a template takes one"


@dataclasses.dataclass(frozen=True)
class Template:
    """A command that a Flex Template starts.

    Attributes:
        parser: Returns the command's parser.
        title: What the console calls the template.
        description: What it does, in a sentence.
        required: Options without which the command would work on the launcher's own disk.
    """

    parser: Callable[[], argparse.ArgumentParser]
    title: str
    description: str
    required: Collection[str]


TEMPLATES: Final[Mapping[str, Template]] = {
    "extract": Template(
        parser=extract.parser,
        title="Extract image features",
        description="Image URIs in, a committed feature table out; takes what is new or changed since the last run.",
        required=("input", "output"),
    ),
}


def parser() -> Parser:
    """Returns the command's parser."""
    command = Parser.of_command("pipelines.template", __doc__)
    command.add_argument("command", choices=tuple(TEMPLATES), help="the command that the template starts")
    return command


def main(arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    print(template_text(TEMPLATES[parser().begin(arguments).command]), end="")
    return 0


def template_text(template: Template) -> str:
    """Returns the metadata of a template as the JSON file that Dataflow reads."""
    metadata: Metadata = {
        "name": template.title,
        "description": template.description,
        "streaming": False,
        "parameters": list(template_parameters(template.parser(), template.required)),
    }
    return json.dumps(metadata, indent=2, ensure_ascii=False) + "\n"


def template_parameters(command: argparse.ArgumentParser, required: Collection[str] = ()) -> Iterator[Metadata]:
    """Yields the parameters of a template that starts a command, one an option.

    Args:
        command: The command's parser.
        required: Options that the template asks for, though the command does not.

    Raises:
        ValueError: If the command has an argument that cannot be given as `--name=value`.
    """
    for action in command._actions:
        if isinstance(action, argparse._HelpAction) or _stands_for_option(command, action):
            continue
        if action.nargs == 0 or not action.option_strings:
            raise ValueError(f"A template cannot give {action.dest}: it is no option with a value.")
        name = action.option_strings[0].removeprefix("--")
        yield {
            "name": name,
            "label": name.replace("_", " ").capitalize(),
            "helpText": (action.help or "").replace("; may be given several times", _ONCE),
            "isOptional": not action.required and name not in required,
            **_values(action),
        }


def _stands_for_option(command: argparse.ArgumentParser, action: argparse.Action) -> bool:
    """Whether an argument that stands without an option can be given by one as well."""
    return not action.option_strings and any(
        other.dest == action.dest and other.option_strings for other in command._actions
    )


def _values(action: argparse.Action) -> Metadata:
    """Returns what a parameter says of its values: those of a choice, or the pattern of the option's type."""
    if action.choices is not None:
        choices = [str(choice) for choice in action.choices]
        return {
            "paramType": "ENUM",
            "regexes": [_whole("|".join(choices))],
            "enumOptions": [{"value": choice, "label": choice} for choice in choices],
        }
    if isinstance(action.type, OptionType):
        return {"paramType": _PARAM_TYPES.get(action.type, "TEXT"), "regexes": [_whole(action.type.pattern)]}
    return {"paramType": "TEXT"}


def _whole(pattern: str) -> str:
    return f"^({pattern})$"


if __name__ == "__main__":
    run_main(main)
