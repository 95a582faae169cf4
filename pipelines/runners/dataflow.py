"""Dataflow: what a job there needs that its user need not say, and what it cannot do."""

import argparse
import importlib
import queue
import sys
import threading
from typing import TYPE_CHECKING, Final

from schemas.errors import UsageError, first_line
from schemas.storage import is_local

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

# Options of the commands that run a pipeline, and name places that its workers read or write.
_PLACES: Final = ("output", "input", "features", "model")
# Beam's client, which imports all that it needs of Google's packages.
_CLIENT: Final = "apache_beam.runners.dataflow.internal.apiclient"
# Where there are no credentials, Google's library asks a machine's metadata server longer than anybody waits.
_SECONDS_FOR_CREDENTIALS: Final = 8.0


def refuse_local_places(given: argparse.Namespace) -> None:
    """Refuses places on the disk of the launcher, which Dataflow's workers do not see.

    Raises:
        UsageError: If a place is local, or is not given: the defaults are.
    """
    for option in _PLACES:
        place = getattr(given, option, None)
        for uri in [place] if isinstance(place, str) else place or ():
            if is_local(uri):
                raise UsageError(
                    f"--{option}={uri} is on this machine, whose disk Dataflow's workers do not see; name a place in a "
                    "bucket, such as gs://bucket/folder."
                )
    if given.output is None or not (given.input or getattr(given, "features", None)):
        raise UsageError(
            "DataflowRunner needs --input and --output in a bucket, such as gs://bucket/folder: the places that are "
            "taken without them are on this machine, whose disk Dataflow's workers do not see."
        )


def refuse_without_packages() -> None:
    """Refuses Dataflow where Google's packages are not installed.

    Raises:
        UsageError: If one of them is missing.
    """
    try:
        importlib.import_module(_CLIENT)
    except ImportError as error:
        raise UsageError(
            f"DataflowRunner needs packages that are not installed here ({first_line(error)}); the extra `dataflow` "
            "has them, and in a checkout `pip install -r infra/locks/requirements-dataflow.lock`."
        ) from error


def refuse_unnamed_project(options: "PipelineOptions") -> None:
    """Refuses a job of which nobody has said whose it is and where it runs.

    Raises:
        UsageError: If project or region is not given.
    """
    from apache_beam.options.pipeline_options import GoogleCloudOptions

    cloud = options.view_as(GoogleCloudOptions)
    missing = [f"--{name}=…" for name in ("project", "region") if not getattr(cloud, name)]
    if missing:
        raise UsageError(f"DataflowRunner needs {' and '.join(missing)}: whose job it is, and where it runs.")


def refuse_without_credentials(options: "PipelineOptions") -> None:
    """Refuses Dataflow where there are no credentials for Google Cloud, or they are no longer valid.

    Raises:
        UsageError: If that is so, or it is not known in eight seconds.
    """
    from apache_beam.options.pipeline_options import GoogleCloudOptions

    cloud = options.view_as(GoogleCloudOptions)
    if cloud.no_auth:
        return
    answer: queue.Queue[str | None] = queue.Queue()
    looking = threading.Thread(target=lambda: answer.put(_why_no_credentials(cloud.gcp_oauth_scopes)), daemon=True)
    looking.start()
    try:
        why = answer.get(timeout=_SECONDS_FOR_CREDENTIALS)
    except queue.Empty:
        why = f"none were found in {_SECONDS_FOR_CREDENTIALS:.0f} seconds"
    if why is not None:
        raise UsageError(
            f"DataflowRunner needs credentials for Google Cloud: {why.rstrip('.')}. "
            "`gcloud auth application-default login` makes some, GOOGLE_APPLICATION_CREDENTIALS names a file of some."
        )


def _why_no_credentials(scopes: list[str]) -> str | None:
    """Returns why there are no valid credentials; None if there are some."""
    import google.auth
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import Request

    try:
        credentials, _ = google.auth.default(scopes=scopes)
        credentials.refresh(Request())
    except GoogleAuthError as error:
        return first_line(error)
    return None


def refuse_bare_dataflow(options: "PipelineOptions") -> None:
    """Refuses a Dataflow job whose workers would lack our modules.

    Raises:
        UsageError: If neither a container nor a package is given.
    """
    from apache_beam.options.pipeline_options import SetupOptions, WorkerOptions

    if is_template(options):  # Dataflow knows the image from the launch of the template.
        return
    worker, setup = options.view_as(WorkerOptions), options.view_as(SetupOptions)
    images = (worker.sdk_container_image, worker.worker_harness_container_image)
    if not any((*images, setup.setup_file, setup.extra_packages)):
        raise UsageError(
            "DataflowRunner needs --sdk_container_image=IMAGE, the container that `make image` builds; workers need "
            "this project's modules."
        )


def set_dataflow_defaults(options: "PipelineOptions") -> None:
    """Sets what a Dataflow job needs, unless it is given.

    One process a machine, so that it holds one conv base (Dataflow starts one a vCPU; asked for with
    `--experiments=use_multiple_sdk_containers`). Two shards at once in it: the end of one overlaps the beginning of the
    next, and each keeps every core busy (Dataflow's own number, 12 or more, would multiply the memory). As many
    machines as the throughput asks for.
    """
    from apache_beam.options.pipeline_options import DebugOptions, WorkerOptions

    debug, worker = options.view_as(DebugOptions), options.view_as(WorkerOptions)
    if "use_multiple_sdk_containers" not in (debug.experiments or []):
        debug.add_experiment("no_use_multiple_sdk_containers")
    debug.number_of_worker_harness_threads = debug.number_of_worker_harness_threads or 2
    worker.autoscaling_algorithm = worker.autoscaling_algorithm or "THROUGHPUT_BASED"


def is_template(options: "PipelineOptions") -> bool:
    """Whether the job is only written down, as a template's launcher does, and run by Dataflow later."""
    from apache_beam.options.pipeline_options import GoogleCloudOptions

    return bool(options.view_as(GoogleCloudOptions).template_location)


def dataflow_errors() -> tuple[type[Exception], ...]:
    """Returns what Dataflow's client raises for a job that failed or was not taken; nothing where it is not in use."""
    if _CLIENT not in sys.modules:
        return ()
    from apache_beam.runners.dataflow.dataflow_runner import DataflowRuntimeException
    from apache_beam.runners.dataflow.internal.apiclient import DataflowJobAlreadyExistsError

    return DataflowRuntimeException, DataflowJobAlreadyExistsError, *dataflow_connection_errors()


def dataflow_connection_errors() -> tuple[type[Exception], ...]:
    """Returns what Dataflow's client raises for an API that does not answer; nothing where it is not in use."""
    if _CLIENT not in sys.modules:
        return ()
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    return GoogleAPIError, GoogleAuthError
