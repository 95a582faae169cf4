"""Pictures in buckets and on a web server beside the same ones on this machine's disk: stages, and whole extractions.

The servers are on loopback: versitygw, as it is and behind Toxiproxy with late answers, fake-gcs-server, and nginx.
CPU is that of the process that reads, or of the command with all its processes; the servers' and the proxy's are not
counted. They use the same cores, so what is late is compared with the same proxy whose answers come at once, too.
"""

import itertools
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

import pytest

from schemas.storage import Storage
from tests.benchmarks.cases import Case, our_command
from tests.benchmarks.feeding import SIDE, fed_by
from tests.benchmarks.results import Figure, ratio
from tests.benchmarks.workshop import Unmeasurable, Workshop
from tests.support.gcs_server import gcs_server
from tests.support.s3_servers import versitygw
from tests.support.slow_proxy import slow_proxy
from tests.support.web_servers import nginx

LATENCY_SECONDS: Final = 0.03
_UPLOADS: Final = 8
_CPU: Final = "_cpu_seconds"
LOCAL: Final = "local disk"
_FAR: Final = "S3, 30 ms away"
_PROXY: Final = "S3, through the same proxy at once"


class Place(NamedTuple):
    """Where the pictures are.

    Attributes:
        uri: Their folder.
        environment: What points to its server.
        libraries: What can read them.
    """

    uri: str
    environment: Mapping[str, str] = MappingProxyType({})
    libraries: tuple[Storage, ...] = ()


Places = Mapping[str, Place]
Started = AbstractContextManager[Place]


def cloud(workshop: Workshop, case: Case, rounds: int) -> list[Figure]:
    """Measures pictures on disk, in S3, near and far, in Google's storage and on the web, in turn, a new process each.

    A place whose server is not installed is left out, with a line on standard error, and one in place of its figures.

    Raises:
        Unmeasurable: If versitygw or Toxiproxy is not built, or a process fails.
    """
    paths = case.paths[: case.count]
    with ExitStack() as servers:
        bucket = servers.enter_context(pictures_in_s3(workshop, paths))
        server = os.environ["AWS_ENDPOINT_URL"]
        beside, far = (servers.enter_context(_proxy(server, seconds)) for seconds in (0, LATENCY_SECONDS))
        local = _copied(paths, workshop.scratch("pictures"))
        both = tuple(Storage)
        places = {
            LOCAL: Place(str(local)),
            "S3": Place(bucket, {}, both),
            _PROXY: Place(bucket, {"AWS_ENDPOINT_URL": beside}, both),
            _FAR: Place(bucket, {"AWS_ENDPOINT_URL": far}, both),
        }
        others: dict[str, Started] = {
            "Google": _google_bucket(workshop, paths),
            "the web": _web_server(workshop, local),
        }
        left_out = []
        for name, started in others.items():
            try:
                places[name] = servers.enter_context(started)
            except pytest.skip.Exception as skipped:
                print(f"Pictures in {name} are left out: {skipped}.", file=sys.stderr)
                left_out.append(Figure(f"{name}: reads", (), "files/s", str(skipped)))
        figures = left_out + list(_reads(workshop, places, rounds))
        figures += _compared(workshop, "a base that costs nothing", places, rounds, _fed)
        whole = _compared(workshop, case.conv_base, places, rounds, _extracted(case))
        return figures + whole + list(_stages(workshop, case, places, rounds, whole))


@contextmanager
def _proxy(server: str, seconds: float) -> Iterator[str]:
    try:
        with slow_proxy(server, seconds) as address:
            yield address
    except pytest.skip.Exception as skipped:
        raise Unmeasurable(str(skipped)) from skipped


@contextmanager
def pictures_in_s3(workshop: Workshop, paths: Sequence[str]) -> Iterator[str]:
    """Puts pictures into a bucket of versitygw, to which the environment of processes points, and yields their folder.

    Raises:
        Unmeasurable: If versitygw is not built.
    """
    import boto3

    try:
        with versitygw(workshop.scratch("versitygw")) as bucket:
            client = boto3.client("s3")
            with ThreadPoolExecutor(_UPLOADS) as pool:
                list(pool.map(lambda path: client.upload_file(path, bucket, f"pictures/{Path(path).name}"), paths))
            yield f"s3://{bucket}/pictures"
    except pytest.skip.Exception as skipped:
        raise Unmeasurable(str(skipped)) from skipped


@contextmanager
def _google_bucket(workshop: Workshop, paths: Sequence[str]) -> Iterator[Place]:
    import fsspec

    folder = workshop.scratch("google")
    folder.mkdir(parents=True)
    with gcs_server(folder) as bucket:
        fs = fsspec.filesystem("gs")
        for path in paths:
            fs.pipe_file(f"{bucket}/pictures/{Path(path).name}", Path(path).read_bytes())
        yield Place(f"gs://{bucket}/pictures", {}, tuple(Storage))


@contextmanager
def _web_server(workshop: Workshop, folder: Path) -> Iterator[Place]:
    with nginx(workshop.scratch("nginx"), folder) as url:
        yield Place(f"{url}/", {}, (Storage.FSSPEC,))


def _copied(paths: Sequence[str], folder: Path) -> Path:
    """Copies pictures: links that lead out of a folder are not followed."""
    folder.mkdir(parents=True)
    for path in paths:
        shutil.copy(path, folder)
    return folder


def _reads(workshop: Workshop, places: Places, rounds: int) -> Iterator[Figure]:
    """Yields what reading costs through either library, in 16 threads of one process."""
    asked = [(name, place, storage) for name, place in places.items() for storage in place.libraries]
    measured: dict[str, list[dict[str, float]]] = {}
    for _, (name, place, storage) in itertools.product(range(rounds), asked):
        command = ["-m", "tests.benchmarks.bucket_reads", f"--input={place.uri}", f"--storage={storage}"]
        with _environment(place.environment):
            measured.setdefault(f"{name}, {storage}", []).append(_figures(workshop, command))
    for name, values in measured.items():
        yield Figure(f"{name}: reads", tuple(one["keys"] / one["seconds"] for one in values), "files/s")
        cpu = tuple(1000 * one["cpu_seconds"] / one["keys"] for one in values)
        yield Figure(f"{name}: CPU of a read", cpu, "ms/file")


def _compared(workshop: Workshop, what: str, places: Places, rounds: int, measured_once: "Measure") -> list[Figure]:
    measured: dict[str, list[tuple[float, float]]] = {}
    for _, (name, place) in itertools.product(range(rounds), places.items()):
        with _environment(place.environment):
            measured.setdefault(name, []).append(measured_once(workshop, place.uri))
    speeds, costs = {}, {}
    for name, values in measured.items():
        seconds, cpu_seconds = zip(*values, strict=True)
        speeds[name] = Figure(f"{what}, {name}", tuple(1 / one for one in seconds), "images/s")
        costs[name] = Figure(f"{what}, {name}: CPU", tuple(1000 * one for one in cpu_seconds), "ms/image")
    pairs = [(name, LOCAL) for name in places if name != LOCAL] + [(_FAR, _PROXY)]
    ratios = [
        ratio(f"{what}, {name} ÷ {other}: {kind}", figures[name], figures[other])
        for name, other in pairs
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


def _stages(workshop: Workshop, case: Case, places: Places, rounds: int, whole: Sequence[Figure]) -> Iterator[Figure]:
    """Yields what each stage before the base costs in one thread, and what is left of a whole extraction."""
    costs = {figure.name: figure for figure in whole}
    for name, place in places.items():
        command = ["-m", "tests.benchmarks.stages", f"--input={place.uri}", f"--side={case.side}"]
        with _environment(place.environment):
            measured = [_figures(workshop, command) for _ in range(rounds)]
        stages = [stage for stage in measured[0] if stage.endswith(_CPU)]
        before = [0.0] * rounds
        for stage in stages:
            values = tuple(1000 * one[stage] / one["pictures"] for one in measured)
            before = [sum(pair) for pair in zip(before, values, strict=True)]
            yield Figure(f"{name}: CPU of {stage.removesuffix(_CPU)}", values, "ms/image")
        all_of_it = costs[f"{case.conv_base}, {name}: CPU"].values
        rest = tuple(one - other for one, other in zip(all_of_it, before, strict=True))
        yield Figure(f"{name}: CPU of the base, of writing and of the rest", rest, "ms/image")


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
