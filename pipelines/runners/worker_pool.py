"""python -m pipelines.runners.worker_pool: SDK workers of a Flink or Spark cluster, on each of its machines.

    python -m pipelines.runners.worker_pool --service_port=50000

Whoever reaches the port runs code as the user of this process: one message starts a worker, and that does what its
address says. So it listens on the loopback alone, where the TaskManager or executor of the same machine finds it, and
nobody beyond; Beam's own pool listens on every address. Users of the same machine reach the loopback too.

Any number of TaskManagers or executors of the machine share a pool. Each of them numbers its workers itself, so two may
ask for a worker of the same name: each stops its own alone.

Exit codes: 2 the command cannot start as it was given; 130 or 143 stopped by a signal.
"""

import ipaddress
import socket
import subprocess
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pipelines.options import Parser, positive, run_main
from schemas.errors import UsageError

if TYPE_CHECKING:
    import grpc
    from apache_beam.portability.api.beam_fn_api_pb2 import (
        StartWorkerRequest,
        StartWorkerResponse,
        StopWorkerRequest,
        StopWorkerResponse,
    )
    from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer

_LOOPBACK: Final = "127.0.0.1"
_OPTIONS: Final = (
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.max_ping_strikes", 0),
    # Without it a second pool would share the port.
    ("grpc.so_reuseport", 0),
)


def parser() -> Parser:
    """Returns the command's parser."""
    command = Parser.of_command("pipelines.runners.worker_pool", __doc__)
    command.add_argument("--service_port", type=positive, required=True, metavar="N", help="the port to listen on")
    command.add_argument(
        "--host",
        default=_LOOPBACK,
        metavar="ADDRESS",
        help=f"the address to listen on (default: {_LOOPBACK}); any other needs --allow_network",
    )
    command.add_argument(
        "--allow_network",
        action="store_true",
        help="listen where others reach it; a firewall has to let the cluster's machines in alone",
    )
    return command


def main(arguments: Sequence[str]) -> int:
    """Runs the command until a signal ends it.

    Raises:
        UsageError: If the address is no loopback and that is not allowed, or cannot be listened on.
    """
    given = parser().begin(arguments)
    address = _address(given.host)
    if not (address.is_loopback or given.allow_network):
        raise UsageError(
            f"Whoever reaches {given.host}:{given.service_port} could run code here; give --allow_network if a "
            "firewall lets the cluster's machines in alone."
        )
    server, pool = _start(f"[{address}]" if address.version == 6 else str(address), given.service_port)
    print(f"Listening for jobs at {given.host}:{given.service_port}.", flush=True)
    try:
        threading.Event().wait()
    finally:
        server.stop(0)
        pool.stop_all()
    return 0


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Returns the address of a host.

    Raises:
        UsageError: If it has none.
    """
    try:
        return ipaddress.ip_address(socket.getaddrinfo(host, None)[0][4][0])
    except (OSError, ValueError) as error:
        raise UsageError(f"--host {host!r} is no address of this machine.") from error


class WorkersByCaller:
    """Beam's pool, but for whose worker one is: Beam's own stops the last one of a name, whoever has asked for it.

    Where that was another executor's and had not reached it yet, that executor would wait for it for ever. A worker
    that nobody stops, because its caller has connected again meanwhile, ends once its runner has ended.
    """

    def __init__(self, pool: "BeamFnExternalWorkerPoolServicer") -> None:
        """Takes what starts workers."""
        self._pool = pool
        self._workers: dict[tuple[str, str], subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()

    def StartWorker(  # noqa: N802 (Beam's name)
        self, request: "StartWorkerRequest", context: "grpc.ServicerContext"
    ) -> "StartWorkerResponse":
        """Starts a worker."""
        with self._lock:
            self._workers = {key: process for key, process in self._workers.items() if process.poll() is None}
            response = self._pool.StartWorker(request, context)
            process = self._pool._worker_processes.pop(request.worker_id, None)
            if process is not None:
                self._workers[context.peer(), request.worker_id] = process
        return response

    def StopWorker(  # noqa: N802 (Beam's name)
        self, request: "StopWorkerRequest", context: "grpc.ServicerContext"
    ) -> "StopWorkerResponse":
        """Stops a worker that the same caller has started."""
        from apache_beam.portability.api import beam_fn_api_pb2

        with self._lock:
            process = self._workers.pop((context.peer(), request.worker_id), None)
        self._stop([] if process is None else [process])
        return beam_fn_api_pb2.StopWorkerResponse()

    def stop_all(self) -> None:
        """Stops every worker."""
        self._stop(list(self._workers.values()))

    def _stop(self, processes: "Sequence[subprocess.Popen[bytes]]") -> None:
        from apache_beam.runners.worker.worker_pool_main import kill_process_gracefully

        for process in processes:
            kill_process_gracefully(process)


def _start(host: str, number: int) -> "tuple[grpc.Server, WorkersByCaller]":
    """Starts a server that starts workers.

    Raises:
        UsageError: If the port is taken or may not be used.
    """
    import grpc
    from apache_beam.portability.api import beam_fn_api_pb2_grpc
    from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer
    from apache_beam.utils import thread_pool_executor

    pool = WorkersByCaller(BeamFnExternalWorkerPoolServicer(use_process=True))
    server = grpc.server(thread_pool_executor.shared_unbounded_instance(), options=_OPTIONS)
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(pool, server)
    try:
        server.add_insecure_port(f"{host}:{number}")
    except RuntimeError as error:
        raise UsageError(f"{host}:{number} cannot be listened on; is another pool running?") from error
    server.start()
    return server, pool


if __name__ == "__main__":
    run_main(main)
