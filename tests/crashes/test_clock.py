"""The clock of the machine is set back between two runs: the later commit counts, whatever the times say."""

import contextlib
import datetime
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines import inspect as inspect_command
from pipelines import maintain as maintain_command
from pipelines.dates import DatedRuns
from pipelines.jobs.visibility import visible_part
from schemas.delta import Scan
from schemas.fragments import Totals, read_receipts
from schemas.maintenance import all_damage
from schemas.store import InputCounts, Run, RunResult, RunState
from schemas.store.runs import run_row
from tests.support.nights import BAD, SPEC, World

BACK = datetime.timedelta(days=3)
VACUUM = ("vacuum", "--retention=0h", "--allow_short_retention")


class _AnyMoment(type):
    """Moments of the clock as it was are moments still."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _DATETIME)


_DATETIME, _TIME = datetime.datetime, time.time


class _EarlierDatetime(_DATETIME, metaclass=_AnyMoment):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Any:
        return _DATETIME.now(tz) - BACK


@contextlib.contextmanager
def clock_set_back() -> Iterator[None]:
    """Sets the clock of this process back."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datetime, "datetime", _EarlierDatetime)
        patch.setattr(time, "time", lambda: _TIME() - BACK.total_seconds())
        yield


def is_whole(world: World) -> bool:
    return all(not checked.damages for _, checked in all_damage(world.store.uri, deep=True))


def maintain(world: World, *arguments: str) -> None:
    assert maintain_command.main([world.store.uri, *arguments]) == 0


def failed_at(world: World, version: str) -> datetime.datetime:
    (row,) = Scan(world.store.failures(), ["failed_at"], [("version", "=", version)]).to_arrow().to_pylist()
    moment: datetime.datetime = row["failed_at"]
    return moment


def test_a_run_after_the_clock_was_set_back_is_the_newer_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World(tmp_path)
    world.put("a.png", 10)
    world.put("b.png", 20)
    bad = world.put("bad.png", BAD)
    first = world.extract()
    with clock_set_back():
        world.put("b.png", 30)
        world.put("c.png", 40)
        worse = world.put("bad.png", BAD)
        second = world.extract()
        assert (second.state, second.totals.extracted, second.totals.failed) == (RunState.COMPLETE, 2, 1)
        assert failed_at(world, worse) < failed_at(world, bad)
        maintain(world, "compact")
        maintain(world, *VACUUM)
        assert is_whole(world)
        assert world.plan().planned == []
    assert second.ended_at < first.ended_at
    assert {name: colour for name, (_, colour) in world.rows().items()} == {"a.png": 10, "b.png": 30, "c.png": 40}
    assert world.plan().planned == []

    world.put("d.png", 50)
    assert world.extract().totals.extracted == 1
    maintain(world, *VACUUM)
    assert is_whole(world)
    assert len(world.rows()) == 4
    assert [row["state"] for row in world.runs()] == [RunState.COMPLETE] * 3
    capsys.readouterr()
    assert inspect_command.main([world.store.uri, "--runs"]) == 0
    assert capsys.readouterr().out.count("complete") == 3


def test_what_a_run_had_finished_is_adopted_by_one_before_its_time(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.put("a.png", 10)
    world.work(world.plan())
    assert len(list(read_receipts(world.store.uri))) == 1
    with clock_set_back():
        maintain(world, *VACUUM)
        night = world.work(world.plan())
        assert world.commit(night).totals.adopted == 1
    assert set(world.rows()) == {"a.png"}
    assert list(read_receipts(world.store.uri)) == []


def run_at(now: datetime.datetime, ds: datetime.date) -> Run:
    options = {"input": ["in"], "extensions": None}
    return Run(f"backfill-{ds}-1-ab12", ds, now, 1.0, "", "", options, {})


def test_a_run_that_is_begun_again_before_its_first_attempt_is_told_as_it_ended(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.put("a.png", 10)
    first = world.plan("night")
    world.store.record_run(first.run, RunResult(RunState.FAILED, InputCounts(listed=1, remaining=1), Totals()))
    assert visible_part(world.store, first.run) == "nothing of it is visible"
    with clock_set_back():
        again = world.plan("night")
        world.commit(world.work(again))
    row = world.store.find_run("night", again.run.started_at)
    assert row is not None
    assert row["state"] == RunState.COMPLETE
    assert visible_part(world.store, again.run) == "it is complete"
    assert visible_part(world.store, first.run) == "nothing of it is visible"


def test_a_date_counts_as_complete_only_by_a_clock_that_had_passed_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    ds = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)
    result = RunResult(RunState.COMPLETE, InputCounts(), Totals())
    with clock_set_back():
        world.store.record_run(run_at(datetime.datetime.now(datetime.UTC), ds), result)
    assert not DatedRuns.read(world.store, [ds]).is_complete(ds, ["in"], None)  # type: ignore[arg-type]
    world.store.record_run(run_at(datetime.datetime.now(datetime.UTC), ds), result)
    with clock_set_back():
        assert DatedRuns.read(world.store, [ds]).is_complete(ds, ["in"], None)  # type: ignore[arg-type]


def test_a_run_during_which_the_clock_is_set_back_took_no_time() -> None:
    now = datetime.datetime.now(datetime.UTC)
    result = RunResult(RunState.COMPLETE, InputCounts(listed=1), Totals(extracted=1), ended_at=now - BACK)
    (row,) = run_row(run_at(now, now.date()), result, SPEC).to_pylist()
    assert (row["seconds"], row["images_per_second"]) == (0.0, 0.0)
