"""Two processes on a machine beside one, on the DirectRunner and on a pool of workers that serves Flink."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Final, TypeAlias

from schemas.store import FeatureStore
from tests.benchmarks.cases import Case, our_command
from tests.benchmarks.pictures import write_list
from tests.benchmarks.results import Figure, ratio
from tests.benchmarks.workshop import Unmeasurable, Workshop
from tests.support.portable import PROCESSES, job_server_path, worker_pool

_SHARD_SIZE: Final = 64

_Options: TypeAlias = AbstractContextManager[tuple[str, ...]]


def processes(workshop: Workshop, case: Case, rounds: int) -> list[Figure]:
    """Measures how long two thirds of a case's pictures take: whole runs of a third and of all, start-up so taken away.

    Raises:
        Unmeasurable: If a run fails.
    """
    runners = {"DirectRunner": (_direct, _direct_processes)}
    if job_server_path("flink").exists() and shutil.which("java"):
        runners["Flink, a pool of workers"] = (lambda: _flink(1), lambda: _flink(2))
    published, figures = workshop.published(case), []
    for runner, sides in runners.items():
        taken: list[list[float]] = [[], []]
        for number in range(rounds):
            for side in (0, 1) if number % 2 == 0 else (1, 0):
                taken[side].append(_seconds_of_further(workshop, case, published, sides[side]))
        one, two = (
            Figure(f"{runner}, {name}: {case.count - case.count // 3} further pictures", tuple(values), "s")
            for name, values in zip(("one process", "two processes"), taken, strict=True)
        )
        figures += [one, two, ratio("two processes ÷ one", two, one)]
    return figures


def _seconds_of_further(
    workshop: Workshop, case: Case, published: FeatureStore, runner: Callable[[], _Options]
) -> float:
    seconds = []
    for count in (case.count // 3, case.count):
        pictures = write_list(case.paths[:count], workshop.scratch("pictures").with_suffix(".txt"))
        with runner() as options:
            command = [*our_command(case, workshop.warm_store(published), pictures), f"--shard_size={_SHARD_SIZE}"]
            measured = workshop.run([*command, *options])
        if measured.exit_code:
            raise Unmeasurable(measured.message)
        seconds.append(measured.seconds)
    return seconds[1] - seconds[0]


@contextlib.contextmanager
def _direct() -> Iterator[tuple[str, ...]]:
    yield ()


@contextlib.contextmanager
def _direct_processes() -> Iterator[tuple[str, ...]]:
    yield PROCESSES


@contextlib.contextmanager
def _flink(parallelism: int) -> Iterator[tuple[str, ...]]:
    with worker_pool() as workers:
        yield (
            "--runner=FlinkRunner", f"--flink_job_server_jar={job_server_path('flink')}",
            "--environment_type=EXTERNAL", f"--environment_config={workers}", f"--parallelism={parallelism}",
        )  # fmt: skip
