"""Jobs at a job server: named, cancelled, given up where no worker starts, and said to go on where nobody sees them."""

import re
import signal
import socket
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import NamedTuple

import pytest

from pipelines import extract as extract_command
from pipelines import predict as predict_command
from pipelines.prediction import prediction_job
from pipelines.runners import cancel, progress, remote
from pipelines.runners.progress import progress_line
from pipelines.runners.remote import RemoteJob, Waiting, WorkerStart, submitting
from schemas.errors import RunFailed, UsageError
from schemas.fragments import has_started, remove_receipts
from schemas.store import FeatureStore
from tests.conftest import SMALL_BASE, clusters, store_of_features, train, write_pictures
from tests.support.children import start_program
from tests.support.portable import portable, prism_server, worker_pool
from transforms.runtime import Progress

_SECONDS = 60


@contextmanager
def pool_without_workers() -> Iterator[str]:
    """A pool that takes what it is asked for, and starts nothing; yields its endpoint."""
    import grpc
    from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc

    class Pool(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):
        def StartWorker(self, *_: object) -> object:  # noqa: N802 (gRPC's name)
            return beam_fn_api_pb2.StartWorkerResponse()

        def StopWorker(self, *_: object) -> object:  # noqa: N802
            return beam_fn_api_pb2.StopWorkerResponse()

    server = grpc.server(ThreadPoolExecutor(2))
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(Pool(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"localhost:{port}"
    server.stop(0)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    write_pictures(folder, 12)
    return folder


@pytest.fixture(scope="module")
def idle() -> Iterator[tuple[str, ...]]:
    """The options of a job server whose jobs get no worker."""
    with prism_server() as jobs, pool_without_workers() as workers:
        yield portable(jobs, workers)


class Launched(NamedTuple):
    """An extraction in a process of its own, whose job is submitted.

    Attributes:
        process: The process.
        errors: Its standard error.
        job: The job's identifier.
    """

    process: ForkServerProcess
    errors: Path
    job: str

    def end(self) -> tuple[int | None, str]:
        """Waits for its end, and returns its exit code and the last line of standard error."""
        self.process.join(_SECONDS)
        return self.process.exitcode, self.errors.read_text().splitlines()[-1]


def launched(folder: Path, *options: object) -> Launched:
    """Starts an extraction into a folder, and waits until its job is submitted."""
    arguments = [*options, f"--output={folder}/store", "--shard_size=2", *SMALL_BASE]
    process = start_program("extract", arguments, folder / "program")
    errors, until = folder / "program" / "stderr", time.monotonic() + _SECONDS
    said = re.compile(r"Job (\S+) at \S+ is submitted; `([^`]*)` cancels it")
    while not (errors.exists() and (found := said.search(errors.read_text()))):
        assert process.is_alive(), errors.read_text()
        assert time.monotonic() < until
        time.sleep(0.1)
    assert found[2].endswith(found[1])
    return Launched(process, errors, found[1])


def test_a_job_that_gets_no_worker_is_cancelled_in_time(
    idle: tuple[str, ...], pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_SECONDS_TO_CANCEL", 1.0)  # Prism answers late.
    with pytest.raises(RunFailed) as failed:
        extract_command.main(
            [f"--input={pictures}", f"--output={tmp_path}/store", *SMALL_BASE, *idle, "--worker_start_timeout=2s"]
        )
    said = str(failed.value)
    assert re.match(
        r"No worker of job \S+ at localhost:\d+ has started in 2 s \(--worker_start_timeout\); the job is", said
    )
    assert re.search(r"cancelled: the worker pool at localhost:\d+ prints why", said)


def test_a_job_is_cancelled_by_the_command_that_was_printed(
    idle: tuple[str, ...], pictures: Path, tmp_path: Path
) -> None:
    extraction = launched(tmp_path, f"--input={pictures}", *idle)
    assert cancel.main([idle[1], extraction.job]) == 0
    code, line = extraction.end()
    assert code == 1
    assert line.startswith("error: The run failed, and nothing of it is visible: ")


def test_a_job_that_the_server_does_not_know_is_not_cancelled(idle: tuple[str, ...]) -> None:
    with pytest.raises(RunFailed, match=r"^localhost:\d+ (knows no job job-999|does not cancel)"):
        cancel.main([idle[1], "job-999"])


def test_a_launcher_that_is_ended_says_that_its_job_goes_on(
    idle: tuple[str, ...], pictures: Path, tmp_path: Path
) -> None:
    extraction = launched(tmp_path, f"--input={pictures}", *idle)
    extraction.process.terminate()
    code, line = extraction.end()
    assert code == 128 + signal.SIGTERM
    assert "is interrupted; nothing of it is visible." in line
    assert f"Job {extraction.job} at localhost:" in line
    assert "goes on, and may commit: `python -m pipelines.inspect file://" in line
    cancel.main([idle[1], extraction.job])


def test_a_job_server_that_is_lost_is_told_in_one_sentence(pictures: Path, tmp_path: Path) -> None:
    with pool_without_workers() as workers:
        with prism_server() as jobs:
            extraction = launched(tmp_path, f"--input={pictures}", *portable(jobs, workers))
        code, line = extraction.end()
    assert code == 1
    assert line.startswith(f"error: Job {extraction.job} at {jobs} can no longer be seen (")
    assert "it may still be running, and commit; `python -m pipelines.inspect file://" in line


def test_a_pool_that_is_gone_is_named(pictures: Path, tmp_path: Path) -> None:
    """Prism ends with a job whose pool refuses connections."""
    gone = free_endpoint()
    options = (f"--input={pictures}", f"--output={tmp_path}/store", *SMALL_BASE, "--worker_start_timeout=5s")
    with (
        prism_server() as jobs,
        pytest.raises(RunFailed, match=rf"its worker pool {gone} \(--env.*\) refuses"),
    ):
        extract_command.main([*options, *portable(jobs, gone)])


def test_workers_elsewhere_say_that_they_have_started_and_how_far_they_are(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("TO_FIRST_LINE", "BETWEEN_LINES", "BETWEEN_LOOKS", "BETWEEN_METRICS"):
        monkeypatch.setattr(progress, f"_SECONDS_{name}", 0.1)
    options = (f"--input={pictures}", f"--output={tmp_path}/store", *SMALL_BASE, "--worker_start_timeout=45s")
    with prism_server() as jobs, worker_pool() as workers:
        assert extract_command.main([*options, "--shard_size=1", "--batch_size=1", *portable(jobs, workers)]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert any(re.search(r" no worker of job \S+ at \S+ has started yet$", line) for line in lines), lines
    assert any(re.search(r" \d+ of 12 images", line) for line in lines), lines
    assert FeatureStore.open(f"{tmp_path}/store").scan().count() == 12
    assert [file for file in (tmp_path / "store" / "receipts").rglob("*") if file.is_file()] == []


@pytest.fixture(scope="module")
def classifier(small_store: FeatureStore, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The options of a run of predictions: a classifier, and a store with the features that it takes."""
    folder = tmp_path_factory.mktemp("classifier")
    features, classes = clusters((20, 20), features=256, distance=3.0)
    store = store_of_features(folder / "store", features, small_store, label=[("a", "b")[index] for index in classes])
    train(f"--features={store.uri}", f"--output={folder}/model", "--test_fraction=0", "--l2=1")
    return f"--model={folder}/model", f"--features={store.uri}"


@pytest.fixture(params=["images", "features"])
def asked(request: pytest.FixtureRequest, classifier: tuple[str, str], pictures: Path, tmp_path: Path) -> list[str]:
    """The options of a run of predictions, of images or of features, into an empty folder."""
    model, features = classifier
    return [model, f"--input={pictures}" if request.param == "images" else features, f"--output={tmp_path}/out"]


def test_predictions_that_get_no_worker_are_cancelled_in_time(
    asked: list[str], idle: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_SECONDS_TO_CANCEL", 1.0)
    file = tmp_path / "run.prom"
    with pytest.raises(RunFailed, match=r"^No worker of job \S+ at \S+ has started in 2 s \(--worker_start_timeout\)"):
        predict_command.main([*asked, *idle, "--worker_start_timeout=2s", f"--metrics_file={file}"])
    assert [line.split()[-1] for line in file.read_text().splitlines() if line.startswith("convbase_exit")] == ["1.0"]


def test_predictions_elsewhere_say_that_a_worker_has_started(
    asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[bool] = []

    def removed(uri: str, run_id: str, paths: Iterable[str]) -> None:
        left.append(has_started(uri, run_id))
        remove_receipts(uri, run_id, paths)

    monkeypatch.setattr(prediction_job, "remove_receipts", removed)
    with prism_server() as jobs, worker_pool() as workers:
        assert predict_command.main([*asked, "--worker_start_timeout=45s", *portable(jobs, workers)]) == 0
    assert left == [True]
    assert [file for file in (tmp_path / "out" / "receipts").rglob("*") if file.is_file()] == []


def free_endpoint() -> str:
    with socket.socket() as bound:
        bound.bind(("localhost", 0))
        return f"localhost:{bound.getsockname()[1]}"


def test_a_job_server_that_nobody_listens_at_is_refused_at_once(pictures: Path, tmp_path: Path) -> None:
    endpoint = free_endpoint()
    began = time.monotonic()
    with pytest.raises(UsageError, match=rf"The job server --job_endpoint={endpoint} cannot be reached \(.*refused"):
        extract_command.main([f"--input={pictures}", f"--output={tmp_path}/store", *portable(endpoint, "localhost:1")])
    assert time.monotonic() - began < 15
    assert not (tmp_path / "store").exists()


def waiting(*, has_started: bool) -> Waiting:
    job = RemoteJob("job-1 at jobs:8099", "Ctrl-C", "", None, True, None)
    return Waiting(job, WorkerStart(60.0, lambda: has_started), Future())


@pytest.mark.parametrize(
    ("counts", "job", "rate", "said"),
    [
        (Progress(), None, None, "30 s: 0 of 0 images, 0 failed, planning"),
        (Progress(planned=60), None, None, "30 s: 0 of 60 images, 0 failed, starting"),
        (Progress(60, 0, 29, 1), None, 1.0, "30 s: 30 of 60 images, 1 failed, 1.0 images/s, 30 s left"),
        (None, waiting(has_started=False), None, "30 s: no worker of job job-1 at jobs:8099 has started yet"),
        (
            Progress(), waiting(has_started=True), None,
            "30 s: job job-1 at jobs:8099 is running; how far it is cannot be seen from here",
        ),
        (
            Progress(60, 0, 30), waiting(has_started=True), 1.0,
            "30 s: 30 of 60 images, 0 failed, 1.0 images/s, 30 s left",
        ),
    ],
)  # fmt: skip
def test_progress_says_what_can_be_seen(
    counts: Progress | None, job: Waiting | None, rate: float | None, said: str
) -> None:
    assert progress_line(30.0, counts, job, rate) == said


def test_progress_says_that_a_job_is_being_submitted() -> None:
    with submitting():
        assert progress_line(30.0, Progress(), None, None) == "30 s: the job is being submitted"
