"""Records of logs, as text and as JSON."""

import datetime
import json
import logging
from collections.abc import Iterator

import pytest

from pipelines.monitoring import (
    JsonHandler,
    TextFormatter,
    log_begin,
    log_row,
    printed_record,
    set_subject,
    subject_prefix,
)

ROW = {
    "run_id": "night", "state": "complete", "listed": 1200, "skipped": 100, "extracted": 1090, "failed": 10,
    "seconds": 61.25, "failures_by_code": '{"not_an_image": 10}', "adopted": None,
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_subject() -> Iterator[None]:
    set_subject()
    yield
    set_subject()


def test_text_names_the_run_and_is_one_line_that_no_terminal_obeys() -> None:
    record = logging.LogRecord("a.b", logging.WARNING, "", 0, "bad\x1b[2J\nname", (), None)
    assert TextFormatter().format(record) == "WARNING a.b: bad\\x1b[2J\\nname"
    set_subject("night")
    assert subject_prefix() == "night: "
    record = logging.LogRecord("a.b", logging.WARNING, "", 0, "read %s", ("https://h/a?sig=x",), None)
    assert TextFormatter().format(record).startswith("WARNING a.b: night: read https://h/a")
    assert "sig=x" not in TextFormatter().format(record)


def test_the_beginning_and_the_end_of_a_run_are_one_record_each(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "convbase.runs"):
        log_begin("night", datetime.date(2024, 3, 1), "gs://bucket/store")
        log_row(ROW)
    assert [record.getMessage() for record in caplog.records] == [
        "Run night of 2024-03-01 begins.",
        "Run night is complete: 1,200 listed, 100 skipped, 1,090 extracted, 10 failed, in 61.2 s.",
    ]
    figures = vars(caplog.records[1])["figures"]
    assert (figures["event"], figures["failures_by_code"], "adopted" in figures) == (
        "run_ends", {"not_an_image": 10}, False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "is_error", "severity", "message"),
    [
        ("error: No such store.", True, "ERROR", "No such store."),
        ("warning: The file could not be written.", True, "WARNING", "The file could not be written."),
        ("30 s: 5 of 10 images", True, "INFO", "30 s: 5 of 10 images"),
        ("Traceback (most recent call last):\n  File", True, "CRITICAL", "Traceback (most recent call last):\n  File"),
        ("error: is what a picture is called", False, "INFO", "error: is what a picture is called"),
    ],
)
def test_what_is_printed_has_the_severity_that_it_says(text: str, is_error: bool, severity: str, message: str) -> None:
    set_subject("night", datetime.date(2024, 3, 1), "s3://bucket/store")
    record = json.loads(printed_record(text, is_error=is_error))
    assert (record["severity"], record["message"]) == (severity, message)
    assert (record["run_id"], record["ds"], record["store"]) == ("night", "2024-03-01", "s3://bucket/store")
    assert record["time"].endswith("Z")


def test_a_record_that_cannot_be_written_ends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    JsonHandler().handle(logging.LogRecord("a.b", logging.WARNING, "", 0, "%d images", ("many",), None))
    assert "--- Logging error ---" in capsys.readouterr().err
