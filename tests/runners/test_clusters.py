"""Clusters of several processes make the same table as this process; a JobManager that is lost costs nothing."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SMALL_BASE, extract, write_pictures
from tests.support.children import start_extraction
from tests.support.clusters import beam_for_executors, flink_cluster, spark_cluster, wait_for_end
from tests.support.forked_workers import forked_workers
from tests.support.portable import comparable, flink_server, portable, spark_server

SHARDS = ("--shard_size=2", *SMALL_BASE)
ASKED_FOR = pytest.mark.skipif(not os.environ.get("CLUSTERS"), reason="takes minutes: CLUSTERS=1 asks for it")
IMAGES = 16
SECONDS = 300


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    write_pictures(folder, IMAGES)
    return folder


@pytest.fixture(scope="module")
def expected(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The table that the DirectRunner makes."""
    store = tmp_path_factory.mktemp("direct") / "store"
    extract(f"--input={pictures}", f"--output={store}", *SHARDS)
    return comparable(store)


@pytest.fixture
def nobody_dies(tmp_path: Path) -> Path:
    """What `forked_workers` takes for a worker that has died already."""
    (tmp_path / "died").touch()
    return tmp_path / "died"


@ASKED_FOR
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_spark_standalone(pictures: Path, expected: Any, nobody_dies: Path, tmp_path: Path) -> None:
    """A master and two workers of one core; Beam comes to them with the job."""
    job = (f"--input={pictures}", f"--output={tmp_path}/store", *SHARDS)
    with (
        spark_cluster(tmp_path) as master,
        spark_server(master, tmp_path / "jobs.log") as jobs,
        forked_workers(nobody_dies) as workers,
    ):
        process = start_extraction((*job, *portable(jobs, workers), *beam_for_executors()), tmp_path / "log")
        wait_for_end(process, SECONDS, tmp_path)
    assert process.exitcode == 0, (tmp_path / "log").read_text()
    assert comparable(tmp_path / "store").equals(expected)
    assert [folder.name for folder in tmp_path.glob("work-*") if any(folder.rglob("stderr"))] == ["work-0", "work-1"]


@ASKED_FOR
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_flink_loses_the_job_manager_that_leads(
    pictures: Path, expected: Any, nobody_dies: Path, tmp_path: Path
) -> None:
    """Of two that a ZooKeeper elects, as in the example's configuration; the other one goes on with the job."""
    job = (f"--input={pictures}", f"--output={tmp_path}/store", *SHARDS)
    with flink_cluster(tmp_path / "flink") as cluster, forked_workers(nobody_dies) as workers:
        master = f"localhost:{cluster.rest_ports[0]}"
        with flink_server(master, cluster.configuration, tmp_path / "jobs.log") as jobs:
            process = start_extraction((*job, *portable(jobs, workers)), tmp_path / "log")
            while process.is_alive() and not list((tmp_path / "store").glob("receipts/*/*")):
                time.sleep(0.02)
            lost = cluster.kill_leader()
            wait_for_end(process, SECONDS, tmp_path)
            assert cluster.leader() != lost
    assert process.exitcode == 0, (tmp_path / "log").read_text()
    assert comparable(tmp_path / "store").equals(expected)
