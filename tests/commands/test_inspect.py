"""What is said of a store: an overview, or its last runs as a table."""

import dataclasses
import datetime
import re
from pathlib import Path

import pytest

from pipelines import extract as extract_command
from pipelines import inspect as command
from pipelines.console import HEADS
from schemas.errors import ImagesMissing, RunFailed, UsageError
from schemas.fragments import Totals
from schemas.store import FeatureStore, InputCounts, Run, RunResult, RunState
from tests.conftest import SMALL_BASE, extract, write_pictures
from tests.support.browser import opened_browser
from tests.support.fragments import SPEC

NIGHT = datetime.datetime(2024, 3, 2, 2, tzinfo=datetime.UTC)
NOTHING = RunResult(RunState.COMPLETE, InputCounts(), Totals())


@pytest.fixture
def store(tmp_path: object) -> FeatureStore:
    return FeatureStore.create(f"{tmp_path}/store", SPEC)


def record(store: FeatureStore, day: int, outcome: RunResult = NOTHING, minutes: int = 0) -> None:
    """Writes the row of a run that began in the night after the `day`th of March 2024."""
    started = NIGHT + datetime.timedelta(days=day - 1)
    ds = datetime.date(2024, 3, day)
    run = Run(f"backfill-{ds}-1-ab12", ds, started, 0.1, "DirectRunner", "openvino", {}, {})
    store.record_run(run, dataclasses.replace(outcome, ended_at=started + datetime.timedelta(minutes=minutes)))


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert command.main(arguments) == 0
    return capsys.readouterr().out.splitlines()


def test_runs_are_a_table_the_newest_first(store: FeatureStore, capsys: pytest.CaptureFixture[str]) -> None:
    counts = InputCounts(listed=1200, skipped=100)
    record(
        store,
        1,
        RunResult(RunState.COMPLETE, counts, Totals(extracted=1090, adopted=40, reused=7, failed=10)),
        minutes=10,
    )
    record(store, 2, RunResult(RunState.FAILED, InputCounts(listed=5), Totals(failed=5), "5 of 5 images failed."), 1)
    record(store, 3, RunResult(RunState.STOPPED, InputCounts(listed=9, remaining=9), Totals(), "The time was up."))
    lines = shown(capsys, store.uri, "--runs")
    assert lines == [
        HEADS,
        "2024-03-03           9           0        0      0.0    0:00:00  stopped (9 remaining): The time was up.",
        "2024-03-02           5           0        5      0.1    0:01:00  failed: 5 of 5 images failed.",
        "2024-03-01       1,200       1,090       10      1.8    0:10:00  complete (40 adopted, 7 reused)",
    ]
    assert HEADS.split() == ["date", "listed", "new", "failed", "img/s", "duration", "state"]


def test_as_many_runs_are_shown_as_asked(store: FeatureStore, capsys: pytest.CaptureFixture[str]) -> None:
    for day in range(1, 13):
        record(store, day)
    assert len(shown(capsys, store.uri, "--runs")) == 12
    lines = shown(capsys, store.uri, "--runs=2")
    assert [line.split()[0] for line in lines] == ["date", "2024-03-12", "2024-03-11", "…"]
    assert lines[-1] == "… and 10 earlier ones."


def test_the_overview_names_the_runs(store: FeatureStore, capsys: pytest.CaptureFixture[str]) -> None:
    record(store, 1)
    lines = shown(capsys, store.uri)
    assert lines[0].startswith(f"Store {store.uri}, version ")
    assert "Runs: 1, the last of them:" in lines
    (line,) = [line for line in lines if "backfill-2024-03-01-1-ab12" in line]
    assert line.split()[:4] == ["2024-03-02", "02:00:00", "backfill-2024-03-01-1-ab12", "complete"]


@pytest.mark.parametrize("arguments", [(), ("--runs",), ("--coverage", "--input=pictures")])
def test_a_store_has_to_be_named(arguments: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="Name a store"):
        command.main(arguments)


def test_the_failures_of_a_run_that_was_not_committed_are_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pictures(tmp_path / "pictures", 2)
    for number in range(7):
        (tmp_path / "pictures" / f"page-{number}.jpg").write_bytes(b"<html>not found</html>")
    options = (f"--input={tmp_path}/pictures", f"--output={tmp_path}/store", "--run_id=night-1")
    with pytest.raises(RunFailed) as failed:
        extract_command.main([*options, *SMALL_BASE])
    sentence, *first = str(failed.value).splitlines()
    assert "7 of 9 images failed" in sentence
    assert len(first) == 6, "Five of them, and how the others are listed."
    assert all("not_an_image" in line for line in first[:5])
    capsys.readouterr()

    assert command.main([f"{tmp_path}/store", "--failures", "--run=night-1"]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert {code for _, code, _, _ in lines} == {"not_an_image"}
    assert sorted(uri.rpartition("/")[2] for _, _, uri, _ in lines) == [f"page-{number}.jpg" for number in range(7)]
    assert shown(capsys, f"{tmp_path}/store", "--failures", "--run=night-2") == []
    others = "  --failures lists 7 more, of runs that were not committed or that later runs have replaced."
    assert shown(capsys, f"{tmp_path}/store")[-2:] == ["Failures: 0", others]

    # They are tried again, and once they are committed they are listed once a run.
    extract(*options[:2], "--run_id=night-2", "--max_failure_ratio=0.9")
    capsys.readouterr()
    assert len(shown(capsys, f"{tmp_path}/store", "--failures", "--run=night-2")) == 7
    assert len(shown(capsys, f"{tmp_path}/store", "--failures")) == 14
    overview = shown(capsys, f"{tmp_path}/store")
    assert "Failures: 7, by code:" in overview
    assert overview[-1] == others


def brought(images: int, **counts: int) -> RunResult:
    return RunResult(RunState.COMPLETE, InputCounts(listed=images), Totals(extracted=images, **counts))


def test_freshness_is_that_of_the_last_run_that_brought_images(
    store: FeatureStore, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ImagesMissing, match=r"No run has brought an image into .*/store yet\."):
        command.main([store.uri, "--freshness=26h"])
    now = datetime.datetime.now(datetime.UTC)
    for hours, outcome in ((30, brought(4000)), (5, NOTHING)):  # The later one found nothing new.
        ended = now - datetime.timedelta(hours=hours)
        run = Run(f"backfill-{hours}", ended.date(), ended, 0.1, "DirectRunner", "openvino", {}, {})
        store.record_run(run, dataclasses.replace(outcome, ended_at=ended))
    (said,) = shown(capsys, store.uri, "--freshness=2d")
    assert re.fullmatch(r"The last images, 4,000 of \d{4}-\d\d-\d\d, came 30\.0 h ago by run backfill-30\.", said)
    with pytest.raises(
        ImagesMissing, match=r"came 30\.0 h ago by run backfill-30; --freshness allows 26\.0 h"
    ) as stale:
        command.main([store.uri, "--freshness=26h"])
    assert stale.value.exit_code == 4


HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def nights(store: FeatureStore) -> FeatureStore:
    """A store with forty nights, some of which failed."""
    for day in range(1, 29):
        failed = Totals(extracted=1000 * day, failed=day, failures_by_code={"not_an_image": day, "timeout": 1})
        record(store, day, RunResult(RunState.COMPLETE, InputCounts(listed=1100 * day, skipped=50), failed), day)
    record(store, 29, RunResult(RunState.FAILED, InputCounts(listed=5), Totals(failed=5), f"No storage: {HOSTILE}"), 1)
    return store


def test_the_last_nights_are_a_page_that_needs_nothing_beside_it(
    nights: FeatureStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shown(capsys, nights.uri, "--runs=40", f"--html={tmp_path}/night.html")[0] == (
        f"29 runs written to {tmp_path}/night.html."
    )
    page = (tmp_path / "night.html").read_text()
    assert HOSTILE not in page
    assert "No storage: &lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")
    titles = re.findall(r"<h2>([^<]*)</h2>", page)
    assert titles == [
        "Images by outcome", "Failures by code", "Images per second", "Duration in minutes",
        "Coverage: share of the input that the store has", "Runs",
    ]  # fmt: skip
    assert page.count('<g class="night">') == 29 * 5
    assert "2024-03-28, backfill-2024-03-28-1-ab12; extracted 28,000; skipped 50; failed 28" in page


def test_a_store_without_runs_has_a_page_that_says_so(store: FeatureStore, tmp_path: Path) -> None:
    assert command.main([store.uri, f"--html={tmp_path}/night.html"]) == 0
    assert "There is no run yet." in (tmp_path / "night.html").read_text()


@pytest.mark.parametrize("dark", [False, True])
def test_a_browser_shows_the_page_of_the_nights(dark: bool, nights: FeatureStore, tmp_path: Path) -> None:
    page = tmp_path / "night.html"
    command.main([nights.uri, f"--html={page}"])
    with opened_browser(tmp_path / "browser") as browser:
        browser.open(page, dark=dark)
        assert browser.errors == []
        assert browser.requests == [page.as_uri()]
        ink, back = (browser.value(f"getComputedStyle(document.body).{name}") for name in ("color", "backgroundColor"))
        assert (sum(map(int, re.findall(r"\d+", ink)[:3])) > sum(map(int, re.findall(r"\d+", back)[:3]))) == dark
        # Every part of a bar has a colour of its own, and lies within the frame.
        colours = browser.value("[...new Set([...document.querySelectorAll('.night rect:not(.hit)')]"
                                ".map(each => getComputedStyle(each).fill))]")  # fmt: skip
        assert len(colours) >= 5
        assert "rgb(0, 0, 0)" not in colours
        outside = browser.value(
            "[...document.querySelectorAll('.night rect:not(.hit)')].filter(each => {"
            "const box = each.getBoundingClientRect(), frame = each.closest('svg').getBoundingClientRect();"
            "return box.top < frame.top - 1 || box.bottom > frame.bottom + 1 || box.right > frame.right + 1}).length"
        )
        assert outside == 0
        browser.open(page, width=400, height=800, dark=dark)
        assert browser.value("document.documentElement.scrollWidth <= 400")


def test_a_store_of_one_picture_is_said_to_have_one_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pictures(tmp_path / "pictures", 1)
    extract(f"--input={tmp_path}/pictures", f"--output={tmp_path}/store", *SMALL_BASE)
    capsys.readouterr()
    assert shown(capsys, f"{tmp_path}/store")[1].startswith("  1 row in 1 file, ")
