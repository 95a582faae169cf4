"""Dataflow's API on loopback: it takes a job, and does what is staged for it in this process.

A worker's container is the only part of a job that is not as it would be in the cloud: the pipeline that Beam's client
has staged runs on Beam's own runner, with workers that are threads of this process.
"""

import json
import threading
import time
import traceback
import types
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import fsspec
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from tests.support.servers import SilentHandler

_SECONDS_BETWEEN_REQUESTS = 0.2

Environment, Pipeline = beam_runner_api_pb2.Environment, beam_runner_api_pb2.Pipeline


class DataflowApi:
    """A WSGI application with the part of Dataflow's REST interface that Beam's client uses.

    Attributes:
        jobs: What was asked for, as JSON.
        pipelines: What was staged for it.
        refusal: The HTTP status and the message with which jobs are refused, if they are.
        held: Whether jobs do not begin, and nobody is told of them any more, until it is cleared.
    """

    def __init__(self) -> None:
        self.jobs: list[dict[str, Any]] = []
        self.pipelines: list[Pipeline] = []
        self.refusal: tuple[int, str] | None = None
        self.held = False
        self._running: threading.Thread | None = None
        self._state = "JOB_STATE_PENDING"
        self._error: str | None = None

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        status, answer = 200, self._job()
        if self.held and request.method == "GET":
            status, answer = 503, {"error": {"code": 503, "message": "gone", "status": "UNAVAILABLE"}}
        elif request.path.endswith("/messages"):
            answer = {"jobMessages": self._messages()}
        elif request.method == "POST":
            status, answer = self._create(json.loads(request.get_data()))
        return Response(json.dumps(answer), status, content_type="application/json")(environ, start_response)

    def wait(self) -> None:
        """Waits for the end of the last job."""
        if self._running is not None:
            self._running.join()

    def _create(self, job: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.refusal is not None:
            status, message = self.refusal
            return status, {"error": {"code": status, "message": message, "status": "PERMISSION_DENIED"}}
        staged = job["environment"]["sdkPipelineOptions"]["options"]["pipelineUrl"]
        with fsspec.open(staged, "rb") as file:
            pipeline = Pipeline.FromString(file.read())
        self.jobs.append(job)
        self.pipelines.append(pipeline)
        self._state, self._error = "JOB_STATE_RUNNING", None
        self._running = threading.Thread(target=self._run, args=(pipeline,))
        self._running.start()
        return 200, {**self._job(), "clientRequestId": job["clientRequestId"]}

    def _run(self, staged: Pipeline) -> None:
        pipeline = Pipeline.FromString(staged.SerializeToString())
        for environment in pipeline.components.environments.values():
            here = Environment(urn=python_urns.EMBEDDED_PYTHON, capabilities=environment.capabilities)
            environment.CopyFrom(here)
        while self.held:
            time.sleep(_SECONDS_BETWEEN_REQUESTS)
        try:
            FnApiRunner().run_via_runner_api(pipeline, PipelineOptions([])).wait_until_finish()
        except Exception:  # noqa: BLE001 (whatever a worker raises is what Dataflow would tell)
            self._error = traceback.format_exc()
            self._state = "JOB_STATE_FAILED"
        else:
            self._state = "JOB_STATE_DONE"

    def _job(self) -> dict[str, Any]:
        return {"id": "job-1", "projectId": "project", "location": "europe-west1", "currentState": self._state}

    def _messages(self) -> list[dict[str, Any]]:
        if self._error is None:
            return []
        importance = "JOB_MESSAGE_ERROR"
        return [
            {"id": "1", "time": "2026-01-31T00:00:00Z", "messageText": self._error, "messageImportance": importance}
        ]


@contextmanager
def dataflow_api() -> Iterator[tuple[DataflowApi, str]]:
    """Runs the API, and yields it and its address. Beam's client asks, and tries again, more often than it would."""
    from apache_beam.runners.dataflow import dataflow_runner
    from apache_beam.utils import retry

    api = DataflowApi()
    server = make_server("127.0.0.1", 0, api, threaded=True, request_handler=SilentHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    sleep = time.sleep
    impatient = types.SimpleNamespace(time=time.time, sleep=lambda _: sleep(_SECONDS_BETWEEN_REQUESTS))
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(dataflow_runner, "time", impatient)
            patch.setattr(retry.Clock, "sleep", lambda *_: sleep(_SECONDS_BETWEEN_REQUESTS))
            yield api, f"http://localhost:{server.port}"
    finally:
        server.shutdown()
        thread.join()
