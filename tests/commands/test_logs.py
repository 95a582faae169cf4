"""What is logged and printed as JSON: each line is a record, and says what run it is about."""

import datetime
import json
from pathlib import Path

import pytest

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


def test_what_is_wrong_with_a_command_line_is_a_record_too(run: Run) -> None:
    done = run("extract", "--log-format=json", "--conv_bass=VGG16")
    assert done.returncode == 2
    (record,) = records(done.stderr)
    assert record["severity"] == "ERROR"
    assert str(record["message"]).startswith("Neither this command nor Beam knows the argument '--conv_bass=VGG16'")


@pytest.mark.parametrize("form", ["yaml", "JSON"])
def test_other_formats_are_refused(form: str, run: Run) -> None:
    done = run("extract", f"--log_format={form}")
    assert done.returncode == 2
    assert done.stderr.startswith("error: Argument --log_format: invalid choice")
