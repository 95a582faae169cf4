"""Beam's options and its runners."""

import argparse
import difflib
import re
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from pipelines.options import Parser
from pipelines.runners.beam_import import import_beam, import_file_systems
from pipelines.runners.dataflow import (
    refuse_bare_dataflow,
    refuse_local_places,
    refuse_unnamed_project,
    refuse_without_credentials,
    refuse_without_packages,
    set_dataflow_defaults,
)
from schemas.errors import UsageError, first_line
from transforms.runtime import available_cores

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.runner import PipelineRunner

DIRECT_RUNNER: Final = "DirectRunner"
DATAFLOW_RUNNER: Final = "DataflowRunner"
# Beam's own server in this process, as a job endpoint.
EMBEDDED: Final = "embed"

_SECONDS_FOR_A_SERVER: Final = 10.0

# What Beam would fetch from the internet at run time: the option that names it, and what it is.
_DOWNLOADED: Final = {
    "PrismRunner": ("prism_location", "Prism as `make prism`"),
    "FlinkRunner": ("flink_job_server_jar", "Beam's job server for Flink as `make flink`"),
    "SparkRunner": ("spark_job_server_jar", "Beam's job server for Spark as `make spark`"),
}

_KNOWN_WITHOUT_BEAM: Final = ([], [f"--runner={DIRECT_RUNNER}"])

_SECRET: Final = re.compile("secret|token|password|key|credential")


class _BeamParser(argparse.ArgumentParser):
    """A parser of Beam's options, whose complaints are one sentence."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"Beam takes no such option: {message}.")


def parse_command(command: Parser, arguments: Sequence[str]) -> tuple[argparse.Namespace, Sequence[str]]:
    """Parses the arguments of a command that runs a pipeline, and sets up its logging.

    Beam takes seconds to import and is asked only of arguments that need it: an error in one of ours comes at once, an
    error in one of Beam's before any work.

    Returns:
        Its own options, and the arguments that are Beam's.

    Raises:
        UsageError: If an argument is wrong or unknown.
    """
    given, rest = command.begin_with_rest(arguments)
    if rest not in _KNOWN_WITHOUT_BEAM:
        refuse_unknown(rest, command)
        refuse_unable_runner(given, beam_options(rest))
    return given, rest


def refuse_unknown(arguments: Sequence[str], own: argparse.ArgumentParser) -> None:
    """Refuses arguments that are neither ours nor Beam's. Beam itself would go on without them.

    Raises:
        UsageError: If there is one.
    """
    import_beam()
    # Runners that are not imported yet have not registered their options.
    import apache_beam.runners.dataflow  # noqa: F401
    from apache_beam.options.pipeline_options import PipelineOptions

    known = _BeamParser(add_help=False, allow_abbrev=False)
    for options in PipelineOptions.__subclasses__():
        group = _BeamParser(add_help=False, allow_abbrev=False, conflict_handler="resolve")
        options._add_argparse_args(group)
        known = _BeamParser(add_help=False, allow_abbrev=False, conflict_handler="resolve", parents=[known, group])
    unknown = known.parse_known_args(list(arguments))[1]
    if unknown:
        names = [name for parser in (own, known) for action in parser._actions for name in action.option_strings]
        near = difflib.get_close_matches(unknown[0].partition("=")[0], names, n=2, cutoff=0.7)
        hint = f"; did you mean {' or '.join(near)}?" if near else "; see --help."
        raise UsageError(f"Neither this command nor Beam knows the argument '{unknown[0]}'{hint}")


def beam_options(arguments: Sequence[str]) -> "PipelineOptions":
    """Makes Beam's options of its arguments, and adds what the runner needs that is not given."""
    import_beam()
    from apache_beam.options.pipeline_options import PipelineOptions

    options = PipelineOptions(list(arguments))
    if runner_name(options) == DATAFLOW_RUNNER:
        refuse_without_packages()
        import_file_systems(["gs://"])  # It stages there by default.
        set_dataflow_defaults(options)
    import_file_systems(arguments)
    return options


def refuse_unable_runner(given: argparse.Namespace, options: "PipelineOptions") -> None:
    """Refuses a runner that lacks something without which it cannot work.

    Args:
        given: The command's own options.
        options: Beam's.

    Raises:
        UsageError: If it does.
    """
    name = runner_name(options)
    if name in _DOWNLOADED:
        refuse_download(name, options)
    if name == DATAFLOW_RUNNER:
        refuse_bare_dataflow(options)
        refuse_local_places(given)
        refuse_unnamed_project(options)
        refuse_without_credentials(options)
    refuse_silent_server(options)


def refuse_download(runner: str, options: "PipelineOptions") -> None:
    """Refuses to let Beam download a runner's program.

    Raises:
        UsageError: If neither the program nor a server that runs already is given.
    """
    from apache_beam.options.pipeline_options import PortableOptions

    if options.view_as(PortableOptions).job_endpoint:
        return
    option, program = _DOWNLOADED[runner]
    location = options.get_all_options()[option]
    if not location or not Path(location).is_file():
        raise UsageError(
            f"{runner} needs --{option}=FILE, {program} builds it; without such a file Beam would download one."
        )


def refuse_silent_server(options: "PipelineOptions") -> None:
    """Refuses a job server that nobody listens at; Beam would wait five minutes for it.

    Raises:
        UsageError: If a server is named and cannot be reached.
    """
    from apache_beam.options.pipeline_options import PortableOptions

    endpoint = options.view_as(PortableOptions).job_endpoint
    if not endpoint or endpoint == EMBEDDED:
        return
    host, _, port = endpoint.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS_FOR_A_SERVER):
            return
    except (OSError, ValueError) as error:
        raise UsageError(
            f"The job server --job_endpoint={endpoint} cannot be reached ({first_line(error)}); it is named HOST:PORT."
        ) from error


def find_runner(options: "PipelineOptions") -> "PipelineRunner | str":
    """Returns the runner that `--runner` names, to be given to a pipeline.

    `DirectRunner` means in this process: Beam's own class of that name first tries a runner that it would have to
    download at run time (Prism).
    """
    from apache_beam.options.pipeline_options import StandardOptions
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    name = runner_name(options)
    if name == DIRECT_RUNNER:
        options.view_as(StandardOptions).runner = "FnApiRunner"
        return FnApiRunner()
    return name


def recorded_options(options: "PipelineOptions") -> dict[str, object]:
    """Returns Beam's options that were given, those that may be secret left out."""
    given = options.get_all_options(drop_default=True)
    return {name: value for name, value in given.items() if not _SECRET.search(name)}


def runner_name(options: "PipelineOptions") -> str:
    """Returns the runner's name as Beam spells it, `DirectRunner` by default."""
    from apache_beam.options.pipeline_options import StandardOptions

    given = str(options.view_as(StandardOptions).runner or DIRECT_RUNNER)
    known = {name.lower().removesuffix("runner"): name for name in StandardOptions.KNOWN_RUNNER_NAMES}
    return known.get(given.lower().removesuffix("runner"), given)


def has_remote_workers(options: "PipelineOptions") -> bool:
    """Whether workers are neither threads nor children of this process, so that it does not see them start."""
    from apache_beam.options.pipeline_options import PortableOptions

    name, portable = runner_name(options), options.view_as(PortableOptions)
    elsewhere = bool(portable.job_endpoint) and portable.job_endpoint != EMBEDDED
    return name == DATAFLOW_RUNNER or elsewhere or portable.environment_type in {"DOCKER", "PROCESS", "EXTERNAL"}


def threads_a_process(options: "PipelineOptions") -> int | None:
    """Returns the threads of each kind that a worker process may have, or None where it has a machine to itself."""
    from apache_beam.options.pipeline_options import DirectOptions

    direct = options.view_as(DirectOptions)
    if runner_name(options) != DIRECT_RUNNER or direct.direct_running_mode != "multi_processing":
        return None
    return max(1, available_cores() // (direct.direct_num_workers or available_cores()))


def decoders_a_process(options: "PipelineOptions") -> int | None:
    """Returns the decoder processes that a worker process may have, or None where they are as many as its threads.

    Where workers share a machine in a number that is not known (the slots of Flink and Spark), each has one.
    """
    from apache_beam.options.pipeline_options import PortableOptions

    portable = options.view_as(PortableOptions)
    alone = (
        runner_name(options) in {DIRECT_RUNNER, DATAFLOW_RUNNER, "PrismRunner"}
        or portable.environment_type == "LOOPBACK"
    )
    return None if alone else 1
