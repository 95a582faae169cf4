"""Runners beyond this process: their job servers, and SDK workers in processes of their own.

`make prism` builds Prism into the user's cache, outside the repository.
"""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import apache_beam
import pytest

from tests.conftest import REPOSITORY

_CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "convbase" / "bin"
_PRISM = _CACHE / f"prism-{apache_beam.__version__}"
_SECONDS_TO_START = 60


def prism_binary() -> Path:
    """Prism of Beam's version."""
    if not _PRISM.exists():
        pytest.skip(f"needs {_PRISM}, which `make prism` builds with Go")
    return _PRISM


@contextlib.contextmanager
def prism_server() -> Iterator[str]:
    """Runs Prism as a server of its own, and yields its endpoint."""
    port = _free_port()
    with _running([str(prism_binary()), f"--job_port={port}", "--serve_http=false"], port):
        yield f"localhost:{port}"


@contextlib.contextmanager
def worker_pool() -> Iterator[str]:
    """Runs a pool that starts an SDK worker in a process of its own wherever a job asks, and yields its endpoint."""
    port = _free_port()
    command = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={port}"]
    with _running(command, port):
        yield f"localhost:{port}"


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("localhost", 0))
        return int(listening.getsockname()[1])


@contextlib.contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    # The pool starts whatever `python` the path names.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        yield
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
