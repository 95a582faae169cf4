"""Nights, accidents and upkeep in any order, against a dictionary: nothing is lost, nothing is there twice.

Hypothesis draws the same examples every time, so that no run of the tests is a matter of luck;
`pytest tests/promises/test_state_machine.py --hypothesis-profile=explore` draws many others.
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
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from schemas.augmentation import AugmentedRows
from schemas.delta import transactions
from schemas.fragments import TableName
from schemas.maintenance import compact, find_waste, remove_waste, restore, take_down
from schemas.store import TakenOut
from tests.support.nights import BAD, SPEC, Killed, Night, World, at_write

ACCIDENTS = ("none", "killed", "storage at fault", "answer lost", "overtaken", "overtaken")
UPKEEP = ("take down", "compact", "restore", "vacuum")
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
        saw: Names of the pictures that have features once it is complete, whoever has computed them.
    """

    night: Night
    good: Rows
    bad: set[tuple[str, str]]
    landed: dict[str, int] = dataclasses.field(default_factory=dict)
    saw: frozenset[str] = frozenset()


class Nights(RuleBasedStateMachine):
    """The store, and the dictionaries that it has to agree with.

    Attributes:
        spec: The spec of the store.
    """

    spec = SPEC

    def __init__(self) -> None:
        super().__init__()
        self._patch = mock.patch.object(transactions, "_FIRST_PAUSE_SECONDS", 0.0)
        self._patch.start()
        self._folder = tempfile.TemporaryDirectory()
        self.world = World(Path(self._folder.name), self.spec)
        self.files: Rows = {}
        self.rows: Rows = {}
        self.failures: set[tuple[str, str]] = set()
        self.down: set[str] = set()
        self.open: list[OpenNight] = []
        self.ended: dict[str, tuple[int, int, int]] = {}
        # Runs that were killed before they wrote their rows: the version that their features made, and their accounts.
        self.lost: dict[str, tuple[int, tuple[int, int, int]]] = {}
        self.saw: dict[str, frozenset[str]] = {}
        self.restored = False
        self.looked_at: list[str] = []
        self.versions: dict[int, Rows] = {0: {}}

    def teardown(self) -> None:
        self._folder.cleanup()
        self._patch.stop()

    # Few rules that draw what they do: Hypothesis leaves rules out at random, and each example is to have all of it.

    @rule(changes=CHANGES, runs=st.integers(1, 2), data=st.data())
    def begin(self, changes: dict[str, int], runs: int, data: st.DataObject) -> None:
        """Something happens to pictures, runs plan at the same time and work, and one of all that are open commits."""
        self._change(changes)
        planned = [self._planned() for _ in range(runs)]
        for run in planned:
            self.world.work(run.night)
        self.open += planned
        self.end(data)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        run = self._one_open(data)
        accident = data.draw(st.sampled_from(ACCIDENTS))
        if accident == "killed":
            self._commit_killed(run, data)
        elif accident in {"storage at fault", "answer lost"}:
            self._commit_at_fault(run, data, landed=accident == "answer lost")
        elif accident == "overtaken":
            self._commit_overtaken(run, data)
        else:
            self._commit(run)

    @rule(changes=CHANGES, shards=st.integers(1, 3), receipt=st.sampled_from(["whole", "cut off", "none"]))
    def die_at_work(self, changes: dict[str, int], shards: int, receipt: str) -> None:
        """A run is killed after some shards, the last of which has left its receipt, half of it, or none."""
        self._change(changes)
        night = self._planned().night
        done = self.world.shards(night)[:shards]
        for number, shard in enumerate(done):
            before = self._receipts(night)
            self.world.compute(night, shard)
            if receipt == "none" and number == len(done) - 1:
                for path in self._receipts(night) - before:
                    path.unlink()
        written = sorted(self._receipts(night))
        if receipt == "cut off" and written:
            written[-1].write_text(written[-1].read_text()[:-5])

    @rule(data=st.data(), what=st.sampled_from(UPKEEP))
    def maintain(self, data: st.DataObject, what: str) -> None:
        self._maintain(data, what)

    @rule(data=st.data())
    def read_an_older_version(self, data: st.DataObject) -> None:
        version = data.draw(st.sampled_from(sorted(self.versions)))
        assert self.world.rows(version) == self.versions[version]

    def _receipts(self, night: Night) -> set[Path]:
        return set((self.world.store_folder / "receipts" / night.run.run_id).glob("*.json"))

    def _commit_killed(self, run: OpenNight, data: st.DataObject) -> None:
        """A run is killed right before or after a commit; some are begun again from their fragments."""
        table, done = data.draw(st.sampled_from(TABLES)), data.draw(st.booleans())
        try:
            with at_write(table, _raising(Killed()), done=done):
                self.world.commit(run.night)
        except Killed:
            for landed in TABLES[: TABLES.index(table) + done]:
                self._land(run, landed)
            if run.landed.get(TableName.FEATURES) and not (table == TableName.RUNS and done):
                self.lost[run.night.run.run_id] = (self.world.store.features().version(), self._accounts(run))
            if table != TableName.RUNS and data.draw(st.booleans()):
                self.open.append(run)
        else:
            self._ended(run)

    def _commit_at_fault(self, run: OpenNight, data: st.DataObject, *, landed: bool) -> None:
        """The storage fails before a commit, or after it has landed; the run ends all the same."""
        error = data.draw(st.sampled_from([OSError("503 Slow Down"), CommitFailedError("it is there already")]))
        with at_write(data.draw(st.sampled_from(TABLES)), _raising(error), done=landed):
            self.world.commit(run.night)
        self._ended(run)

    def _commit_overtaken(self, run: OpenNight, data: st.DataObject) -> None:
        """Somebody else commits between a run's last look at the table and its commit."""
        what = data.draw(st.sampled_from(["run", *UPKEEP[:3]]))

        def overtake() -> None:
            self._land(run, TableName.FAILURES)
            if what != "run":
                self._maintain(data, what)
            elif self.open:
                self._commit(self._one_open(data))

        with at_write(TableName.FEATURES, overtake, done=False):
            self.world.commit(run.night)
        self._ended(run)

    def _maintain(self, data: st.DataObject, what: str) -> None:
        store_uri = self.world.store.uri
        if what == "take down":
            name = data.draw(st.sampled_from(NAMES))
            take_down(store_uri, pa.array([self.world.uri(name)]), None)
            self.down.add(name)
            self.rows.pop(name, None)
            self.failures = {key for key in self.failures if key[0] != name}
        elif what == "compact":
            for table in TABLES:
                compact(store_uri, table)
        elif what == "restore":
            version = data.draw(st.sampled_from(sorted(self.versions)))
            restore(store_uri, version)
            self.restored = True
            self.rows = {name: row for name, row in self.versions[version].items() if name not in self.down}
        else:
            # What nobody has committed goes days later, if ever: runs that are open may commit it, others adopt it.
            self._vacuum(datetime.timedelta(days=0 if self.open else data.draw(st.integers(0, 2))))
        self._remember()

    def _vacuum(self, later: datetime.timedelta) -> None:
        now = datetime.datetime.now(datetime.UTC) + later
        waste = find_waste(self.world.store.uri, datetime.timedelta(0), now)
        remove_waste(self.world.store.uri, waste)
        self.versions.clear()
        self.looked_at = []
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
        assert night.plan.counts.listed == len(self.files)
        adopted = sum(wanted.num_rows for _, wanted in night.plan.finished)
        assert adopted == len(set(night.planned) & self._finished())
        return OpenNight(
            night,
            good={name: row for name, row in new.items() if row[1] != BAD},
            bad={(name, version) for name, (version, colour) in new.items() if colour == BAD},
            saw=frozenset(name for name, (_, colour) in self.files.items() if colour != BAD) - self.down,
        )

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
        self.ended[run.night.run.run_id] = self._accounts(run)
        self.saw[run.night.run.run_id] = run.saw
        for run_id, (version, accounts) in self.lost.items():
            if version <= run.night.snapshot.versions[TableName.FEATURES]:
                self.ended[run_id] = accounts

    def _accounts(self, run: OpenNight) -> tuple[int, int, int]:
        """What a run has extracted, what failed and what it has skipped."""
        extracted, failed = (run.landed.get(table, 0) for table in (TableName.FEATURES, TableName.FAILURES))
        return extracted, failed, run.night.plan.counts.listed - extracted - failed

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
        """What tables hold changes with their logs alone, and with a vacuum: else they were looked at before."""
        logs = sorted(path.name for name in TABLES for path in self.world.log(name).glob("*.json"))
        if logs == self.looked_at:
            return
        self.looked_at = logs
        assert self.world.rows() == self.rows
        assert self.world.failures() == self.failures
        self.world.check_log()
        runs = sorted(self.world.runs(), key=lambda row: str(row["ended_at"]))
        self._check_accounts(runs)
        self._check_dates(runs)

    def _check_accounts(self, runs: list[dict[str, object]]) -> None:
        whole = [row["run_id"] for row in runs if row["table_version"] is not None]
        assert len(whole) == len(set(whole)), "a run that has committed has one row"
        reported = {str(row["run_id"]): tuple(row[name] for name in ("extracted", "failed", "skipped")) for row in runs}
        assert {run_id: reported.get(run_id) for run_id in self.ended} == self.ended

    def _check_dates(self, runs: list[dict[str, object]]) -> None:
        """Of a run that counts as whole nothing is missing, neither what it has committed nor what it has found."""
        taken_out = TakenOut(f"{self.world.store.uri}/{TableName.FEATURES}")
        for row in runs if self.restored else ():
            saw = self.saw.get(str(row["run_id"]), frozenset())
            if row["state"] == "complete" and not taken_out.since(row):
                assert saw <= self.rows.keys() | self.down


def _raising(error: BaseException) -> Callable[[], None]:
    def moment() -> None:
        raise error

    return moment


class AugmentedNights(Nights):
    """The same with a store in which images have further rows: the model knows of images alone."""

    spec = dataclasses.replace(SPEC, augmentation=AugmentedRows(rows=2))


TestNights = Nights.TestCase
TestAugmentedNights = AugmentedNights.TestCase
TestAugmentedNights.settings = settings(max_examples=10)
