"""What is logged and printed as JSON: each line is a record, and says what run it is about."""

import datetime
import importlib
import json
from pathlib import Path

import pytest

from pipelines.__main__ import COMMANDS
from tests.conftest import SMALL_BASE, Run, write_pictures

DAY = "2024-03-01"


def records(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_every_line_of_an_extraction_is_a_record_of_its_run(run: Run, tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures", 3)
    (tmp_path / "pictures" / "page.jpg").write_bytes(b"<html>")
    done = run(
        "extract", "--input=pictures", "--output=store", "--run_id=night", f"--ds={DAY}", "--log_format=json",
        "--max_failure_ratio=0.5", *SMALL_BASE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    begins, ends = records(done.stderr)
    assert (begins["event"], begins["message"]) == ("run_begins", f"Run night of {DAY} begins.")
    assert (ends["event"], ends["state"], ends["severity"]) == ("run_ends", "complete", "INFO")
    assert (ends["listed"], ends["extracted"], ends["failed"]) == (4, 3, 1)
    assert ends["failures_by_code"] == {"not_an_image": 1}
    printed = records(done.stdout)
    assert any("Run night is complete." in str(record["message"]) for record in printed)
    for record in [begins, ends, *printed[-1:]]:
        assert (record["run_id"], record["ds"]) == ("night", DAY)
        assert str(record["store"]).endswith("/store")
        moment = datetime.datetime.fromisoformat(str(record["time"]))
        assert record["timestamp"] == {"seconds": int(moment.timestamp()), "nanos": moment.microsecond * 1000}


def test_a_run_that_fails_ends_with_records_of_its_error(run: Run, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "page.jpg").write_bytes(b"<html>")
    done = run(
        "extract", "--input=pictures", "--output=store", "--run_id=night", "--log_format=json", *SMALL_BASE,
    )  # fmt: skip
    assert done.returncode == 1
    *_, logged, said = records(done.stderr)
    assert (logged["event"], logged["state"], logged["severity"]) == ("run_ends", "failed", "ERROR")
    assert (said["severity"], said["run_id"]) == ("ERROR", "night")
    # The sentence and the pictures below it are one record.
    assert str(said["message"]).startswith("1 of 1 images failed")
    assert "not_an_image" in str(said["message"])


def test_a_download_of_weights_writes_no_line_of_its_own(run: Run, tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures", 1)
    done = run(
        "extract", "--input=pictures", "--output=store", "--conv_base=MobileNet", "--log_format=json",
        HOME=str(tmp_path), https_proxy="http://127.0.0.1:9",
    )  # fmt: skip
    assert done.returncode == 2
    assert records(done.stdout) == []
    assert "weights cannot be downloaded" in str(records(done.stderr)[-1]["message"])


def test_every_line_of_commands_that_make_no_run_is_a_record_of_their_folder(run: Run, tmp_path: Path) -> None:
    for number, name in enumerate(("discs", "squares")):
        write_pictures(tmp_path / "pictures" / name, 6, seed=number)
    images = ("--input=pictures", "--labels_from=parent")
    done = run("extract", *images, "--output=store", "--layers=conv_pw_3_relu", *SMALL_BASE)
    assert done.returncode == 0, done.stderr
    model = ("--model=model", *images, "--test_fraction=0", "--validation_fraction=0.5")
    for command, folder, *arguments in (
        ("train", "model", "--features=store", "--test_fraction=0", "--validation_fraction=0.5"),
        ("finetune", "tuned", *model, "--epochs=1", "--unfreeze_from=conv_pw_3", "--untrained_head"),
        ("maintain compact", "store"),
    ):
        name, *sub = command.split()
        told = [*sub, f"--output={folder}"] if not sub else [folder, *sub]
        done = run(name, *told, *arguments, "--log_format=json")
        assert done.returncode == 0, done.stderr
        logged, printed = records(done.stderr), records(done.stdout)
        begins, ends = (record for record in logged if "event" in record)
        assert (begins["event"], begins["command"]) == ("command_begins", command)
        assert (ends["event"], ends["command"], ends["state"]) == ("command_ends", command, "complete")
        assert float(str(ends["seconds"])) > 0
        assert printed
        assert all(str(record["store"]).endswith(folder) for record in [begins, ends, *printed]), command
        if name != "maintain":
            assert len(str(ends["model_id"])) == 16
            assert int(str(ends["train_images"])) + int(str(ends["validation_images"])) == 12
    done = run("inspect", "store", "--freshness=26h", "--log_format=json")
    assert [str(record["message"])[:19] for record in records(done.stdout)] == ["The last images, 12"]
    assert (done.returncode, done.stderr) == (0, "")


def test_a_command_that_fails_ends_with_records_of_its_error(run: Run, tmp_path: Path) -> None:
    done = run("train", "--features=nowhere", "--output=model", "--log_format", "json")
    assert (done.returncode, done.stdout) == (2, "")
    begins, ends, said = records(done.stderr)
    assert (begins["event"], ends["event"], ends["state"]) == ("command_begins", "command_ends", "failed")
    assert (said["severity"], said["store"]) == ("ERROR", "model")


@pytest.mark.parametrize("name", [*COMMANDS, "runners.cancel", "runners.worker_pool"])
def test_every_command_has_the_options_of_logs(name: str) -> None:
    options = importlib.import_module(f"pipelines.{name}").parser()._option_string_actions
    assert {"--log_level", "--log_format"} <= options.keys()


def test_subcommands_take_them_on_either_side() -> None:
    parser = importlib.import_module("pipelines.maintain").parser()
    for line in ("--log_format=json store history", "store history --log_format=json"):
        given = parser.parse_args(line.split())
        assert (given.log_format, given.log_level) == ("json", "warning")


@pytest.mark.parametrize("form", [("--log-format=json",), ("--log_format", "json")])
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("--conv_bass=VGG16", "Neither this command nor Beam knows the argument '--conv_bass=VGG16'"),
        ("--shard_size=none", "Argument --shard_size: "),
    ],
)
def test_what_is_wrong_with_a_command_line_is_a_record_too(
    wrong: str, said: str, form: tuple[str, ...], run: Run
) -> None:
    done = run("extract", *form, wrong)
    assert done.returncode == 2
    (record,) = records(done.stderr)
    assert record["severity"] == "ERROR"
    assert str(record["message"]).startswith(said)


@pytest.mark.parametrize("form", ["yaml", "JSON"])
def test_other_formats_are_refused(form: str, run: Run) -> None:
    done = run("extract", f"--log_format={form}")
    assert done.returncode == 2
    assert done.stderr.startswith("error: Argument --log_format: invalid choice")
