"""A function takes what its command takes: the same names, types and defaults, checked by the same parser."""

import datetime
import inspect
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipelines import explore, extract, finetune, measure, predict, search, train
from pipelines.functions import arguments_of, signature_of
from schemas.errors import UsageError

FUNCTIONS = {
    "extract": extract,
    "train": train,
    "finetune": finetune,
    "predict": predict,
    "measure": measure,
    "explore": explore,
    "search": search,
}
# What a command cannot do without.
NEEDED: Mapping[str, Mapping[str, object]] = {
    "extract": {},
    "train": {"features": "store", "output": "model"},
    "finetune": {"model": "model", "output": "tuned", "unfreeze_from": "block5_conv1"},
    "predict": {"model": "model", "output": "predictions"},
    "measure": {},
    "explore": {"store": "store"},
    "search": {"store": "store", "uri": "a.jpg"},
}


def parsed(name: str, *positional: object, **options: object) -> dict[str, Any]:
    parser = FUNCTIONS[name].parser()
    return vars(parser.parse_args(arguments_of(parser, positional, options)))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_options_of_a_command_are_the_arguments_of_its_function(name: str) -> None:
    actions = {
        (action.option_strings or [action.dest])[0].removeprefix("--"): action
        for action in FUNCTIONS[name].parser()._actions
        if "--help" not in "".join(action.option_strings)
    }
    parameters = inspect.signature(FUNCTIONS[name]).parameters
    assert parameters.keys() == actions.keys()
    for option, parameter in parameters.items():
        needed = parameter.default is inspect.Parameter.empty
        assert needed == (option in NEEDED[name] and option != "uri"), option
        assert needed or parameter.default == actions[option].default


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_default_that_is_given_is_as_good_as_none(name: str) -> None:
    parameters = signature_of(FUNCTIONS[name].parser()).parameters
    defaults = {
        option: parameter.default
        for option, parameter in parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }
    assert parsed(name, **{**defaults, **NEEDED[name]}) == parsed(name, **NEEDED[name])


def test_types_are_those_that_the_options_read() -> None:
    found = {name: parameter.annotation for name, parameter in inspect.signature(extract).parameters.items()}
    assert (found["shard_size"], found["max_failure_ratio"], found["update_labels"]) == (int, float, bool)
    assert (found["ds"], found["output"], found["conv_base"]) == (datetime.date, str, str)
    assert set(typing.get_args(found["pooling"])) == {"avg", "max", "none"}
    assert str in typing.get_args(found["input"])
    assert inspect.signature(train).parameters["overwrite"].annotation is bool


VALUES = {
    "one input": ({"input": "photos"}, ["photos"]),
    "a path": ({"input": Path("photos")}, ["photos"]),
    "several inputs": ({"input": ["a", Path("b")]}, ["a", "b"]),
    "words": ({"layers": ("a", "b")}, ("a", "b")),
    "words in one text": ({"layers": "a,b"}, ("a", "b")),
    "a shape": ({"input_shape": (32, 32, 3)}, (32, 32, 3)),
    "NAME=VALUE": ({"conv_base_arg": {"alpha": 0.25, "include": True}}, [("alpha", 0.25), ("include", True)]),
    "true": ({"dry_run": True}, True),
    "false": ({"update_labels": False}, False),
    "a date": ({"ds": datetime.date(2026, 1, 31)}, datetime.date(2026, 1, 31)),
    "a time span": ({"time_budget": datetime.timedelta(minutes=30)}, datetime.timedelta(minutes=30)),
    "a number": ({"max_failure_ratio": 0.25}, 0.25),
    "nothing": ({"pooling": None}, None),
}  # fmt: skip


@pytest.mark.parametrize("case", VALUES)
def test_values_of_python_are_values_of_options(case: str) -> None:
    options, expected = VALUES[case]
    (name,) = options
    assert parsed("extract", **options)[name] == expected


def test_a_switch_is_given_or_not_and_pairs_are_pairs() -> None:
    found = parsed("explore", "store", compare=("ds=2026-01-01", "ds=2026-01-02"))
    assert (found["store"], found["compare"]) == ("store", ["ds=2026-01-01", "ds=2026-01-02"])
    assert parsed("train", features=["a", "b"], output="m", sweep={"hidden": [0, 64]})["sweep"] == ["hidden=0,64"]


def test_what_stands_without_a_name_is_what_stands_without_an_option() -> None:
    assert parsed("extract", "photos", output="store")["input"] == ["photos"]
    assert parsed("extract", ["a", "b"])["input"] == ["a", "b"]
    assert parsed("search", "store", image="a.jpg")["store"] == "store"


WRONG = {
    "no such option": (("photos",), {"outptu": "store"}, "Unrecognized arguments: --outptu=store"),
    "no such value": ((), {"pooling": "min"}, "invalid choice: 'min'"),
    "not in range": ((), {"max_failure_ratio": 3}, "'3' is not between 0 and 1"),
    "no input at all": ((), {"input": []}, "'input' names nothing"),
    "given twice": (("a",), {"input": "b"}, "'input' is given twice"),
    "too many": (("a", "b"), {}, "2 arguments stand without a name"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_as_the_command_says_it(case: str) -> None:
    positional, options, sentence = WRONG[case]
    with pytest.raises(UsageError, match=sentence):
        parsed("extract", *positional, **options)
