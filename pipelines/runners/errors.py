"""What the errors of Beam's runners mean."""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from pipelines.runners.dataflow import dataflow_errors
from pipelines.runners.remote import JobLost
from schemas.errors import DamagedFile, DamagedModel, InputNotFound, InvalidInput, RunFailed

NOTHING_VISIBLE: Final = "nothing of it is visible"

# Beam says where, at every level that an exception passes.
_STEPS: Final = r"(?: \[while running '(?P<step>[^']*)'\])*$"
_LAST_LINE: Final = re.compile(rf"^(?P<kind>[\w.]+)(?:: (?P<message>.*?))?{_STEPS}", re.S)
# What Dataflow's client writes for a job that has left no traceback, such as one that was cancelled.
_NO_TRACEBACK: Final = ", Error:\nNone"
# What a worker says in a sentence of its own. Of an input it is what the command would have said, had it read so far.
_IN_A_SENTENCE: Final = {
    f"{kind.__module__}.{kind.__qualname__}": InvalidInput if issubclass(kind, InvalidInput) else RunFailed
    for kind in (RunFailed, DamagedFile, DamagedModel, InvalidInput, InputNotFound)
}


@contextmanager
def explained_failures(
    visible: Callable[[], str] = lambda: NOTHING_VISIBLE, look: str = "its tables"
) -> Iterator[None]:
    """Turns what a runner raises for a failed pipeline into one sentence.

    Args:
        visible: Says what of the run is visible, as in "nothing of it is visible".
        look: The command that shows whether a run has committed.

    Raises:
        RunFailed: For an exception in a worker, which runners raise as a `RuntimeError` with the traceback as its text,
            or as it was, with the step in its text; and for a job that Dataflow did not take or complete.
        InvalidInput: If a worker found that the input is wrong, such as a row far down in a manifest.
    """
    try:
        yield
    except JobLost as error:
        raise RunFailed(f"{error}; {look} shows its run once it has.") from error
    except RunFailed as error:
        raise RunFailed(_with_visible(re.sub(_STEPS, "", str(error)), visible)) from error
    except InvalidInput as error:
        raise InvalidInput(_with_visible(re.sub(_STEPS, "", str(error)), visible)) from error
    except (RuntimeError, *dataflow_errors()) as error:
        logging.getLogger(__name__).debug("The pipeline failed.", exc_info=True)
        raise _explained(str(error).removesuffix(_NO_TRACEBACK), visible) from error
    except (OSError, MemoryError) as error:
        # What a worker in this process raises with a single argument, Beam raises again as it was.
        logging.getLogger(__name__).debug("The pipeline failed.", exc_info=True)
        raise _explained(f"{type(error).__name__}: {error}", visible) from error


def _explained(traceback: str, visible: Callable[[], str]) -> RunFailed | InvalidInput:
    """Returns the error that a traceback ends with, if it is one for users; else that the run failed of it."""
    last = traceback.strip().rpartition("\n")[2].strip()
    found = _LAST_LINE.match(last)
    if found is None:
        return RunFailed(f"The run failed, and {visible()}: {last}")
    kind, message, step = found["kind"], found["message"] or "", found["step"]
    if kind in _IN_A_SENTENCE:
        return _IN_A_SENTENCE[kind](_with_visible(message, visible))
    where = f" in step {re.sub(r'-ptransform-[0-9]+$', '', step)}" if step else ""
    return RunFailed(
        f"The run failed{where}, and {visible()}: {kind.rpartition('.')[2]}: {message} "
        "(--log_level=debug shows the traceback)."
    )


def _with_visible(message: str, visible: Callable[[], str]) -> str:
    """Returns a message of our own, which says why a run failed, and what of it is visible all the same."""
    clause = visible()
    return message if clause == NOTHING_VISIBLE else f"{message.rstrip('.')}; {clause}."
