"""A backfill does each date once, names its result, and goes on where it stopped."""

import argparse
import datetime
import errno
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageOps

from pipelines import backfill as command
from pipelines import inspect, maintain
from pipelines.console import HEADS
from pipelines.dates import DatedRuns, asked_dates, check_templates, inputs_of
from pipelines.dates import backfill as dated_backfill
from pipelines.jobs import job as job_module
from schemas.delta import Scan, paths_of
from schemas.errors import ConvbaseError, DriftFound, ImagesMissing, RunFailed, RunStopped, UsageError
from schemas.fragments import TableName
from schemas.maintenance import TARGET_BYTES, compact
from schemas.store import FeatureStore, read_drift
from tests.conftest import SMALL_BASE, Run, extract, write_pictures
from tests.support.fragments import SPEC, contents, fragment
from transforms.extraction import shard
from transforms.planning import Snapshot

DAYS = tuple(datetime.date(2024, 3, day) for day in (1, 2, 3, 4))
YESTERDAY = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures of three dates, 3, 4 and 5 of them, in `uploads`."""
    for number, ds in enumerate(DAYS[:3]):
        write_pictures(tmp_path / "uploads" / str(ds), 3 + number, seed=number)
    return tmp_path


def backfill(folder: Path, *arguments: str, start: int = 0, end: int = 2) -> dict[str, dict[str, Any]]:
    """Runs a backfill in this process and returns what its summary says by date; raises as the command does."""
    summary = folder / "summary.json"
    summary.unlink(missing_ok=True)
    try:
        code = command.main(
            [
                f"--input={folder}/uploads/{{ds}}/", f"--output={folder}/store", f"--start={DAYS[start]}",
                f"--end={DAYS[end]}", f"--summary={summary}", "--runner=DirectRunner", *SMALL_BASE, *arguments,
            ]
        )  # fmt: skip
        assert code == 0
    finally:
        reported = json.loads(summary.read_text()) if summary.exists() else []
        (folder / "states.txt").write_text(" ".join(date["state"] for date in reported))
    return {date["ds"]: date for date in reported}


def states(folder: Path) -> str:
    """What became of each date in the last backfill, by date."""
    return (folder / "states.txt").read_text()


def rows(folder: Path) -> list[dict[str, Any]]:
    columns = ["uri", "ds", "run_id", "conv_pw_13_relu"]
    found = FeatureStore.open(f"{folder}/store").scan(columns).to_arrow().sort_by("uri").to_pylist()
    assert len({row["uri"] for row in found}) == len(found)
    return found


def runs(folder: Path) -> list[dict[str, Any]]:
    return Scan(FeatureStore.open(f"{folder}/store").runs()).to_arrow().sort_by("ended_at").to_pylist()


def new_images(reported: dict[str, dict[str, Any]]) -> list[int]:
    return [date["extracted"] for date in reported.values()]


def let_begin(monkeypatch: pytest.MonkeyPatch, shards: int) -> None:
    """Lets the time be up after a number of shards."""
    left = iter([True] * shards)
    monkeypatch.setattr(shard, "before_deadline", lambda _: next(left, False))


def test_each_date_is_a_run_and_a_partition(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert new_images(backfill(folder)) == [3, 4, 5]
    assert states(folder) == "complete complete complete"
    assert all(f"/{row['ds']}/" in row["uri"] for row in rows(folder))
    assert [run["ds"] for run in runs(folder)] == list(DAYS[:3])
    assert all(run["run_id"].startswith(f"backfill-{run['ds']}-1-") for run in runs(folder))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == HEADS
    assert [line.split()[:4] for line in lines[1:]] == [
        [str(ds), str(count), str(count), "0"] for ds, count in zip(DAYS[:3], (3, 4, 5), strict=True)
    ]


def test_complete_dates_are_skipped_and_late_images_found_by_looking_back(folder: Path) -> None:
    backfill(folder)
    for ds in DAYS[:3]:
        write_pictures(folder / "late", 1, seed=9)[0].rename(folder / "uploads" / str(ds) / "late.jpg")
    write_pictures(folder / "uploads" / str(DAYS[3]), 2, seed=8)
    assert backfill(folder)
    assert states(folder) == "skipped skipped skipped"
    reported = backfill(folder, "--lookback=2", start=3, end=3)
    assert list(reported) == [str(ds) for ds in DAYS[1:]]
    assert (new_images(reported), states(folder)) == ([1, 1, 2], "complete complete complete")
    assert not any(row["ds"] == DAYS[0] and row["uri"].endswith("late.jpg") for row in rows(folder))
    backfill(folder, "--lookback=2", start=3, end=3)
    assert states(folder) == "complete complete skipped", "the last date is no date that is looked back at"


def test_another_input_is_not_complete(folder: Path) -> None:
    backfill(folder, end=0)
    reported = backfill(folder, f"--input={folder}/more/{{ds}}/", end=0)
    assert states(folder) == "complete"
    assert (reported[str(DAYS[0])]["listed"], reported[str(DAYS[0])]["skipped"]) == (3, 3)


def test_a_date_without_images_is_empty_until_there_are_some(folder: Path) -> None:
    shutil.move(folder / "uploads" / str(DAYS[0]), folder / "away")
    (folder / "uploads" / str(DAYS[3])).mkdir()
    backfill(folder, end=3)
    assert states(folder) == "empty complete complete empty"
    shutil.move(folder / "away", folder / "uploads" / str(DAYS[0]))
    backfill(folder, end=3)
    assert states(folder) == "complete skipped skipped empty"
    assert len(rows(folder)) == 12


def test_no_store_is_made_where_every_date_is_empty(folder: Path) -> None:
    backfill(folder, start=3, end=3)
    assert states(folder) == "empty"
    assert not (folder / "store").exists()


def test_a_refresh_computes_every_image_of_its_date_again(folder: Path, submitted: list[int]) -> None:
    first = folder / "uploads" / str(DAYS[0])
    shutil.copy(first / "000.jpg", first / "copy.jpg")
    (first / "broken.jpg").touch()
    backfill(folder, "--max_failure_ratio=1")
    store = FeatureStore.open(f"{folder}/store")
    before = rows(folder)
    wrong = {row["uri"]: row for row in before}
    submitted.clear()
    reported = backfill(folder, "--refresh", "--max_failure_ratio=1", end=0)
    (date,) = reported.values()
    assert (date["extracted"], date["reused"], date["skipped"], date["failed"]) == (4, 0, 0, 1)
    assert sum(submitted) == 4
    after = rows(folder)
    assert len(after) == len(before) == 13
    for row in after:
        same = row["run_id"] == wrong[row["uri"]]["run_id"]
        assert same == (row["ds"] != DAYS[0])
        assert row["conv_pw_13_relu"] == wrong[row["uri"]]["conv_pw_13_relu"]
    assert store.features().count() == 13
    backfill(folder, end=0)
    assert states(folder) == "skipped"


def test_a_refresh_goes_on_with_its_own_work_and_with_no_other(
    folder: Path, submitted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = ("--shard_size=1", "--time_budget=1h")
    backfill(folder, end=0)
    write_pictures(folder / "late", 1, seed=9)[0].rename(folder / "uploads" / str(DAYS[0]) / "late.jpg")
    let_begin(monkeypatch, 1)
    write_pictures(folder / "late", 1, seed=10)[0].rename(folder / "uploads" / str(DAYS[0]) / "later.jpg")
    with pytest.raises(RunStopped):
        backfill(folder, "--lookback=1", *shards, start=1, end=1)
    let_begin(monkeypatch, 2)
    with pytest.raises(RunStopped):
        backfill(folder, "--refresh", *shards, end=0)
    assert states(folder) == "stopped"
    monkeypatch.undo()
    reported = backfill(folder, "--refresh", *shards, end=0)
    (date,) = reported.values()
    assert (date["extracted"], date["adopted"]) == (5, 2)
    assert {row["run_id"] for row in rows(folder)} >= {runs(folder)[-2]["run_id"], date["run_id"]}
    assert date["run_id"].startswith(f"backfill-{DAYS[0]}-refresh1-2-")
    reported = backfill(folder, "--refresh", *shards, end=0)
    (date,) = reported.values()
    assert (date["extracted"], date["adopted"]) == (5, 0)
    assert date["run_id"].startswith(f"backfill-{DAYS[0]}-refresh2-1-")


def test_the_dates_refreshed_longest_ago_come_first(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backfill(folder)
    backfill(folder, "--refresh", end=0)
    capsys.readouterr()
    backfill(folder, "--refresh", "--dry_run")
    backfill(folder, "--refresh", end=1)
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed if line.startswith("2024")] == [
        str(DAYS[number]) for number in (1, 2, 0, 1, 0)
    ]


def test_what_is_committed_anew_supersedes_what_was_compacted_meanwhile(tmp_path: Path) -> None:
    store = FeatureStore.create(str(tmp_path / "store"), SPEC)
    for rows_of_file in ({"a": 1.0, "b": 1.0}, {"c": 1.0}):
        written = fragment(store, rows_of_file)
        store.commit_fragments(TableName.FEATURES, str(rows_of_file), [written])
    planned_on = Snapshot.newest(store).versions
    refreshed = fragment(store, {"a": 2.0, "b": 2.0})
    compact(store.uri, TableName.FEATURES, TARGET_BYTES)
    for _ in range(2):
        store.commit_fragments(TableName.FEATURES, "refresh", [refreshed], planned_on, refresh=True)
    assert contents(store) == {("a", "1"): 2.0, ("b", "1"): 2.0, ("c", "1"): 1.0}


@pytest.fixture
def failing_second(folder: Path) -> Path:
    """The second date has too many bad images."""
    for number in range(4):
        (folder / "uploads" / str(DAYS[1]) / f"bad-{number}.jpg").touch()
    return folder


def test_a_date_that_fails_does_not_stop_the_others(failing_second: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = failing_second
    with pytest.raises(RunFailed, match=rf"^1 of 3 dates failed: {DAYS[1]}\.$"):
        backfill(folder)
    assert states(folder) == "complete failed complete"
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith(str(DAYS[1])))
    assert "failed: 4 of 8 images failed" in line
    assert {row["ds"] for row in rows(folder)} == {DAYS[0], DAYS[2]}
    backfill(folder, "--max_failure_ratio=0.5")
    assert states(folder) == "skipped complete skipped"


def test_an_input_that_cannot_be_read_fails_its_date(folder: Path) -> None:
    for number, text in ((0, "uri\n000.jpg\n"), (1, "name\nx\n")):
        (folder / "uploads" / str(DAYS[number]) / "images.csv").write_text(text)
    with pytest.raises(RunFailed, match="1 of 2 dates failed"):
        command.main(
            [
                f"--input={folder}/uploads/{{ds}}/images.csv", f"--output={folder}/store", f"--start={DAYS[0]}",
                f"--end={DAYS[1]}", *SMALL_BASE,
            ]
        )  # fmt: skip
    assert [(run["ds"], run["state"]) for run in runs(folder)] == [(DAYS[0], "complete")]


def test_a_fault_of_the_system_is_a_failed_run_in_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backfill(folder, end=0)
    work = job_module.extract

    def failing(job: job_module.Job) -> None:
        if job.run.ds == DAYS[1]:
            raise OSError(errno.ENOSPC, "No space left on device")
        work(job)

    monkeypatch.setattr(job_module, "extract", failing)
    with pytest.raises(RunFailed, match="1 of 3 dates failed"):
        backfill(folder)
    assert states(folder) == "skipped failed complete"
    (failed,) = [run for run in runs(folder) if run["state"] == "failed"]
    assert failed["ds"] == DAYS[1]
    assert "No space left on device" in failed["message"]
    monkeypatch.undo()
    reported = backfill(folder)
    assert reported[str(DAYS[1])]["run_id"].startswith(f"backfill-{DAYS[1]}-2-")


def test_a_time_budget_is_for_all_dates_and_the_next_backfill_goes_on(
    folder: Path, submitted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    backfill(folder, end=0)
    times: Iterator[bool] = iter([True, False])
    monkeypatch.setattr(dated_backfill, "before_deadline", lambda _: next(times))
    let_begin(monkeypatch, 1)
    submitted.clear()
    with pytest.raises(RunStopped, match=rf"2 of 3 dates left, {DAYS[1]} to {DAYS[2]}; the next backfill") as stopped:
        backfill(folder, "--time_budget=2h", "--shard_size=3")
    assert stopped.value.exit_code == 3
    assert states(folder) == "skipped stopped not begun"
    assert {row["ds"] for row in rows(folder)} == {DAYS[0]}
    begun = sum(submitted)
    assert 0 < begun < 4
    monkeypatch.undo()
    reported = backfill(folder, "--time_budget=2h")
    assert reported[str(DAYS[1])]["adopted"] == begun
    assert len(rows(folder)) == 12


def test_a_budget_that_is_used_up_begins_no_date(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    past = datetime.timedelta(seconds=-1)
    monkeypatch.setattr("pipelines.options.run.duration", lambda _: past)
    with pytest.raises(RunStopped):
        backfill(folder, "--time_budget=1s")
    assert states(folder) == "not begun not begun not begun"
    assert not (folder / "store").exists()


def test_a_failed_date_weighs_more_than_the_time(failing_second: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([True, True, False])
    monkeypatch.setattr(dated_backfill, "before_deadline", lambda _: next(times))
    with pytest.raises(RunFailed):
        backfill(failing_second, "--time_budget=2h")
    assert states(failing_second) == "complete failed not begun"


def dry_run(folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str, end: int = 2) -> list[str]:
    capsys.readouterr()
    backfill(folder, "--dry_run", *arguments, end=end)
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_a_dry_run_prices_the_dates(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = dry_run(folder, capsys, end=3)
    assert lines[0] == "Dry run; nothing is written."
    assert lines[2:] == [
        f"{DAYS[0]} 3 3 0 3,072 unknown to do",
        f"{DAYS[1]} 4 4 0 4,096 unknown to do",
        f"{DAYS[2]} 5 5 0 5,120 unknown to do",
        f"{DAYS[3]} - - - - - empty",
        "in all 12 12 0 12,288 unknown",
        "Time is unknown: no run of this store has computed anything yet; pipelines.measure would tell it.",
    ]
    assert not (folder / "store").exists()
    backfill(folder, end=0)
    (rate,) = [run["images_per_second"] for run in runs(folder)]
    lines = dry_run(folder, capsys)
    assert lines[2] == f"{DAYS[0]} - - - - - skipped"
    assert lines[3].split()[5] == str(datetime.timedelta(seconds=round(4 / rate)))
    assert lines[5] == f"in all 9 9 0 9,216 {datetime.timedelta(seconds=round(9 / rate))}"
    assert lines[6].startswith(f"Time at {rate:.1f} images/s")
    assert dry_run(folder, capsys, "--refresh", end=0)[2].startswith(f"{DAYS[0]} 3 3 0 3,072")
    assert len(runs(folder)) == 1


def test_a_date_whose_images_are_all_missing_fails_before_anything_is_computed(
    folder: Path, submitted: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    for ds, name in zip(DAYS[:2], ("gone", f"uploads/{DAYS[1]}/000"), strict=True):
        (folder / f"{ds}.txt").write_text(f"{name}.jpg\n")
    options = (f"--input={folder}/{{ds}}.txt", f"--output={folder}/store", f"--start={DAYS[0]}", f"--end={DAYS[1]}")
    with pytest.raises(RunFailed, match=f"1 of 2 dates failed: {DAYS[0]}"):
        command.main([*options, "--runner=DirectRunner", *SMALL_BASE])
    assert "Its image is missing in the manifest" in capsys.readouterr().out
    assert submitted == [1]
    assert len(rows(folder)) == 1


def test_an_input_without_a_date_is_of_one_date(folder: Path) -> None:
    options = (f"--input={folder}/uploads", f"--output={folder}/store", f"--end={DAYS[2]}")
    assert command.main([*options, *SMALL_BASE]) == 0
    assert [row["ds"] for row in rows(folder)] == [DAYS[2]] * 12
    with pytest.raises(UsageError, match=r"has no \{ds\} in it, and there are 3 dates, 2024-03-01 to 2024-03-03"):
        command.main([*options, f"--start={DAYS[0]}"])
    with pytest.raises(UsageError, match=r"has no \{ds\} in it, and there are 2 dates"):
        command.main([*options, "--lookback=1"])


def test_retrying_failures_is_up_to_the_option(folder: Path) -> None:
    (folder / "uploads" / str(DAYS[0]) / "bad.jpg").touch()
    lenient = ("--max_failure_ratio=1", "--lookback=1")
    backfill(folder, *lenient, end=0)
    for retry, failed in (("transient", 0), ("all", 1), ("none", 0)):
        reported = backfill(folder, *lenient, f"--retry_failures={retry}", start=1, end=1)
        assert reported[str(DAYS[0])]["failed"] == failed


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--start=2024-03-02", "--end=2024-03-01"), r"^--start=2024-03-02 is after --end=2024-03-01\.$"),
        (("--end=2999-01-01",), r"^2999-01-01 is in the future; in UTC it is "),
        (("--end=2024-02-30",), "'2024-02-30' is not a date as 2026-01-31"),
        (("--input=up/{date}/",), r"^--input=up/\{date\}/ has \{date\} in it; the date is \{ds\}"),
        (("--input=up/{{ ds }}/",), r"has \{\{ ds \}\} in it"),
        (("--input=up/{DS}/",), r"has \{DS\} in it"),
        (("--lookback=-1",), "is not a whole number above 0"),
        (("--ds=2024-03-01",), "knows the argument '--ds=2024-03-01'"),
        (("--run_id=mine",), "knows the argument '--run_id=mine'"),
    ],
)
def test_what_is_wrong_is_said_before_any_work(arguments: Sequence[str], sentence: str, tmp_path: Path) -> None:
    given = [f"--input={tmp_path}/{{ds}}/", f"--output={tmp_path}/store", *arguments]
    with pytest.raises(UsageError, match=sentence):
        command.main(given)
    assert not list(tmp_path.iterdir())


def test_an_input_has_to_be_given() -> None:
    with pytest.raises(UsageError, match="Say where the images of a date are"):
        command.main([])


def test_another_spec_is_refused_before_any_date(folder: Path) -> None:
    backfill(folder, end=0)
    with pytest.raises(ConvbaseError, match="another spec") as refused:
        backfill(folder, "--pooling=max")
    assert refused.value.exit_code == 2


def test_the_default_is_yesterday() -> None:
    assert asked_dates(argparse.Namespace(start=None, end=None)) == [YESTERDAY]
    assert asked_dates(argparse.Namespace(start=None, end=DAYS[1])) == [DAYS[1]]
    assert asked_dates(argparse.Namespace(start=DAYS[0], end=DAYS[2])) == list(DAYS[:3])
    assert asked_dates(argparse.Namespace(start=YESTERDAY, end=None)) == [YESTERDAY]


@pytest.mark.parametrize(
    ("template", "of_date"),
    [
        ("gs://bucket/uploads/{ds}/", "gs://bucket/uploads/2024-03-01/"),
        ("up/{ds:%Y/%m/%d}/*.jpg", "up/2024/03/01/*.jpg"),
        ("{ds}/{ds}.csv", "2024-03-01/2024-03-01.csv"),
        ("up/{ds}/*.{jpg,png}", "up/2024-03-01/*.{jpg,png}"),
        ("plain", "plain"),
    ],
)
def test_a_template_names_the_date(template: str, of_date: str) -> None:
    check_templates([template], DAYS[:1])
    assert inputs_of([template], DAYS[0]) == [of_date]


def past(started_at: datetime.date, state: str = "complete", run_id: str = "backfill-2024-03-01-1-ab12") -> DatedRuns:
    moment = datetime.datetime.combine(started_at, datetime.time(2), datetime.UTC)
    options = json.dumps({"input": ["s3://bucket/2024-03-01"], "extensions": ["jpg"]})
    row = {"run_id": run_id, "ds": DAYS[0], "state": state, "started_at": moment, "ended_at": moment}
    return DatedRuns([{**row, "options": options}])


@pytest.mark.parametrize(
    ("runs_before", "inputs", "complete"),
    [
        (past(DAYS[1]), ["s3://bucket/2024-03-01"], True),
        (past(DAYS[1]), ["s3://name:secret@bucket/2024-03-01"], True),
        (past(DAYS[1]), ["s3://bucket/2024-03-01", "s3://other/2024-03-01"], False),
        (past(DAYS[0]), ["s3://bucket/2024-03-01"], False),
        (past(DAYS[1], state="stopped"), ["s3://bucket/2024-03-01"], False),
        (past(DAYS[1], run_id="20240302T020000-ab12cd34"), ["s3://bucket/2024-03-01"], False),
        (past(DAYS[1], run_id="backfill-2024-03-01-refresh1-1-ab12"), ["s3://bucket/2024-03-01"], True),
        (DatedRuns(), ["s3://bucket/2024-03-01"], False),
    ],
)
def test_a_date_is_complete_when_a_backfill_of_it_is_that_began_after_it(
    runs_before: DatedRuns, inputs: list[str], complete: bool
) -> None:
    assert runs_before.is_complete(DAYS[0], inputs, ("jpg",)) == complete
    assert not runs_before.is_complete(DAYS[1], inputs, ("jpg",))
    assert not runs_before.is_complete(DAYS[0], inputs, ("png",))


def test_an_extraction_of_the_same_date_makes_it_not_complete(folder: Path) -> None:
    ds = DAYS[0]
    extract(f"--input={folder}/uploads/{ds}", f"--output={folder}/store", f"--ds={ds}", *SMALL_BASE)
    reported = backfill(folder, end=0)
    assert (states(folder), reported[str(ds)]["skipped"]) == ("complete", 3)


def test_the_command_exits_with_its_code(run: Run, tmp_path: Path) -> None:
    assert run("backfill", "--help").returncode == 0
    done = run("backfill", f"--input={tmp_path}/{{ds}}/", f"--output={tmp_path}/store")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1].split() == [str(YESTERDAY), "-", "-", "-", "-", "-", "empty"]
    (tmp_path / str(YESTERDAY)).mkdir()
    (tmp_path / f"{YESTERDAY}" / "images.csv").write_text("name\n")
    done = run("backfill", f"--input={tmp_path}/{{ds}}/images.csv", f"--output={tmp_path}/store")
    assert done.returncode == 1
    assert done.stderr == f"error: 1 of 1 dates failed: {YESTERDAY}.\n"


def test_a_date_whose_rows_were_restored_away_is_done_again(folder: Path) -> None:
    backfill(folder)
    before = rows(folder)
    maintain.main([f"{folder}/store", "restore", "--table_version=1"])
    assert len(rows(folder)) == 3
    reported = backfill(folder)
    assert [reported[str(ds)]["extracted"] for ds in DAYS[1:3]] == [4, 5]
    assert states(folder) == "skipped complete complete"
    assert [row["uri"] for row in rows(folder)] == [row["uri"] for row in before]
    backfill(folder)
    assert states(folder) == "skipped skipped skipped"


def test_a_date_whose_rows_a_repair_has_taken_out_is_done_again(folder: Path) -> None:
    backfill(folder)
    store = FeatureStore.open(f"{folder}/store")
    (damaged,) = (path for path in paths_of(store.features()) if str(DAYS[1]) in path)
    (folder / "store" / "features" / damaged).write_bytes(b"")
    maintain.main([f"{folder}/store", "check", "--repair"])
    assert len(rows(folder)) == 8
    assert new_images(backfill(folder)) == [0, 4, 0]
    assert states(folder) == "complete complete complete", "any of them may have had rows in the file"
    assert len(rows(folder)) == 12
    backfill(folder)
    assert states(folder) == "skipped skipped skipped"


def test_a_date_of_which_images_were_taken_down_is_complete(folder: Path) -> None:
    backfill(folder)
    (folder / "gone.txt").write_text(f"{folder}/uploads/{DAYS[1]}/000.jpg\n")
    maintain.main([f"{folder}/store", "takedown", f"--uris={folder}/gone.txt"])
    backfill(folder)
    assert (states(folder), len(rows(folder))) == ("skipped skipped skipped", 11)


def test_a_date_that_fails_after_its_commit_has_a_row_that_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The storage fails when the run writes its row, and is well again afterwards."""
    with monkeypatch.context() as patch:
        record = FeatureStore.record_run

        def fails(*_: object) -> None:
            patch.setattr(FeatureStore, "record_run", record)
            raise OSError(errno.EIO, "the disk is at fault")

        patch.setattr(FeatureStore, "record_run", fails)
        with pytest.raises(RunFailed, match="1 of 1 dates failed"):
            backfill(folder, end=0)
    assert len(rows(folder)) == 3
    assert [(run["state"], run["extracted"]) for run in runs(folder)] == [("recovered", 3)]
    assert new_images(backfill(folder, end=0)) == [0]


def test_drift_is_measured_recorded_shown_and_can_fail_the_night(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, ds in enumerate(DAYS[:3]):
        write_pictures(tmp_path / "uploads" / str(ds), 24, seed=number)
    for path in (tmp_path / "uploads" / str(DAYS[2])).iterdir():
        with Image.open(path) as picture:
            ImageOps.invert(picture.convert("RGB")).point(lambda value: value // 4).save(path)
    early = ("--layers=conv_pw_3_relu", "--check_drift")
    reported = backfill(tmp_path, *early, end=1)
    assert "drift" not in reported[str(DAYS[0])]
    assert reported[str(DAYS[1])]["drift"]["found"] is False
    printed = capsys.readouterr().out
    assert f"drift of {DAYS[0]}: too few images to tell" in printed
    assert re.search(
        rf"drift of {DAYS[1]}: AUC 0\.\d+ .*, may be chance; 24 images against 24 since {DAYS[0]}", printed
    )
    for _ in range(2):  # The second time the date is skipped, and what was recorded is judged.
        with pytest.raises(DriftFound, match=rf"^The images of {DAYS[2]} differ from those before: AUC ") as found:
            backfill(tmp_path, *early, "--max_drift=0.5")
        assert found.value.exit_code == 1
        assert str(found.value).endswith(f"--compare ds={DAYS[0]}..{DAYS[1]} ds={DAYS[2]}")
    assert states(tmp_path) == "skipped skipped skipped"
    backfill(tmp_path, *early, "--max_drift=1")
    assert len(read_drift(f"{tmp_path}/store")) == 2
    assert inspect.main([f"{tmp_path}/store", "--runs"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()[-3:]}
    assert re.search(r"complete; drift: AUC [\d.]+ \([\d.]+ to [\d.]+\), more than chance$", lines[str(DAYS[2])])
    assert lines[str(DAYS[0])].endswith("complete")
    assert maintain.main([f"{tmp_path}/store", "compact"]) == 0
    assert "drift: 2 of 2 files" in capsys.readouterr().out
    with pytest.raises(UsageError, match="--max_drift judges what --check_drift finds"):
        backfill(tmp_path, "--max_drift=0.5")


def test_a_date_with_too_few_images_ends_with_4_and_is_in_the_store(folder: Path) -> None:
    with pytest.raises(ImagesMissing, match=r"--expect_images=4 allows: 2024-03-01 has 3 \(4 expected\)\.") as missing:
        backfill(folder, "--expect_images=4")
    assert missing.value.exit_code == 4
    assert len(rows(folder)) == 3 + 4 + 5
    # Skipped as complete, they are judged by what their runs had listed; a date without images has none.
    with pytest.raises(ImagesMissing, match=r"allows: 2024-03-04 has 0 \(2 expected\)\. What came is in the store"):
        backfill(folder, "--expect_images=2", end=3)
    assert states(folder) == "skipped skipped skipped empty"
    assert len(backfill(folder, "--expect_images=3")) == 3


def test_enough_is_a_share_of_the_median_of_the_nights_before(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backfill(folder, "--expect_images=50%")
    said = capsys.readouterr().out
    assert "--expect_images=50% judges 2024-03-01, 2024-03-02, 2024-03-03 once 3 nights with images are before." in said
    write_pictures(folder / "uploads" / str(DAYS[3]), 1, seed=9)
    with pytest.raises(ImagesMissing, match=r"2024-03-04 has 1 \(2 expected\)"):
        backfill(folder, "--expect_images=50%", start=3, end=3)
    backfill(folder, "--expect_images=25%", start=3, end=3)


def test_a_night_is_told_to_prometheus_however_it_ends(folder: Path) -> None:
    file = folder / "night.prom"
    backfill(folder, f"--metrics_file={file}")
    labels = f'command="backfill",store="file://{folder}/store"'
    lines = file.read_text().splitlines()
    assert f'convbase_images{{{labels},outcome="extracted"}} 12.0' in lines
    assert f"convbase_coverage_ratio{{{labels}}} 1.0" in lines
    assert f"convbase_exit_code{{{labels}}} 0.0" in lines
    over = datetime.datetime(2024, 3, 4, tzinfo=datetime.UTC).timestamp()
    assert f"convbase_newest_date_timestamp_seconds{{{labels}}} {over!r}" in lines
    with pytest.raises(ImagesMissing):
        backfill(folder, f"--metrics_file={file}", "--expect_images=100")
    assert f"convbase_exit_code{{{labels}}} 4.0" in file.read_text().splitlines()
    with pytest.raises(ConvbaseError):
        backfill(folder, f"--metrics_file={file}", "--conv_base=VGG16")
    assert f"convbase_exit_code{{{labels}}} 2.0" in file.read_text().splitlines()
    with pytest.raises(UsageError, match=r"--metrics_file=.*cannot be written"):
        backfill(folder, f"--metrics_file={file}/below")
