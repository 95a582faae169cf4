"""Beam: its import, its options, its runners, and what its errors mean."""

import argparse
import difflib
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from schemas.errors import RunFailed, UsageError

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.runner import PipelineRunner

DIRECT_RUNNER: Final = "DirectRunner"

# Beam says where, at every level that an exception passes.
_STEPS: Final = r"(?: \[while running '(?P<step>[^']*)'\])*$"
_LAST_LINE: Final = re.compile(rf"^(?P<kind>[\w.]+)(?:: (?P<message>.*?))?{_STEPS}", re.S)
_SECRET: Final = re.compile("secret|token|password|key|credential")


def set_up_logging(level: str) -> None:
    """Sends log records to standard error.

    Beam logs a worker's exception with its traceback before the runner raises it; unless told to debug, the one
    sentence of the command's end says it.
    """
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=level.upper())
    if level != "debug":
        logging.getLogger("apache_beam").setLevel(logging.CRITICAL)


@contextmanager
def quiet_import() -> Iterator[None]:
    """Keeps Beam from warning, on import, that Google's client libraries are not installed."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


def parse_command(
    command: argparse.ArgumentParser, arguments: Sequence[str]
) -> tuple[argparse.Namespace, "PipelineOptions"]:
    """Parses the arguments of a command that runs a pipeline: its own options, and Beam's.

    Raises:
        UsageError: If an argument is wrong, or nobody's.
    """
    given, rest = command.parse_known_args(list(arguments))
    set_up_logging(given.log_level)
    with quiet_import():
        return given, beam_options(rest, command)


def beam_options(arguments: Sequence[str], own: argparse.ArgumentParser) -> "PipelineOptions":
    """Makes Beam's options of the arguments that are not ours.

    Raises:
        UsageError: If Beam does not know one either. Beam itself would go on without it.
    """
    from apache_beam.options.pipeline_options import PipelineOptions

    # Runners that are not imported yet have not registered their options.
    with quiet_import():
        import apache_beam.runners.dataflow  # noqa: F401

    known = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for options in PipelineOptions.__subclasses__():
        group = argparse.ArgumentParser(add_help=False, allow_abbrev=False, conflict_handler="resolve")
        options._add_argparse_args(group)
        known = argparse.ArgumentParser(
            add_help=False, allow_abbrev=False, conflict_handler="resolve", parents=[known, group]
        )
    unknown = known.parse_known_args(list(arguments))[1]
    if unknown:
        names = [name for parser in (own, known) for action in parser._actions for name in action.option_strings]
        near = difflib.get_close_matches(unknown[0].partition("=")[0], names, n=2, cutoff=0.7)
        hint = f"; did you mean {' or '.join(near)}?" if near else "; see --help."
        raise UsageError(f"Neither this command nor Beam knows the argument '{unknown[0]}'{hint}")
    return PipelineOptions(list(arguments))


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
    """Returns the runner's name, `DirectRunner` unless told otherwise."""
    from apache_beam.options.pipeline_options import StandardOptions

    return str(options.view_as(StandardOptions).runner or DIRECT_RUNNER)


@contextmanager
def explained_failures() -> Iterator[None]:
    """Turns what a runner raises for a failed pipeline into one sentence.

    Raises:
        RunFailed: For an exception in a worker, which runners raise as a `RuntimeError` with the traceback as its text,
            or as it was, with the step in its text.
    """
    try:
        yield
    except RunFailed as error:
        raise RunFailed(re.sub(_STEPS, "", str(error))) from error
    except RuntimeError as error:
        logging.getLogger(__name__).debug("The pipeline failed.", exc_info=True)
        raise RunFailed(_sentence(str(error))) from error
    except (OSError, MemoryError) as error:
        # What a worker in this process raises with a single argument, Beam raises again as it was.
        logging.getLogger(__name__).debug("The pipeline failed.", exc_info=True)
        raise RunFailed(_sentence(f"{type(error).__name__}: {error}")) from error


def _sentence(traceback: str) -> str:
    last = traceback.strip().rpartition("\n")[2].strip()
    found = _LAST_LINE.match(last)
    if found is None:
        return f"The run failed, and nothing of it is visible: {last}"
    kind, message, step = found["kind"], found["message"] or "", found["step"]
    if kind == f"{RunFailed.__module__}.{RunFailed.__qualname__}":
        return message
    where = f" in step {re.sub(r'-ptransform-[0-9]+$', '', step)}" if step else ""
    return (
        f"The run failed{where}, and nothing of it is visible: {kind.rpartition('.')[2]}: {message} "
        "(--log_level=debug shows the traceback)."
    )
