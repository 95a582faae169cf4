"""Dataflow: what a job there needs that its user need not say."""

from typing import TYPE_CHECKING

from schemas.errors import UsageError

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions


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
