"""What the errors of Beam's runners mean."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pipelines.runners.dataflow import dataflow_errors
from schemas.errors import InvalidInput, RunFailed

# Beam says where, at every level that an exception passes.
_STEPS: Final = r"(?: \[while running '(?P<step>[^']*)'\])*$"
_LAST_LINE: Final = re.compile(rf"^(?P<kind>[\w.]+)(?:: (?P<message>.*?))?{_STEPS}", re.S)
# What Dataflow's client writes for a job that has left no traceback, such as one that was cancelled.
_NO_TRACEBACK: Final = ", Error:\nNone"
# What a worker says in a sentence of its own. Of an input it is what the command would have said, had it read so far.
_IN_A_SENTENCE: Final = {f"{kind.__module__}.{kind.__qualname__}": kind for kind in (RunFailed, InvalidInput)}


@contextmanager
def explained_failures() -> Iterator[None]:
    """Turns what a runner raises for a failed pipeline into one sentence.

    Raises:
        RunFailed: For an exception in a worker, which runners raise as a `RuntimeError` with the traceback as its text,
            or as it was, with the step in its text; and for a job that Dataflow did not take or complete.
        InvalidInput: If a worker found that the input is wrong, such as a row far down in a manifest.
    """
    try:
        yield
    except RunFailed as error:
        raise RunFailed(re.sub(_STEPS, "", str(error))) from error
    except InvalidInput as error:
        raise InvalidInput(re.sub(_STEPS, "", str(error))) from error
    except (RuntimeError, *dataflow_errors()) as error:
        logging.getLogger(__name__).debug("The pipeline failed.", exc_info=True)
        raise _explained(str(error).removesuffix(_NO_TRACEBACK)) from error
    except (OSError, MemoryError) as error:
        # What a worker in this process raises with a single argument, Beam raises again as it was.
        logging.getLogger(__name__).debug("The pipeline failed.", exc_info=True)
        raise _explained(f"{type(error).__name__}: {error}") from error


def _explained(traceback: str) -> RunFailed | InvalidInput:
    """Returns the error that a traceback ends with, if it is one for users; else that the run failed of it."""
    last = traceback.strip().rpartition("\n")[2].strip()
    found = _LAST_LINE.match(last)
    if found is None:
        return RunFailed(f"The run failed, and nothing of it is visible: {last}")
    kind, message, step = found["kind"], found["message"] or "", found["step"]
    if kind in _IN_A_SENTENCE:
        return _IN_A_SENTENCE[kind](message)
    where = f" in step {re.sub(r'-ptransform-[0-9]+$', '', step)}" if step else ""
    return RunFailed(
        f"The run failed{where}, and nothing of it is visible: {kind.rpartition('.')[2]}: {message} "
        "(--log_level=debug shows the traceback)."
    )
