"""Where pipelines are built: on the runner that the options name, and in IPython as anywhere else.

Beam has features for notebooks: where it finds itself in IPython, it looks for pipelines among the notebook's variables
before each step, puts the number of the cell before the step's name, and leaves temporary folders behind. It imports
its own data frames for that, which pandas 3.1 breaks, and has no option against it.
"""

import contextlib
import contextvars
import datetime
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from pipelines.runners.beam_import import import_beam
from pipelines.runners.remote import RemoteJob, WorkerStart, submitted_job, submitting, wait_for
from pipelines.runners.selection import find_runner, has_remote_workers, runner_name
from schemas.fragments import forget_start, has_started, leave_start

if TYPE_CHECKING:
    from apache_beam import Pipeline
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.runner import PipelineResult

_IN_OWN_PIPELINE: Final = contextvars.ContextVar("in a pipeline of ours", default=False)


@contextmanager
def new_pipeline(options: "PipelineOptions", start: WorkerStart | None = None) -> "Iterator[Pipeline]":
    """Gives a pipeline that is to be wired, and runs it at the end.

    Args:
        options: Beam's options.
        start: How long workers elsewhere may take to start, where that can be seen.

    Raises:
        JobLost: If a job elsewhere can no longer be seen.
        RunFailed: If no worker of one starts in time.
        RuntimeError: If a worker fails for good.
    """
    import_beam()
    import apache_beam as beam

    _hide_ipython_from_own_pipelines()
    before = _IN_OWN_PIPELINE.set(True)
    try:
        name = runner_name(options)  # Runners change it.
        pipeline = beam.Pipeline(runner=find_runner(options), options=options)
        vars(pipeline)["run"] = functools.partial(_run, pipeline.run, name, options, start)
        with pipeline as root:
            yield root
    finally:
        _IN_OWN_PIPELINE.reset(before)


def worker_start(
    options: "PipelineOptions", timeout: datetime.timedelta, folder_uri: str, run_id: str
) -> WorkerStart | None:
    """Returns how long workers of a job that is to be submitted may take to start; None where this machine has them.

    A run of this name that was killed may have said that it has started: that is taken away.

    Args:
        options: Beam's options.
        timeout: How long.
        folder_uri: The store, or the folder of predictions, where the first of them says that it has started.
        run_id: The run.
    """
    if not has_remote_workers(options):
        return None
    forget_start(folder_uri, run_id)
    return WorkerStart(timeout.total_seconds(), functools.partial(has_started, folder_uri, run_id))


def on_worker_start(options: "PipelineOptions", folder_uri: str, run_id: str) -> Callable[[], None] | None:
    """Returns what the first worker does, where its launcher does not see it start; None where it does."""
    return functools.partial(leave_start, folder_uri, run_id) if has_remote_workers(options) else None


class _Submitted:
    """A job elsewhere, as a pipeline waits for it."""

    def __init__(self, job: RemoteJob, start: WorkerStart | None) -> None:
        self._job = job
        self._start = start

    def wait_until_finish(self) -> None:
        wait_for(self._job, self._start)


def _run(
    run: "Callable[[], PipelineResult]", name: str, options: "PipelineOptions", start: WorkerStart | None
) -> "PipelineResult | _Submitted":
    with submitting() if has_remote_workers(options) else contextlib.nullcontext():
        result = run()
    job = submitted_job(name, options, result)
    return result if job is None else _Submitted(job, start)


@functools.cache
def _hide_ipython_from_own_pipelines() -> None:
    """Lets Beam take IPython for any other program while it builds a pipeline of ours; other pipelines stay theirs."""
    from apache_beam import pipeline
    from apache_beam.utils import interactive_utils

    asked = interactive_utils.is_in_ipython

    def is_in_ipython() -> bool:
        return not _IN_OWN_PIPELINE.get() and asked()

    interactive_utils.is_in_ipython = pipeline.is_in_ipython = is_in_ipython
