"""A template says of every option what the command says, and lets through what the command takes."""

import argparse
import json
import re
from typing import Any

import pytest

from pipelines import extract, inspect, predict, train
from pipelines.options import OptionType, Parser, ratio, true_or_false
from pipelines.options.types import add_flag
from pipelines.template import TEMPLATES, main, template_parameters, template_text
from schemas.errors import UsageError
from tests.conftest import REPOSITORY

# `ParameterMetadata` and `ParameterType` of Dataflow's API, v1b3.
KEYS = {"name", "label", "helpText", "isOptional", "paramType", "regexes", "enumOptions"}
TYPES = {"TEXT", "NUMBER", "BOOLEAN", "ENUM"}
TEXTS = (
    "", "0", "1", "8", "007", "-1", "1.5", "0.5", ".5", "1.", "1e-3", "nan", "inf", "true", "False", "TRUE", "yes",
    "a", "a,b", "a,", ",a", "a b", "a/b", "a=b", "a=", "=b", "a=b=c", "224,224,3", "224,x,3", "2026-01-31",
    "2026-1-31", "2026-02-30", "20260131", "parent", "stat", "none", "all", "debug", "a\nb",
)  # fmt: skip
COMMANDS = {"extract": extract.parser, "predict": predict.parser, "train": train.parser}


def is_option(action: argparse.Action) -> bool:
    return bool(action.option_strings) and not isinstance(action, argparse._HelpAction)


def options(command: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    return {action.option_strings[0][2:]: action for action in command._actions if is_option(action)}


def parameters(command: str) -> dict[str, dict[str, Any]]:
    return {str(parameter["name"]): parameter for parameter in template_parameters(COMMANDS[command]())}


def taken(action: argparse.Action, text: str) -> bool:
    """Whether a command with this option alone takes the text."""
    command = Parser("test", "")
    command._add_action(action)
    try:
        command.parse_args([f"{action.option_strings[0]}={text}"])
    except UsageError:
        return False
    return True


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_committed_file_is_that_of_the_code(name: str) -> None:
    committed = (REPOSITORY / "infra" / "dataflow" / f"{name}-template.json").read_text()
    assert committed == template_text(TEMPLATES[name]), "run `make template`"


def test_the_command_prints_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["extract"]) == 0
    assert capsys.readouterr().out == template_text(TEMPLATES["extract"])


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_a_parameter_with_its_help(command: str) -> None:
    actions, found = options(COMMANDS[command]()), parameters(command)
    assert list(found) == list(actions)
    for name, parameter in found.items():
        assert parameter.keys() <= KEYS
        assert parameter["paramType"] in TYPES
        assert parameter["label"]
        assert parameter["helpText"] == (actions[name].help or "").replace(
            "may be given several times", "a template takes one"
        )
        assert parameter["isOptional"] is not actions[name].required


@pytest.mark.parametrize("command", COMMANDS)
def test_choices_are_listed(command: str) -> None:
    actions, found = options(COMMANDS[command]()), parameters(command)
    listed = {
        name: [option["value"] for option in of["enumOptions"]] for name, of in found.items() if "enumOptions" in of
    }
    assert listed == {name: list(map(str, action.choices)) for name, action in actions.items() if action.choices}
    assert all(re.fullmatch("[A-Za-z0-9_]+", choice) for choices in listed.values() for choice in choices)


@pytest.mark.parametrize(
    ("command", "name"),
    [(command, name) for command in ("extract", "predict") for name in options(COMMANDS[command]())],
)
def test_a_template_lets_through_what_the_command_takes(command: str, name: str) -> None:
    action, patterns = options(COMMANDS[command]())[name], parameters(command)[name].get("regexes", [])
    let_through = {text for text in TEXTS if all(re.search(pattern, text) for pattern in patterns)}
    taken_texts = {text for text in TEXTS if taken(action, text)}
    assert taken_texts <= let_through
    above_one = {"8", "007", "1.5", "20260131"} if action.type is ratio else set()
    beyond_patterns = {"ds": {"2026-02-30"}, "formats": let_through, "allowed_sources": let_through}.get(
        name, above_one
    )
    if patterns:
        assert let_through - taken_texts <= beyond_patterns


def test_patterns_are_extended_regular_expressions_of_posix() -> None:
    types = {action.type for command in COMMANDS.values() for action in options(command()).values()}
    patterns = [kind.pattern for kind in types if isinstance(kind, OptionType)]
    assert len(patterns) >= 8
    for pattern in patterns:
        assert not re.search(r"\\[^.]|\(\?|[*+?}][?+]", pattern), pattern


def test_every_type_of_the_extraction_has_a_pattern() -> None:
    kinds = [action.type for action in options(extract.parser()).values() if action.type is not None]
    assert all(isinstance(kind, OptionType) for kind in kinds)


def test_a_template_asks_for_its_input_and_its_store() -> None:
    asked = json.loads(template_text(TEMPLATES["extract"]))["parameters"]
    assert [parameter["name"] for parameter in asked if not parameter["isOptional"]] == ["input", "output"]


def test_a_flag_is_given_alone_or_with_a_value() -> None:
    command = Parser("test", "")
    add_flag(command, "--flag", "does something", default=False)
    given = [command.parse_args(arguments).flag for arguments in ([], ["--flag"], ["--flag=true"], ["--flag=false"])]
    assert given == [False, True, True, False]
    (parameter,) = template_parameters(command)
    assert (parameter["paramType"], parameter["regexes"]) == ("BOOLEAN", [f"^({true_or_false.pattern})$"])


def test_what_a_template_cannot_give_is_refused() -> None:
    with pytest.raises(ValueError, match="A template cannot give store"):
        list(template_parameters(inspect.parser()))
    command = Parser("test", "")
    command.add_argument("--switch", action="store_true")
    with pytest.raises(ValueError, match="A template cannot give switch"):
        list(template_parameters(command))
