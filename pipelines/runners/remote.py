"""Jobs that run elsewhere, at a job server or on Dataflow: what they are called, how far they are, when they are lost.

A launcher only waits for such a job. The job may go on, and commit, where its launcher or its connection has ended.
"""

import concurrent.futures
import contextlib
import dataclasses
import logging
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from pipelines.runners.dataflow import dataflow_connection_errors
from pipelines.runners.selection import DATAFLOW_RUNNER, EMBEDDED
from schemas.errors import RunFailed, first_line
from transforms.runtime import Progress

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.runner import PipelineResult

_NAMESPACE: Final = "convbase"
_SECONDS_BETWEEN_LOOKS: Final = 1.0
# A job server that is asked to cancel a job may be the one that is lost.
_SECONDS_TO_CANCEL: Final = 10.0
# Where to look for why no worker starts, by Beam's `--environment_type`.
_LOGS: Final = {
    "EXTERNAL": "the worker pool at {config} prints why, or has not been reached at all",
    "PROCESS": "the log of the machine that started {config} says why",
    "DOCKER": "`docker logs` on the machines of the cluster says why",
    "LOOPBACK": "the workers are threads of this command, which the cluster has to reach",
}


# What gRPC says of an address that nobody listens at, in Go, Java and Python.
_UNREACHED: Final = re.compile("UNAVAILABLE|[Cc]onnection refused|failed to connect")


class JobLost(Exception):
    """A job that was submitted can no longer be seen; it may be running."""


@dataclasses.dataclass(frozen=True)
class RemoteJob:
    """A job that was submitted.

    Attributes:
        name: Its identifier, and where it is, as in "job-1 at localhost:8099".
        cancelled_by: What cancels it.
        worker_log: Where it says why no worker starts, as a clause.
        pool: The address of the worker pool, if one starts the workers.
        outlives: Whether it goes on where this process ends.
        result: Beam's handle of it.
    """

    name: str
    cancelled_by: str
    worker_log: str
    pool: str | None
    outlives: bool
    result: "PipelineResult"

    def progress(self) -> Progress | None:
        """Returns how far it is by the runner's own metrics; None where these say nothing."""
        counters = self._counters()
        if not counters:
            return None
        skipped = counters.get("images_skipped", 0)
        return Progress(
            planned=counters.get("images_listed", 0) - skipped,
            skipped=skipped,
            extracted=counters.get("images_extracted", 0) + counters.get("images_adopted", 0),
            failed=sum(number for name, number in counters.items() if name.startswith("images_failed")),
        )

    def _counters(self) -> dict[str, int]:
        from apache_beam.metrics.metric import MetricsFilter

        vars(self.result)["_metrics"] = None  # A portable job's handle remembers its first answer.
        try:
            metrics = self.result.metrics()
            found = metrics.query(MetricsFilter().with_namespace(_NAMESPACE))["counters"] if metrics else ()
        except _lost_errors():
            return {}
        counters: dict[str, int] = {}
        for each in found:
            number = each.attempted if each.committed is None else each.committed
            counters[each.key.metric.name] = counters.get(each.key.metric.name, 0) + int(number or 0)
        return counters

    def cancel(self) -> None:
        """Asks for its end, and waits no longer than ten seconds for an answer."""
        cancelling = threading.Thread(target=self._cancel, daemon=True)
        cancelling.start()
        cancelling.join(_SECONDS_TO_CANCEL)

    def _cancel(self) -> None:
        with contextlib.suppress(*_lost_errors()):
            self.result.cancel()


@dataclasses.dataclass(frozen=True)
class WorkerStart:
    """How long workers may take to start, and how a launcher knows that one has.

    Attributes:
        seconds: After them a job without a worker is cancelled.
        has_started: Whether a worker has said so.
    """

    seconds: float
    has_started: Callable[[], bool]


@dataclasses.dataclass(frozen=True)
class Waiting:
    """A job that is waited for.

    Attributes:
        job: The job.
        start: How long its workers may take to start; None where that cannot be seen.
        ended: Its end.
    """

    job: RemoteJob
    start: WorkerStart | None
    ended: "Future[object]"


_LAST: list[Waiting] = []
_SUBMITTING: Final = threading.Event()


@contextlib.contextmanager
def submitting() -> Iterator[None]:
    """Says for the time of a block that a job is being submitted."""
    _SUBMITTING.set()
    try:
        yield
    finally:
        _SUBMITTING.clear()


def is_submitting() -> bool:
    """Whether a job is being submitted."""
    return _SUBMITTING.is_set()


def waited_for() -> Waiting | None:
    """Returns the job elsewhere that this process waits for, or would if it were not interrupted; None without one."""
    return _LAST[-1] if _LAST and not _LAST[-1].ended.done() else None


def submitted_job(runner: str, options: "PipelineOptions", result: "PipelineResult") -> RemoteJob | None:
    """Returns the job that a runner has submitted; None if it runs in this process, or is only written down.

    Args:
        runner: The runner's name.
        options: Beam's options.
        result: Beam's handle of the job.
    """
    from apache_beam.options.pipeline_options import GoogleCloudOptions, PortableOptions

    portable = options.view_as(PortableOptions)
    if runner == DATAFLOW_RUNNER:
        return _dataflow_job(options.view_as(GoogleCloudOptions), result)
    job_id, endpoint = getattr(result, "_job_id", None), portable.job_endpoint
    if job_id is None or endpoint == EMBEDDED:
        return None
    kind = portable.environment_type or "DOCKER"
    log = _LOGS.get(kind, "the log of the workers says why")
    return RemoteJob(
        name=f"{job_id} at {endpoint or f'a job server that ends with this command, for {runner}'}",
        cancelled_by=f"`python -m pipelines.runners.cancel --job_endpoint={endpoint} {job_id}`"
        if endpoint
        else "Ctrl-C",
        worker_log=log.format(config=portable.environment_config),
        pool=portable.environment_config if kind == "EXTERNAL" else None,
        outlives=bool(endpoint),
        result=result,
    )


def _dataflow_job(cloud: Any, result: Any) -> RemoteJob | None:
    if not result.has_job:
        return None
    job_id = result.job_id()
    url = f"https://console.cloud.google.com/dataflow/jobs/{cloud.region}/{job_id}?project={cloud.project}"
    return RemoteJob(
        name=f"{job_id} ({url})",
        cancelled_by=f"`gcloud dataflow jobs cancel {job_id} --project={cloud.project} --region={cloud.region}`",
        worker_log="its page shows the log of the workers",
        pool=None,
        outlives=True,
        result=result,
    )


def wait_for(job: RemoteJob, start: WorkerStart | None = None) -> None:
    """Says that a job is submitted and how it is cancelled, and waits for its end.

    Args:
        job: The job.
        start: How long its workers may take to start; None where that cannot be seen.

    Raises:
        JobLost: If it can no longer be seen.
        RunFailed: If no worker starts in time.
        RuntimeError: If it fails.
    """
    print(f"Job {job.name} is submitted; {job.cancelled_by} cancels it.", file=sys.stderr, flush=True)
    pool = ThreadPoolExecutor(1, "job")
    waiting = Waiting(job, start, pool.submit(job.result.wait_until_finish))
    pool.shutdown(wait=False)
    _LAST[:] = [waiting]
    with _unprinted_threads():
        _watch_start(waiting)
        try:
            waiting.ended.result()
        except _lost_errors() as error:
            raise _lost(job, error) from error
        except RuntimeError as error:
            if job.pool is None or not _UNREACHED.search(str(error)):
                raise
            raise RunFailed(
                f"The worker pool {job.pool} (--environment_config) cannot be reached from the cluster: `python -m "
                "pipelines.runners.worker_pool` starts it, on each of its machines."
            ) from error


def _watch_start(waiting: Waiting) -> None:
    """Waits until a worker has started, or the job has ended.

    Raises:
        RunFailed: If neither happens in time; the job is cancelled then.
    """
    start, began = waiting.start, time.monotonic()
    while start is not None and not start.has_started():
        concurrent.futures.wait([waiting.ended], _SECONDS_BETWEEN_LOOKS)
        if waiting.ended.done():
            return
        if time.monotonic() - began > start.seconds:
            waiting.job.cancel()
            raise RunFailed(_no_worker(waiting.job, start.seconds))


@contextlib.contextmanager
def _unprinted_threads() -> Iterator[None]:
    """Keeps Python from printing what ends a thread of Beam's that asks for the state of a job: it is said once."""
    before = threading.excepthook
    threading.excepthook = lambda of: logging.getLogger(__name__).debug("A thread ended: %s", of.exc_value)
    try:
        yield
    finally:
        threading.excepthook = before


def _lost_errors() -> tuple[type[Exception], ...]:
    """Returns what is raised where a job's server no longer answers; Dataflow's client asserts that it has ended."""
    import grpc

    return grpc.RpcError, AssertionError, ConnectionError, *dataflow_connection_errors()


def _lost(job: RemoteJob, error: Exception) -> Exception:
    """Returns the error for a job that cannot be seen any more; one whose server was this command's own has failed."""
    details = getattr(error, "details", None)
    said = str(details() if callable(details) else "") or first_line(error)
    if isinstance(error, AssertionError):
        said = "its state cannot be asked for"
    if not job.outlives:
        return RunFailed(f"The job server of job {job.name} has ended: {said}")
    refused = _refusing_pool(job)
    return JobLost(f"Job {job.name} can no longer be seen ({said}){refused}: it may still be running, and commit")


def _refusing_pool(job: RemoteJob) -> str:
    """Returns the clause that a job's worker pool refuses connections, as seen from here; empty where it does not."""
    host, _, port = (job.pool or "").rpartition(":")
    try:
        if host:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS_BETWEEN_LOOKS).close()
    except ConnectionRefusedError:
        return f", and its worker pool {job.pool} (--environment_config) refuses connections"
    except (OSError, ValueError):  # It is another machine's.
        pass
    return ""


def _no_worker(job: RemoteJob, seconds: float) -> str:
    messages = [each.message_response.message_text for each in getattr(job.result, "_messages", ())]
    said = [first_line(RuntimeError(text)) for text in messages if text]
    last = f" The last that its server said: {said[-1]}" if said else ""
    return (
        f"No worker of job {job.name} has started in {seconds:.0f} s (--worker_start_timeout){_refusing_pool(job)}; "
        f"the job is cancelled: {job.worker_log}.{last}"
    )
