"""Runners beyond this process: their job servers, and SDK workers in processes of their own.

`make prism flink spark` builds them into the user's cache, outside the repository.
"""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import apache_beam
import pyarrow as pa
import pytest

from schemas.store import FeatureStore
from tests.conftest import REPOSITORY
from tests.support.s3_servers import free_port

PROCESSES = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")

_CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "convbase" / "bin"
_PRISM = _CACHE / f"prism-{apache_beam.__version__}"
_SECONDS_TO_START = 60
_NO_LOG = Path(os.devnull)
_NO_VARIABLES: Mapping[str, str] = MappingProxyType({})
_JOB_SERVERS = REPOSITORY / "infra" / "job-servers"
_DYING_WORKERS = REPOSITORY / "tests" / "support" / "dying_workers"


def portable(jobs: str, workers: str) -> tuple[str, ...]:
    """The options of a job server and a pool of workers."""
    return (
        "--runner=PortableRunner", f"--job_endpoint={jobs}", "--environment_type=EXTERNAL",
        f"--environment_config={workers}",
    )  # fmt: skip


def comparable(store: object) -> pa.Table:
    """The rows of a store, ordered by image, without what depends on the run that wrote them."""
    rows = FeatureStore.open(str(store)).scan().to_arrow().sort_by("uri")
    return rows.drop_columns(["run_id", "extracted_at"])


def prism_binary() -> Path:
    """Prism of Beam's version."""
    if not _PRISM.exists():
        pytest.skip(f"needs {_PRISM}, which `make prism` builds with Go")
    return _PRISM


def job_server_jar(name: str) -> Path:
    """Beam's job server for Flink or Spark, or the one that FLINK_JAR or SPARK_JAR names."""
    jar = job_server_path(name)
    if not jar.exists():
        pytest.skip(f"needs {jar}, which `make {name}` makes with Maven")
    if shutil.which("java") is None:
        pytest.skip("needs Java")
    return jar


def job_server_path(name: str) -> Path:
    """Where Beam's job server for Flink or Spark is, once it is made."""
    (version,) = re.findall(r"<beam>(.*)</beam>", Path(_JOB_SERVERS, "pom.xml").read_text())
    return Path(os.environ.get(f"{name.upper()}_JAR") or _CACHE / f"{name}-{version}" / "job-server.jar")


@contextlib.contextmanager
def flink_server(
    master: str = "[local]", configuration: Path = _JOB_SERVERS / "flink" / "conf", log: Path = _NO_LOG
) -> Iterator[str]:
    """Runs Beam's job server for a cluster, or with a Flink in it, and yields its endpoint.

    Flink begins again what a lost worker did.
    """
    with _job_server("flink", f"--flink-master={master}", f"--flink-conf-dir={configuration}", log=log) as endpoint:
        yield endpoint


@contextlib.contextmanager
def spark_server(master: str, log: Path = _NO_LOG) -> Iterator[str]:
    """Runs Beam's job server for a cluster of Spark, and yields its endpoint."""
    with _job_server("spark", f"--spark-master-url={master}", log=log) as endpoint:
        yield endpoint


@contextlib.contextmanager
def _job_server(name: str, *options: str, log: Path) -> Iterator[str]:
    port = free_port()
    ports = (f"--job-port={port}", "--artifact-port=0", "--expansion-port=0")
    with running(["java", "-jar", str(job_server_jar(name)), *options, *ports], port, log):
        yield f"localhost:{port}"


@contextlib.contextmanager
def prism_server() -> Iterator[str]:
    """Runs Prism as a server of its own, and yields its endpoint."""
    port = free_port()
    with running([str(prism_binary()), f"--job_port={port}", "--serve_http=false"], port):
        yield f"localhost:{port}"


@contextlib.contextmanager
def worker_pool() -> Iterator[str]:
    """Runs a pool that starts an SDK worker in a process of its own wherever a job asks, and yields its endpoint."""
    port = free_port()
    command = [sys.executable, "-m", "pipelines.runners.worker_pool", f"--service_port={port}"]
    with running(command, port):
        yield f"localhost:{port}"


def dying(dies_once: Path) -> dict[str, str]:
    """The environment in which one worker is killed after its second shard, and makes this file."""
    return {"PYTHONPATH": f"{_DYING_WORKERS}{os.pathsep}{REPOSITORY}", "DIES_ONCE": str(dies_once)}


@contextlib.contextmanager
def running(
    command: list[str], port: int | None, log: Path = _NO_LOG, variables: Mapping[str, str] = _NO_VARIABLES
) -> Iterator["subprocess.Popen[bytes]"]:
    """Runs a server, waits until it listens on its port, and ends it.

    Args:
        command: Its command line.
        port: The port; None waits for nothing.
        log: The file for what it says.
        variables: Its environment, besides this process's.
    """
    # The pool starts whatever `python` the path names.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY), **variables}
    with log.open("ab") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        if port is not None:
            _wait_for(port, process)
        yield process
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("localhost", port), timeout=1):
            return
        time.sleep(0.1)
    raise RuntimeError(f"{process.args} did not start to listen on port {port}.")
