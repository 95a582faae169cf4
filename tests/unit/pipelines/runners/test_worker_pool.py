"""The pool of workers listens where its machine reaches it, and nobody beyond."""

import contextlib
import ipaddress
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import psutil
import pytest
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc

from pipelines.runners import worker_pool
from schemas.errors import UsageError
from tests.conftest import REPOSITORY
from tests.support.s3_servers import free_port

_LISTENING = "0A"
# Channels to one address would share a connection.
SEPARATE = [("grpc.use_local_subchannel_pool", 1)]


def listened_on(port: int) -> list[str]:
    """The addresses on which a port is listened on."""
    lines = [
        line.split()
        for table in ("tcp", "tcp6")
        if Path("/proc/net", table).exists()
        for line in Path("/proc/net", table).read_text().splitlines()[1:]
    ]
    sockets = [fields[1].partition(":") for fields in lines if fields[3] == _LISTENING]
    return [address_of(text) for text, _, number in sockets if int(number, 16) == port]


def address_of(text: str) -> str:
    """An address as the kernel writes it: words of four bytes in hexadecimal, in this machine's order."""
    words = [bytes.fromhex(text[start : start + 8]) for start in range(0, len(text), 8)]
    packed = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    found = ipaddress.ip_address(packed)
    return str(getattr(found, "ipv4_mapped", None) or found)


@contextmanager
def pool(*arguments: str) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines.runners.worker_pool", *arguments],
        cwd=REPOSITORY, env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux's list of sockets")
def test_the_pool_is_reached_from_its_own_machine_alone() -> None:
    port = free_port()
    with pool(f"--service_port={port}") as first:
        assert first.stdout is not None
        assert first.stdout.readline() == f"Listening for jobs at 127.0.0.1:{port}.\n"
        assert listened_on(port) == ["127.0.0.1"]
        with pool(f"--service_port={port}") as second:
            _, said = second.communicate(timeout=60)
            assert second.returncode == 2
            assert f"127.0.0.1:{port} cannot be listened on" in said
        first.send_signal(signal.SIGTERM)
        assert first.wait(30) == 143


def test_a_caller_stops_its_own_worker_though_another_has_one_of_the_same_name() -> None:
    """Executors of one machine number their workers each for itself."""
    port = free_port()
    with pool(f"--service_port={port}") as process, contextlib.ExitStack() as stack:
        assert process.stdout is not None
        process.stdout.readline()
        channels = [stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{port}", SEPARATE)) for _ in range(2)]
        first, second = map(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolStub, channels)
        for number, stub in enumerate((first, second)):
            request = beam_fn_api_pb2.StartWorkerRequest(worker_id="1-1")
            request.control_endpoint.url = f"localhost:{number + 1}"
            assert stub.StartWorker(request).error == ""
        assert endpoints_of_workers(process) == ["localhost:1", "localhost:2"]
        first.StopWorker(beam_fn_api_pb2.StopWorkerRequest(worker_id="1-1"))
        assert endpoints_of_workers(process) == ["localhost:2"]
        first.StopWorker(beam_fn_api_pb2.StopWorkerRequest(worker_id="1-1"))
        assert endpoints_of_workers(process) == ["localhost:2"]
        (left,) = psutil.Process(process.pid).children()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 143
    assert not left.is_running()


def endpoints_of_workers(pool: "subprocess.Popen[str]") -> list[str]:
    """Where the workers of a pool belong, by their command lines."""
    lines = [" ".join(command_line(child)) for child in psutil.Process(pool.pid).children()]
    return sorted(found for line in lines for found in re.findall(r"localhost:\d+", line))


def command_line(process: psutil.Process) -> list[str]:
    """The command line of a process, which is empty for some milliseconds after a program has been started."""
    until = time.monotonic() + 10
    while not (words := process.cmdline()) and time.monotonic() < until:
        time.sleep(0.01)
    return words


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_a_pool_on_a_network_has_to_be_allowed(host: str) -> None:
    with pytest.raises(UsageError, match="give --allow_network if a firewall"):
        worker_pool.main(["--service_port=50000", f"--host={host}"])


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="no address of this machine"):
        worker_pool.main(["--service_port=50000", "--host=no such host"])
