"""Every runner carries the same pipeline to the same table, with one conv base a process."""

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipelines import extract as extract_command
from pipelines.runners import beam_options, progress, runner_name, selection, threads_a_process
from schemas.errors import UsageError
from schemas.measures import Measures
from schemas.store import FeatureStore
from tests.conftest import SMALL_BASE, Run, extract, write_pictures
from tests.support.portable import (
    PROCESSES,
    comparable,
    job_server_jar,
    portable,
    prism_binary,
    prism_server,
    worker_pool,
)
from transforms.runtime import Progress

IMAGES = 10


def measures(store: object, run_id: str) -> Measures:
    row = FeatureStore.open(str(store)).find_run(run_id)
    assert row is not None
    return Measures.from_json(row["metrics"])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures, and a file that is none."""
    folder = tmp_path_factory.mktemp("pictures")
    write_pictures(folder, IMAGES)
    (folder / "page.jpg").write_bytes(b"<html>not found</html>")
    return folder


@pytest.fixture(scope="module")
def direct(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The store that the DirectRunner makes, and the summary."""
    store = tmp_path_factory.mktemp("direct") / "store"
    return store, extract(f"--input={pictures}", f"--output={store}", "--shard_size=2", *SMALL_BASE)


@contextmanager
def several_processes() -> Iterator[tuple[str, ...]]:
    yield PROCESSES


@contextmanager
def prism() -> Iterator[tuple[str, ...]]:
    yield "--runner=PrismRunner", f"--prism_location={prism_binary()}"


@contextmanager
def prism_with_a_worker_pool() -> Iterator[tuple[str, ...]]:
    with prism_server() as jobs, worker_pool() as workers:
        yield portable(jobs, workers)


@contextmanager
def flink() -> Iterator[tuple[str, ...]]:
    yield "--runner=FlinkRunner", f"--flink_job_server_jar={job_server_jar('flink')}", "--parallelism=2"


@contextmanager
def spark() -> Iterator[tuple[str, ...]]:
    yield "--runner=SparkRunner", f"--spark_job_server_jar={job_server_jar('spark')}", "--spark_master_url=local[2]"


@pytest.mark.parametrize("runner", [several_processes, prism, prism_with_a_worker_pool, flink, spark])
def test_the_table_is_that_of_the_direct_runner(
    runner: Callable[[], AbstractContextManager[tuple[str, ...]]],
    pictures: Path,
    direct: tuple[Path, dict[str, Any]],
    run: Run,
    tmp_path: Path,
) -> None:
    with runner() as options:
        finished = run(
            "extract", f"--input={pictures}", f"--output={tmp_path}/store", "--shard_size=2", *SMALL_BASE, *options,
            f"--summary={tmp_path}/summary.json",
        )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["listed"], summary["extracted"], summary["failures_by_code"]) == (11, 10, {"not_an_image": 1})
    assert comparable(tmp_path / "store").equals(comparable(direct[0]))
    loads = measures(tmp_path / "store", summary["run_id"]).loads
    assert loads
    assert set(loads.values()) == {1}, "one base a process"


@pytest.mark.parametrize("options", [(), PROCESSES])
def test_progress_is_that_of_all_processes(
    options: tuple[str, ...], pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = []
    share = progress.progress_of_processes

    @contextmanager
    def watched() -> Iterator[Callable[[], Progress]]:
        with share() as counts:
            yield counts
            last.append(counts())

    monkeypatch.setattr(progress, "progress_of_processes", watched)
    extract(f"--input={pictures}", f"--output={tmp_path}/store", "--shard_size=2", *SMALL_BASE, *options)
    assert last == [Progress(planned=IMAGES + 1, extracted=IMAGES, failed=1)]


def test_many_threads_and_bundles_load_one_base(tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures", 20)
    summary = extract(
        f"--input={tmp_path}/pictures", f"--output={tmp_path}/store", "--shard_size=1", *SMALL_BASE,
        "--direct_running_mode=multi_threading", "--direct_num_workers=8",
    )  # fmt: skip
    found = measures(tmp_path / "store", summary["run_id"])
    assert found.loads == {f"{socket.gethostname()}/{os.getpid()}": 1}
    assert found.load_seconds > 0
    assert found.batches == 20
    assert found.decoded == 20
    assert found.bytes_read == sum(file.stat().st_size for file in (tmp_path / "pictures").iterdir())


@pytest.mark.parametrize(
    ("runner", "option"),
    [
        ("PrismRunner", "--prism_location"),
        ("FlinkRunner", "--flink_job_server_jar"),
        ("SparkRunner", "--spark_job_server_jar"),
    ],
)
def test_nothing_is_downloaded_at_run_time(runner: str, option: str, tmp_path: Path) -> None:
    for given in ((), (f"{option}={tmp_path}/absent",), (f"{option}=https://example.com/program",)):
        with pytest.raises(UsageError, match=f"{runner} needs {option}=FILE"):
            extract_command.main([f"--runner={runner.lower().removesuffix('runner')}", *given])


@pytest.mark.parametrize("name", ["DirectRunner", "directrunner", "direct"])
def test_a_runner_has_one_name(name: str) -> None:
    assert runner_name(beam_options([f"--runner={name}"])) == "DirectRunner"


def test_the_row_of_a_run_shows_what_it_cost(direct: tuple[Path, dict[str, Any]]) -> None:
    store, summary = direct
    row = FeatureStore.open(str(store)).find_run(summary["run_id"])
    assert row is not None
    assert json.loads(row["metrics"]) == summary["metrics"]
    assert summary["metrics"]["decode_seconds"] > 0
    assert summary["metrics"]["infer_seconds"] > 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), None),
        (("--runner=DirectRunner", "--direct_num_workers=3"), None),
        (("--direct_running_mode=multi_threading", "--direct_num_workers=3"), None),
        (("--direct_running_mode=multi_processing", "--direct_num_workers=3"), 2),
        (("--direct_running_mode=multi_processing", "--direct_num_workers=0"), 1),
        (("--direct_running_mode=multi_processing", "--direct_num_workers=16"), 1),
        (("--runner=FlinkRunner", "--direct_running_mode=multi_processing"), None),
    ],
)
def test_worker_processes_on_one_machine_share_its_cores(
    arguments: tuple[str, ...], expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "available_cores", lambda: 8)
    assert threads_a_process(beam_options(arguments)) == expected
