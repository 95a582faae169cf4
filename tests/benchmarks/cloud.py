"""Pictures in a bucket beside the same ones on this machine's disk: listing, reading, and whole extractions.

The bucket is one of versitygw on loopback, as it is and behind a proxy whose answers are late. CPU is that of the
process that reads, or of the command with all its processes; the server's and the proxy's are not counted.
"""

import itertools
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from schemas.storage import Storage
from tests.benchmarks.cases import Case, our_command
from tests.benchmarks.feeding import SIDE, fed_by
from tests.benchmarks.results import Figure, ratio
from tests.benchmarks.workshop import Unmeasurable, Workshop
from tests.support.s3_servers import versitygw
from tests.support.slow_proxy import slow_proxy

LATENCY_SECONDS: Final = 0.03
_UPLOADS: Final = 8
_FAR: Final = "S3, 30 ms away"


def cloud(workshop: Workshop, case: Case, rounds: int) -> list[Figure]:
    """Measures pictures on disk, in S3, and in S3 far away, in turn, a new process each.

    Raises:
        Unmeasurable: If versitygw is not built, or a process fails.
    """
    paths = case.paths[: case.count]
    with _bucket(workshop, paths) as bucket, slow_proxy(os.environ["AWS_ENDPOINT_URL"], LATENCY_SECONDS) as far:
        local = _linked(paths, workshop.scratch("pictures"))
        places = {"local disk": (str(local), {}), "S3": (bucket, {}), _FAR: (bucket, {"AWS_ENDPOINT_URL": far})}
        figures = list(_reads(workshop, places, rounds))
        figures += _compared(workshop, "a base that costs nothing", places, rounds, _fed)
        return figures + _compared(workshop, case.conv_base, places, rounds, _extracted(case))


Places = Mapping[str, tuple[str, Mapping[str, str]]]


@contextmanager
def _bucket(workshop: Workshop, paths: Sequence[str]) -> Iterator[str]:
    import boto3

    try:
        with versitygw(workshop.scratch("versitygw")) as bucket:
            client = boto3.client("s3")
            with ThreadPoolExecutor(_UPLOADS) as pool:
                list(pool.map(lambda path: client.upload_file(path, bucket, f"pictures/{Path(path).name}"), paths))
            yield f"s3://{bucket}/pictures"
    except pytest.skip.Exception as skipped:
        raise Unmeasurable(str(skipped)) from skipped


def _linked(paths: Sequence[str], folder: Path) -> Path:
    folder.mkdir(parents=True)
    for path in paths:
        (folder / Path(path).name).symlink_to(Path(path).absolute())
    return folder


def _reads(workshop: Workshop, places: Places, rounds: int) -> Iterator[Figure]:
    """Yields what reading costs through either library, in 16 threads of one process."""
    remote = {name: place for name, place in places.items() if name != "local disk"}
    measured: dict[str, list[dict[str, float]]] = {}
    for _, (name, place), storage in itertools.product(range(rounds), remote.items(), Storage):
        command = ["-m", "tests.benchmarks.bucket_reads", f"--input={place[0]}", f"--storage={storage}"]
        with _environment(place[1]):
            measured.setdefault(f"{name}, {storage}", []).append(_figures(workshop, command))
    for name, values in measured.items():
        yield Figure(f"{name}: reads", tuple(one["keys"] / one["seconds"] for one in values), "files/s")
        cpu = tuple(1000 * one["cpu_seconds"] / one["keys"] for one in values)
        yield Figure(f"{name}: CPU of a read", cpu, "ms/file")


def _compared(workshop: Workshop, what: str, places: Places, rounds: int, measured_once: "Measure") -> list[Figure]:
    measured: dict[str, list[tuple[float, float]]] = {}
    for _, (name, (uri, environment)) in itertools.product(range(rounds), places.items()):
        with _environment(environment):
            measured.setdefault(name, []).append(measured_once(workshop, uri))
    speeds, costs = {}, {}
    for name, values in measured.items():
        seconds, cpu_seconds = zip(*values, strict=True)
        speeds[name] = Figure(f"{what}, {name}", tuple(1 / one for one in seconds), "images/s")
        costs[name] = Figure(f"{what}, {name}: CPU", tuple(1000 * one for one in cpu_seconds), "ms/image")
    ratios = [
        ratio(f"{what}, {name} ÷ local disk: {kind}", figures[name], figures["local disk"])
        for name in places
        if name != "local disk"
        for kind, figures in (("CPU", costs), ("speed", speeds))
    ]
    return [*speeds.values(), *costs.values(), *ratios]


# Seconds a picture, of wall and of CPU.
Measure = Callable[[Workshop, str], tuple[float, float]]


def _fed(workshop: Workshop, uri: str) -> tuple[float, float]:
    fed = fed_by(workshop, [sys.executable, "-m", "tests.benchmarks.fed", f"--input={uri}", f"--side={SIDE}"])
    return fed["seconds"] / fed["pictures"], fed["cpu_seconds"] / fed["pictures"]


def _extracted(case: Case) -> Measure:
    def extracted(workshop: Workshop, uri: str) -> tuple[float, float]:
        store = workshop.warm_store(workshop.published(case))
        done = workshop.run(our_command(case, store, uri))
        if done.exit_code:
            raise Unmeasurable(done.message)
        return done.seconds / case.count, done.cpu_seconds / case.count

    return extracted


def _figures(workshop: Workshop, command: Sequence[str]) -> dict[str, float]:
    file = workshop.scratch("figures").with_suffix(".json")
    file.parent.mkdir(parents=True, exist_ok=True)
    done = workshop.run([sys.executable, *command, f"--figures={file}"])
    if done.exit_code:
        raise Unmeasurable(done.message)
    figures: dict[str, float] = json.loads(file.read_text())
    return figures


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield
