"""What is promised of nightly runs, each promise as a scenario that raises an `AssertionError` where it is broken.

The tests run them as they are, and with the code broken on purpose.
"""

import errno
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from schemas.fragments import TableName, read_receipts
from schemas.maintenance import compact, restore, take_down
from schemas.store import InputCounts
from tests.support.nights import BAD, Killed, Night, World, at_write
from transforms.images import decoder, fetching
from transforms.planning.plan import Plan

Promise = Callable[[World], None]


def figures(world: World) -> list[tuple[object, ...]]:
    """Returns what was extracted, failed and skipped, by run in the order in which they ended."""
    rows = sorted(world.runs(), key=lambda row: str(row["ended_at"]))
    return [tuple(row[name] for name in ("extracted", "failed", "skipped")) for row in rows]


def nights_that_meet_both_land(world: World) -> None:
    """Two runs over different pictures; one commits between the other's look at the table and its commit."""
    nights = []
    for name, colour in (("a.png", 10), ("b.png", 20)):
        world.put(name, colour)
        nights.append(world.work(world.plan()))
        (world.pictures / name).unlink()
    with at_write(TableName.FEATURES, lambda: world.commit(nights[1]), done=False):
        world.commit(nights[0])
    assert {name: colour for name, (_, colour) in world.rows().items()} == {"a.png": 10, "b.png": 20}
    assert figures(world) == [(1, 0, 0), (1, 0, 0)]
    assert world.store.features().version() == 2
    world.check_log()


def overlapping_nights_leave_each_picture_once(world: World) -> None:
    """Two runs over the same pictures; one commits between the other's look at the table and its commit."""
    for number in range(3):
        world.put(f"{number}.png", 10 + number)
    first, second = world.plan(), world.plan()
    for night in (first, second):
        world.work(night)
    with at_write(TableName.FEATURES, lambda: world.commit(second), done=False):
        world.commit(first)
    assert len(world.rows()) == 3
    assert sorted(figures(world)) == [(0, 0, 3), (3, 0, 0)]


def a_shard_that_was_tried_twice_is_there_once(world: World) -> None:
    """The first attempt at a shard has written its fragment, and nobody hands it on."""
    world.put("a.png", 10)
    world.put("bad.png", BAD)
    night = world.plan()
    for shard in world.shards(night):
        world.compute(night, shard)
    world.commit(world.work(night))
    assert set(world.rows()) == {"a.png"}
    assert {name for name, _ in world.failures()} == {"bad.png"}
    assert figures(world) == [(1, 1, 0)]


def a_system_fault_is_no_bad_image(world: World) -> None:
    """Too little memory while decoding, a full disk while fetching: the run ends, and nothing is said of the image."""
    world.put("a.png", 10)
    for module, name, fault in (
        (decoder, "decode_image", MemoryError()),
        (fetching, "_read", OSError(errno.ENOSPC, "No space left on device")),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, name, _raising(fault))
            night = world.plan()
            with pytest.raises(type(fault)):
                world.commit(world.work(night))
    assert world.failures() == set()
    world.extract()
    assert set(world.rows()) == {"a.png"}


def a_lost_answer_is_no_lost_commit(world: World) -> None:
    """Each of the three commits of a run succeeds, and the answer that says so is lost."""
    world.put("a.png", 10)
    world.put("bad.png", BAD)
    for table in (TableName.FAILURES, TableName.FEATURES, TableName.RUNS):
        world.touch("a.png")
        world.touch("bad.png")
        with at_write(table, _raising(OSError("the connection was reset")), done=True):
            world.extract()
    assert set(world.rows()) == {"a.png"}
    assert figures(world) == [(1, 1, 0)] * 3


def a_killed_commit_is_done_once_when_it_is_tried_again(world: World) -> None:
    """A runner begins the last step again, from the same fragments, after it died behind the commit of `features`."""
    world.put("a.png", 10)
    night = world.work(world.plan())
    with pytest.raises(Killed), at_write(TableName.FEATURES, _raising(Killed()), done=True):
        world.commit(night)
    world.commit(night)
    assert set(world.rows()) == {"a.png"}
    assert figures(world) == [(1, 0, 0)]


def what_a_killed_run_finished_is_not_computed_again(world: World) -> None:
    """A run is killed before its commit: half a receipt counts for nothing, the others are adopted."""
    for number in range(6):
        world.put(f"{number}.png", 10 + number)
    world.work(world.plan("killed"))
    receipt = sorted((world.store_folder / "receipts" / "killed").glob("*.json"))[0]
    receipt.write_text(receipt.read_text()[:-10])
    computed = world.engine.computed
    assert sum(fragment.rows for fragment in read_receipts(world.store.uri)) == 4
    outcome = world.extract()
    assert (outcome.totals.extracted, outcome.totals.adopted, world.engine.computed - computed) == (6, 4, 2)
    assert len(world.rows()) == 6


def a_fragment_that_is_not_whole_is_not_adopted(world: World) -> None:
    """The file of a fragment has other bytes at its end since its receipt was written; its keys can still be read."""
    world.put("a.png", 10)
    (fragment,) = world.work(world.plan("killed")).fragments
    path = world.store_folder / "features" / fragment.path
    path.write_bytes(path.read_bytes().replace(b"parquet-cpp-arrow", b"parquet-cpp-ArroW"))
    outcome = world.extract()
    assert (outcome.totals.extracted, outcome.totals.adopted) == (1, 0)
    assert set(world.rows()) == {"a.png"}


def what_was_taken_down_is_not_computed(world: World) -> None:
    """A picture that was taken down changes; no run even looks at it."""
    world.put("a.png", 10)
    world.extract()
    _take_down(world, "a.png")
    world.put("a.png", 20)
    computed = world.engine.computed
    world.extract()
    assert world.engine.computed == computed
    assert world.rows() == {}


def a_takedown_between_plan_and_commit_keeps_the_rows_away(world: World) -> None:
    """Pictures are taken down after a run has computed them: they count as skipped."""
    for number in range(4):
        world.put(f"{number}.png", 10 + number)
    world.put("bad.png", BAD)
    night = world.work(world.plan())
    _take_down(world, "1.png", "2.png", "bad.png")
    world.commit(night)
    assert set(world.rows()) == {"0.png", "3.png"}
    assert world.failures() == set()
    assert figures(world) == [(2, 0, 3)]
    world.extract()
    assert set(world.rows()) == {"0.png", "3.png"}


def a_takedown_right_before_a_commit_keeps_the_rows_away(world: World) -> None:
    """The run has looked for takedowns already, and has to look again."""
    world.put("a.png", 10)
    world.put("b.png", 20)
    night = world.work(world.plan())
    with at_write(TableName.FEATURES, lambda: _take_down(world, "a.png"), done=False):
        world.commit(night)
    assert set(world.rows()) == {"b.png"}
    assert figures(world) == [(1, 0, 1)]


def a_compaction_right_before_a_commit_brings_nothing_back(world: World) -> None:
    """The file whose row a changed picture supersedes is merged into another meanwhile."""
    for name in ("a.png", "b.png"):
        world.put(name, 10)
        world.extract()
    world.put("b.png", 20)
    night = world.work(world.plan())
    with at_write(TableName.FEATURES, lambda: compact(world.store.uri, TableName.FEATURES), done=False):
        world.commit(night)
    assert {name: colour for name, (_, colour) in world.rows().items()} == {"a.png": 10, "b.png": 20}


def committed_files_never_change(world: World) -> None:
    """Two runs hold one fragment, the second by adoption, and both have to leave a row of it out, each another one."""
    versions = [world.put("a.png", 10), world.put("b.png", 20)]
    killed = world.work(world.plan("killed"))
    adopting = world.work(world.plan("adopting"))
    alone = [_alone(world, name) for name in ("a.png", "b.png")]
    world.commit(alone[0])
    world.commit(killed)
    whole = world.store.features().version()
    restore(world.store.uri, 0)
    world.commit(alone[1])
    world.commit(adopting)
    rows = {"a.png": (versions[0], 10), "b.png": (versions[1], 20)}
    assert world.rows(whole) == world.rows() == rows


def _alone(world: World, name: str) -> Night:
    """Returns a run over one of the pictures, which adopts nothing."""
    night = world.plan(f"only-{name}")
    (wanted,) = (wanted for _, wanted in night.plan.finished)
    night.plan = Plan(wanted.filter(pc.equal(wanted["uri"], world.uri(name))), [], InputCounts(listed=1))
    return world.work(night)


def _take_down(world: World, *names: str) -> None:
    take_down(world.store.uri, pa.array([world.uri(name) for name in names]), None)


def _raising(error: BaseException) -> Callable[..., None]:
    def moment(*_: object) -> None:
        raise error

    return moment
