"""A pool of SDK workers that are forked, with Beam imported already, one of which is killed.

Beam's own pool starts each as a new `python`, and Flink asks for one a stage that has none: that would take a minute.
"""

import contextlib
import importlib
import os
from collections.abc import Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import grpc
from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer

from tests.support.children import CONTEXT


class _ForkingPool(BeamFnExternalWorkerPoolServicer):
    dies_once: Path
    workers: dict[tuple[str, str], ForkServerProcess]  # By caller and name, as those of our pool.

    def StartWorker(  # noqa: N802 (Beam's name)
        self, start_worker_request: beam_fn_api_pb2.StartWorkerRequest, context: grpc.ServicerContext
    ) -> beam_fn_api_pb2.StartWorkerResponse:
        name, endpoint = start_worker_request.worker_id, start_worker_request.control_endpoint.url
        worker = CONTEXT.Process(target=_work, args=(endpoint, name, self.dies_once), daemon=True)
        self.workers[context.peer(), name] = worker
        worker.start()
        return beam_fn_api_pb2.StartWorkerResponse()

    def StopWorker(  # noqa: N802 (Beam's name)
        self, stop_worker_request: beam_fn_api_pb2.StopWorkerRequest, context: grpc.ServicerContext
    ) -> beam_fn_api_pb2.StopWorkerResponse:
        if worker := self.workers.pop((context.peer(), stop_worker_request.worker_id), None):
            worker.terminate()
        return beam_fn_api_pb2.StopWorkerResponse()


@contextlib.contextmanager
def forked_workers(dies_once: Path) -> Iterator[str]:
    """Runs a pool in this process that forks an SDK worker wherever a job asks, and yields its endpoint.

    Args:
        dies_once: One of the workers is killed after its second shard, and makes this file.
    """
    pool = type("ForkingPool", (_ForkingPool,), {"dies_once": dies_once, "workers": {}})
    address, server = pool.start()
    try:
        yield address
    finally:
        for worker in pool.workers.values():
            worker.kill()
        server.stop(None)


def _work(control_endpoint: str, name: str, dies_once: Path) -> None:
    from apache_beam.runners.worker.sdk_worker import SdkHarness

    os.environ["DIES_ONCE"] = str(dies_once)
    importlib.import_module("tests.support.dying_workers.sitecustomize")
    SdkHarness(control_endpoint, worker_id=name, state_cache_size=0, data_buffer_time_limit_ms=-1).run()
