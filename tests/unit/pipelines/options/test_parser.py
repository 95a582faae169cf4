"""A command line is read as people write it: dashes, inputs that stand alone, help with what is used first."""

import importlib
import re

import pytest

from pipelines import extract
from pipelines.__main__ import COMMANDS, overview, what_it_does
from pipelines.options import Parser
from schemas.errors import UsageError


def parser_of(name: str) -> Parser:
    return importlib.import_module(f"pipelines.{name}").parser()


def options_in(text: str) -> set[str]:
    return set(re.findall(r"^  (?:-h, )?--([a-z0-9_]+)", text, flags=re.M))


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in {"index", "maintain", "template"}])
def test_help_begins_with_what_the_command_does_and_with_the_options_that_are_used_first(name: str) -> None:
    command = parser_of(name)
    text = command.format_help()
    assert text.splitlines()[2].lower() == what_it_does(name).lower()
    shown, every = options_in(text), options_in(command.format_help(every_option=True))
    assert command._first <= {action.dest for action in command._actions if not action.option_strings} | shown
    assert len(shown) <= 11
    known = {action.option_strings[0][2:] for action in command._actions if action.option_strings}
    assert every == known - {""} | {"help"} - {""}
    assert f"{len(every - shown - {'help', 'help_all'})} more options" in text


def test_help_all_shows_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        extract.main(["--help-all"])
    assert ended.value.code == 0
    assert {"input", "decode_memory", "help_all"} <= options_in(capsys.readouterr().out)


def test_names_of_options_may_have_dashes() -> None:
    given = extract.parser().parse_args(["--labels-from=parent", "--conv-base", "VGG16", "--input=a-b"])
    assert (given.labels_from, given.conv_base, given.input) == ("parent", "VGG16", ["a-b"])
    assert parser_of("finetune").parse_args(
        ["--model=m", "--output=o", "--unfreeze-from=layer-1", "--no-augment"]
    ).augment is False  # fmt: skip


def test_inputs_may_stand_without_an_option() -> None:
    for line in ("a b --output=s", "--output s a b", "--input=a b --output=s"):
        given = extract.parser().parse_args(line.split())
        assert (given.input, given.output) == (["a", "b"], "s"), line
    assert extract.parser().parse_args([]).input is None
    given = extract.parser().parse_args(["--dry-run", "a", "--update_labels", "false", "--include_hidden"])
    assert (given.input, given.dry_run, given.update_labels, given.include_hidden) == (["a"], True, False, True)


def test_the_value_of_an_option_of_beams_is_no_input() -> None:
    given, rest = extract.parser().parse_known_args(
        ["a", "--runner", "FlinkRunner", "--streaming", "--flink-master", "x"]
    )
    assert (given.input, rest) == (["a"], ["--runner=FlinkRunner", "--streaming", "--flink_master=x"])


def test_beams_own_complaint_is_one_sentence() -> None:
    with pytest.raises(UsageError, match=r"Beam takes no such option: .*direct_num_workers"):
        extract.main(["--direct_num_workers=many"])


def test_every_command_is_listed_with_a_sentence() -> None:
    lines = list(overview())
    for name in COMMANDS:
        assert what_it_does(name).endswith(".")
        assert f"  {name:<10} {what_it_does(name)}" in lines
