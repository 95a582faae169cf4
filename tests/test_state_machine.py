"""Nights, accidents and upkeep in any order, against a dictionary: nothing is lost, nothing is there twice.

Hypothesis draws the same examples every time, so that no run of the tests is a matter of luck;
`pytest tests/test_state_machine.py --hypothesis-profile=explore` draws many others.
"""

import dataclasses
import datetime
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake.exceptions import CommitFailedError
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from schemas import delta
from schemas.compaction import compact
from schemas.fragments import TableName
from schemas.restoration import restore
from schemas.takedowns import take_down
from schemas.vacuum import find_waste, remove_waste
from tests.nights import BAD, Killed, Night, World, at_write

NAMES = ("a.png", "b b#.png", "c%2F.png", "d.png", "e.png")
TOUCHED, GONE = -2, -3
# A picture is new, changed, spoiled or repaired, or has the bytes of another one; it is touched, or deleted.
CHANGES = st.dictionaries(st.sampled_from(NAMES), st.sampled_from((10, 20, 30, BAD, TOUCHED, GONE)), max_size=4)
TABLES = (TableName.FAILURES, TableName.FEATURES, TableName.RUNS)

Rows = dict[str, tuple[str, int]]


@dataclasses.dataclass
class OpenNight:
    """A run that has planned and worked, and what the model expects of it.

    Attributes:
        night: The run.
        good: Version and colour by name, of the pictures that it has features of.
        bad: Name and version of those that are none.
        landed: Names of what its commits brought, by table, once they are in the log.
    """

    night: Night
    good: Rows
    bad: set[tuple[str, str]]
    landed: dict[str, int] = dataclasses.field(default_factory=dict)


class Nights(RuleBasedStateMachine):
    """The store, and the dictionaries that it has to agree with."""

    def __init__(self) -> None:
        super().__init__()
        self._patch = mock.patch.object(delta, "_FIRST_PAUSE_SECONDS", 0.0)
        self._patch.start()
        self._folder = tempfile.TemporaryDirectory()
        self.world = World(Path(self._folder.name))
        self.files: Rows = {}
        self.rows: Rows = {}
        self.failures: set[tuple[str, str]] = set()
        self.down: set[str] = set()
        self.open: list[OpenNight] = []
        self.ended: dict[str, tuple[int, int, int]] = {}
        self.versions: dict[int, Rows] = {0: {}}

    def teardown(self) -> None:
        self._folder.cleanup()
        self._patch.stop()

    # What runs do, each after something has happened to pictures.

    @rule(changes=CHANGES)
    def extract(self, changes: dict[str, int]) -> None:
        self._change(changes)
        self._extract()

    def _extract(self) -> None:
        self._commit(self._worked())

    @precondition(lambda self: len(self.open) < 3)
    @rule(changes=CHANGES, runs=st.integers(1, 2))
    def begin(self, changes: dict[str, int], runs: int) -> None:
        """Runs plan at the same time, and work; others come before their commits."""
        self._change(changes)
        planned = [self._planned() for _ in range(runs)]
        for run in planned:
            self.world.work(run.night)
        self.open += planned

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        self._commit(self._one_open(data))

    @rule(changes=CHANGES, shards=st.integers(1, 3), receipt=st.sampled_from(["whole", "cut off", "none"]))
    def die_at_work(self, changes: dict[str, int], shards: int, receipt: str) -> None:
        """A run is killed after some shards, the last of which has left its receipt, half of it, or none."""
        self._change(changes)
        night = self._planned().night
        done = self.world.shards(night)[:shards]
        for number, shard in enumerate(done):
            fragments = self.world.compute(night, shard)
            if receipt != "none" or number < len(done) - 1:
                self.world.leave_receipts(night, fragments)
        written = sorted((self.world.store_folder / "receipts" / night.run.run_id).glob("*.json"))
        if receipt == "cut off" and written:
            written[-1].write_text(written[-1].read_text()[:-5])

    @precondition(lambda self: self.open)
    @rule(data=st.data(), table=st.sampled_from(TABLES), done=st.booleans(), again=st.booleans())
    def die_at_commit(self, data: st.DataObject, table: TableName, done: bool, again: bool) -> None:
        """A run is killed right before or after a commit; some are begun again from their fragments."""
        run = self._one_open(data)
        try:
            with at_write(table, _raising(Killed()), done=done):
                self.world.commit(run.night)
        except Killed:
            landed = TABLES[: TABLES.index(table) + done]
            for name in landed:
                self._land(run, name)
            if again and not (done and table == TableName.RUNS):
                self.open.append(run)
        else:
            self._ended(run)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), table=st.sampled_from(TABLES), done=st.booleans(), answer=st.booleans())
    def commit_at_fault(self, data: st.DataObject, table: TableName, done: bool, answer: bool) -> None:
        """The storage fails at a commit, or its answer is lost; the run ends all the same."""
        error = OSError("503 Slow Down") if answer else CommitFailedError("it is there already")
        run = self._one_open(data)
        with at_write(table, _raising(error), done=done):
            self.world.commit(run.night)
        self._ended(run)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), other=st.sampled_from(["extract", "end", "take_down", "compact", "restore"]))
    def commit_overtaken(self, data: st.DataObject, other: str) -> None:
        """Somebody else commits between a run's last look at the table and its commit."""
        run = self._one_open(data)
        if other == "end" and not self.open:
            return

        others: dict[str, Callable[[], None]] = {
            "extract": self._extract,
            "end": lambda: self._commit(self._one_open(data)),
            "take_down": lambda: self._take_down(data),
            "compact": self.compact,
            "restore": lambda: self._restore(data),
        }

        def overtake() -> None:
            self._land(run, TableName.FAILURES)
            others[other]()

        with at_write(TableName.FEATURES, overtake, done=False):
            self.world.commit(run.night)
        self._ended(run)

    # What upkeep does.

    @rule(data=st.data())
    def take_down(self, data: st.DataObject) -> None:
        self._take_down(data)

    def _take_down(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(NAMES))
        take_down(self.world.store.uri, pa.array([self.world.uri(name)]), None)
        self.down.add(name)
        self.rows.pop(name, None)
        self.failures = {key for key in self.failures if key[0] != name}
        self._remember()

    @rule()
    def compact(self) -> None:
        for table in (*TABLES, TableName.FEATURES):
            compact(self.world.store.uri, table)
        self._remember()

    @rule()
    def vacuum(self) -> None:
        """What is old goes, but nothing uncommitted of the runs of the day: it may be committed, or adopted."""
        self._vacuum(datetime.timedelta(0))

    @precondition(lambda self: not self.open)
    @rule()
    def vacuum_days_later(self) -> None:
        self._vacuum(datetime.timedelta(days=2))

    def _vacuum(self, later: datetime.timedelta) -> None:
        now = datetime.datetime.now(datetime.UTC) + later
        waste = find_waste(self.world.store.uri, datetime.timedelta(0), now)
        remove_waste(self.world.store.uri, waste)
        self.versions.clear()
        self._remember()
        for run in [run for run in self.open if self._lost(run) and not run.landed.get(TableName.FEATURES)]:
            # Another run has adopted and committed its fragments, and they are in no version any more.
            assert self._lost(run) <= set(waste.old)
            self.open.remove(run)
            with pytest.raises(FileNotFoundError):
                self.world.commit(run.night)
            self._land(run, TableName.FAILURES)

    def _lost(self, run: OpenNight) -> set[str]:
        """URIs of fragments of a run that are gone."""
        uris = {f"{self.world.store.uri}/{fragment.table}/{fragment.path}" for fragment in run.night.fragments}
        return {uri for uri in uris if not Path(uri.removeprefix("file://")).exists()}

    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        self._restore(data)

    def _restore(self, data: st.DataObject) -> None:
        version = data.draw(st.sampled_from(sorted(self.versions)))
        restore(self.world.store.uri, version)
        self.rows = {name: row for name, row in self.versions[version].items() if name not in self.down}
        self._remember()

    # What the model expects.

    def _change(self, changes: dict[str, int]) -> None:
        for name, change in changes.items():
            if change not in {TOUCHED, GONE}:
                self.files[name] = (self.world.put(name, change), change)
            elif name in self.files and change == TOUCHED:
                self.files[name] = (self.world.touch(name), self.files[name][1])
            elif name in self.files:
                (self.world.pictures / name).unlink()
                del self.files[name]

    def _planned(self) -> OpenNight:
        night = self.world.plan()
        new = {
            name: (version, colour)
            for name, (version, colour) in self.files.items()
            if name not in self.down
            and self.rows.get(name, ("", 0))[0] != version
            and (name, version) not in self.failures
        }
        assert {uri.rpartition("/")[2]: version for uri, version in night.planned} == {
            name: version for name, (version, _) in new.items()
        }
        assert night.counts.listed == len(self.files)
        adopted = sum(wanted.num_rows for _, wanted in night.finished)
        assert adopted == len(set(night.planned) & self._finished())
        return OpenNight(
            night,
            good={name: row for name, row in new.items() if row[1] != BAD},
            bad={(name, version) for name, (version, colour) in new.items() if colour == BAD},
        )

    def _worked(self) -> OpenNight:
        run = self._planned()
        self.world.work(run.night)
        return run

    def _finished(self) -> set[tuple[str, str]]:
        """The images of fragments that have a receipt, as a look at the disk tells."""
        found: set[tuple[str, str]] = set()
        for receipt in (self.world.store_folder / "receipts").rglob("*.json"):
            if receipt.read_text().endswith("}"):
                for fragment in (self.world.store_folder / "features").rglob(f"{receipt.stem}.parquet"):
                    keys = pq.read_table(fragment, columns=["uri", "version"], partitioning=None).to_pylist()
                    found |= {(key["uri"], key["version"]) for key in keys}
        return found

    def _one_open(self, data: st.DataObject) -> OpenNight:
        return self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))

    def _commit(self, run: OpenNight) -> None:
        self.world.commit(run.night)
        self._ended(run)

    def _ended(self, run: OpenNight) -> None:
        for table in TABLES:
            self._land(run, table)
        extracted, failed = (run.landed.get(table, 0) for table in (TableName.FEATURES, TableName.FAILURES))
        self.ended[run.night.run.run_id] = (extracted, failed, run.night.counts.listed - extracted - failed)

    def _land(self, run: OpenNight, table: TableName) -> None:
        """Does to the model what a commit does to a table, once."""
        if run.landed.get(table):
            return
        if table == TableName.FEATURES:
            new = {
                name: row
                for name, row in run.good.items()
                if name not in self.down and self.rows.get(name, ("", 0))[0] != row[0]
            }
            self.rows |= new
            run.landed[table] = len(new)
            self._remember()
        elif table == TableName.FAILURES:
            extracted = {(name, version) for name, (version, _) in self.rows.items()}
            bad = {key for key in run.bad - self.failures - extracted if key[0] not in self.down}
            self.failures |= bad
            run.landed[table] = len(bad)

    def _remember(self) -> None:
        self.versions[self.world.store.features().version()] = dict(self.rows)

    @invariant()
    def the_store_agrees(self) -> None:
        assert self.world.rows() == self.rows
        assert self.world.failures() == self.failures
        self.world.check_log()

    @invariant()
    def the_accounts_of_runs_add_up(self) -> None:
        told = {
            str(row["run_id"]): tuple(row[name] for name in ("extracted", "failed", "skipped"))
            for row in self.world.runs()
        }
        assert len(told) == len(self.world.runs())
        assert {run_id: told.get(run_id) for run_id in self.ended} == self.ended

    @precondition(lambda self: self.versions)
    @rule(data=st.data())
    def read_an_older_version(self, data: st.DataObject) -> None:
        version = data.draw(st.sampled_from(sorted(self.versions)))
        assert self.world.rows(version) == self.versions[version]


def _raising(error: BaseException) -> Callable[[], None]:
    def moment() -> None:
        raise error

    return moment


TestNights = Nights.TestCase
