"""What a run says of what is visible is what the tables say, whatever ends it and wherever: faults and signals."""

import functools
import re
import signal
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from deltalake import DeltaTable

from pipelines import backfill as backfill_command
from pipelines import extract as extract_command
from pipelines.jobs import Job
from pipelines.jobs import job as job_module
from schemas.delta import Scan
from schemas.errors import ConvbaseError, RunInterrupted
from schemas.storage import interruption
from schemas.store import FeatureStore
from tests.conftest import SMALL_BASE, extract, write_pictures
from tests.support.moments import FAULTS, Moment, assert_told, set_fault, signalled
from tests.support.nights import Night, World, worker_of
from transforms.extraction import Worker
from transforms.extraction.run_commit import check_committed, commit_run

IMAGES = 6
OPTIONS = ("--shard_size=3", "--max_failure_ratio=0.5", "--threads=1", "--decode_processes=0", "--runner=DirectRunner")

_FRAGMENT = "transforms.extraction.shard:write_computed"
_RECEIPT = "transforms.extraction.shard:leave_receipt"
_COMMIT = "schemas.commits.commit:write_actions"
_RUNS = "schemas.commits.appended_rows:write_actions"

MOMENTS = {
    "before a fragment": Moment(_FRAGMENT, 2),
    "after a fragment": Moment(_FRAGMENT, 2, done=True),
    "before a receipt": Moment(_RECEIPT, 2),
    "after a receipt": Moment(_RECEIPT, 2, done=True),
    "before the failures": Moment(_COMMIT, 1),
    "after the failures": Moment(_COMMIT, 1, done=True),
    "before the features": Moment(_COMMIT, 2),
    "after the features": Moment(_COMMIT, 2, done=True),
    "before the run": Moment(_RUNS),
    "after the run": Moment(_RUNS, done=True),
    "before the receipts go": Moment("pipelines.jobs.job:remove_receipts"),
}
# What goes wrong with receipts of a run that is complete is a line in the log, and no end of anything.
CASES = [(moment, name) for moment in MOMENTS for name in FAULTS if moment != "before the receipts go" or "SIG" in name]


# Of each fault one moment is tried with the command as it is; of the others Beam is left out, which only carries.
BY_THE_COMMAND = {
    ("after the features", "no memory"), ("before the run", "storage at fault"), ("after the failures", "SIGINT"),
    ("before a receipt", "SIGTERM"),
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store that all runs of this module share; each has pictures of its own."""
    folder = tmp_path_factory.mktemp("made")
    write_pictures(folder / "first", 1, seed=99)
    extract(f"--input={folder}/first", f"--output={folder}/store", *OPTIONS, *SMALL_BASE)
    return folder


@functools.cache
def worker_of_module(made: Path) -> Worker:
    """The conv base of the store, loaded once."""
    return worker_of(FeatureStore.open(f"{made}/store"))


def without_beam(world: World) -> Callable[[Job], None]:
    """Does what the pipeline of a job does."""

    def extracted(job: Job) -> None:
        planned = world.plan()
        night = world.work(Night(job.run, planned.snapshot, planned.plan))
        check_committed(commit_run(night.snapshot, night.run, night.fragments, night.plan.counts))

    return extracted


def rows_of(table: DeltaTable, run_id: str) -> list[dict[str, object]]:
    return Scan(table, where=[("run_id", "=", run_id)]).to_arrow().to_pylist()


def right_clause(store: FeatureStore, run_id: str) -> str:
    """What has to be said of what is visible, by the rows of a run in the tables."""
    rows = rows_of(store.runs(), run_id)
    if rows and rows[-1]["state"] == "complete":
        return "it is complete"
    if rows_of(store.features(), run_id):
        return "all of its features are visible; the next run writes its row in `runs`"
    if rows_of(store.failures(), run_id):
        return "its failures are visible and none of its features"
    return "nothing of it is visible"


@pytest.mark.slow
@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize(("moment", "name"), CASES)
def test_what_is_said_to_be_visible_is_visible(
    moment: str, name: str, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault, code, again = FAULTS[name]
    run_id = re.sub(r"\W", "-", f"{moment}-{name}")
    write_pictures(tmp_path / "pictures", IMAGES, seed=zlib.crc32(run_id.encode()))
    (tmp_path / "pictures" / "page.jpg").write_bytes(b"<html>")
    arguments = [f"--input={tmp_path}/pictures", f"--output={made}/store", *OPTIONS]
    store = FeatureStore.open(f"{made}/store")

    world = World.of(store, tmp_path / "pictures", worker_of_module(made))
    with monkeypatch.context() as patch:
        set_fault(patch, MOMENTS[moment], fault, again=again)
        if (moment, name) not in BY_THE_COMMAND:
            patch.setattr(job_module, "extract", without_beam(world))
        try:
            ended = extract_command.main([*arguments, f"--run_id={run_id}"])
            said = ""
        except ConvbaseError as error:
            ended, said = error.exit_code, str(error).partition("\n")[0]

    clause = right_clause(store, run_id)
    committed = clause.startswith(("it is complete", "all of its features"))
    assert len(rows_of(store.features(), run_id)) == (IMAGES if committed else 0), "all of a run, or nothing"
    assert_told(ended, code, clause, said)
    adopted = re.search(r"next run adopts (\d+) images", said)
    assert adopted is None or 0 < int(adopted[1]) <= IMAGES
    monkeypatch.setattr(interruption, "_signals", [])

    after = world.extract()
    assert after.counts.listed == IMAGES + 1
    assert after.totals.extracted == (0 if committed else IMAGES)
    assert len(rows_of(store.failures(), run_id)) + after.totals.failed == 1
    (row,) = rows_of(store.runs(), run_id)[-1:] or [{"state": "none"}]
    if committed:
        assert row["state"] == ("complete" if clause == "it is complete" else "recovered")
        assert (row["extracted"], row["failed"], row["skipped"]) == (IMAGES, 1, 0)


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_backfill_and_not_only_its_date(
    number: signal.Signals, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in (1, 2):
        write_pictures(tmp_path / f"2024-03-0{day}", 2, seed=10 * number + day)
    set_fault(monkeypatch, Moment(_COMMIT), signalled(number), again=False)
    arguments = [f"--input={tmp_path}/{{ds}}", f"--output={made}/store", "--start=2024-03-01", "--end=2024-03-02"]
    with pytest.raises(
        RunInterrupted, match=r"is interrupted; nothing of it is visible\. The next run adopts 2"
    ) as ended:
        backfill_command.main([*arguments, *OPTIONS])
    assert ended.value.exit_code == 128 + number
    uris = FeatureStore.open(f"{made}/store").scan(["uri"]).to_numpy("uri")
    assert not [uri for uri in uris if uri.startswith(f"file://{tmp_path}/")]
