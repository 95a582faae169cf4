"""A worker that is lost costs no row: Flink begins again what it did, elsewhere the next run goes on."""

from pathlib import Path
from typing import Any

import pytest

from schemas.store import FeatureStore
from tests.conftest import SMALL_BASE, extract, write_pictures
from tests.support.children import start_extraction
from tests.support.forked_workers import forked_workers
from tests.support.portable import PROCESSES, comparable, dying, flink_server, portable, prism_server

SHARDS = ("--shard_size=2", *SMALL_BASE)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    write_pictures(folder, 12)
    return folder


@pytest.fixture(scope="module")
def expected(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The table that the DirectRunner makes."""
    store = tmp_path_factory.mktemp("direct") / "store"
    extract(f"--input={pictures}", f"--output={store}", *SHARDS)
    return comparable(store)


def extract_elsewhere(log: Path, *arguments: object) -> tuple[int | None, str]:
    """Runs an extraction in another process, and returns its exit code and what it says."""
    process = start_extraction(arguments, log)
    process.join()
    return process.exitcode, log.read_text()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_flink_loses_a_worker_and_no_row(pictures: Path, expected: Any, tmp_path: Path) -> None:
    job = (f"--input={pictures}", f"--output={tmp_path}/store", *SHARDS)
    with flink_server() as jobs, forked_workers(tmp_path / "died") as workers:
        code, said = extract_elsewhere(tmp_path / "log", *job, *portable(jobs, workers))
    assert code == 0, said
    assert (tmp_path / "died").exists()
    assert comparable(tmp_path / "store").equals(expected)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("runner", ["several processes", "prism"])
def test_a_lost_worker_fails_the_run_and_the_next_one_goes_on(
    runner: str, pictures: Path, expected: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """These two runners do not begin again what a lost worker did; they must not hang either."""
    died, store, log = tmp_path / "died", tmp_path / "store", tmp_path / "log"
    job = (f"--input={pictures}", f"--output={store}", *SHARDS)
    if runner == "prism":
        with prism_server() as jobs, forked_workers(died) as workers:
            code, said = extract_elsewhere(log, *job, *portable(jobs, workers))
    else:
        with monkeypatch.context() as patch:
            for name, value in dying(died).items():
                patch.setenv(name, value)
            code, said = extract_elsewhere(log, *job, *PROCESSES)
    assert died.exists()
    assert code == 1
    assert "error: The run failed, and nothing of it is visible" in said
    assert FeatureStore.open(str(store)).scan().to_arrow().num_rows == 0
    summary = extract(*job)
    assert summary["adopted"] >= 2
    assert comparable(store).equals(expected)
