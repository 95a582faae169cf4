"""What of a run is visible, as its tables and folders tell: every sentence with which a run ends goes by it."""

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from typing import Final

from deltalake.exceptions import DeltaError

from pipelines.runners import NOTHING_VISIBLE, waited_for
from schemas.classifiers import CARD_FILE
from schemas.delta import committed, paths_of
from schemas.errors import ConvbaseError, RunFailed, RunInterrupted, first_line
from schemas.fragments import TableName, read_receipts
from schemas.storage import commits_have_ended, file_system, interrupted_by, join
from schemas.store import FeatureStore, PredictionTables, Run, RunState

_COMPLETE: Final = "it is complete"
# Of the 30 s that Kubernetes and Dataflow leave after SIGTERM.
_SECONDS_FOR_A_COMMIT: Final = 20.0
_UNREADABLE: Final = (ConvbaseError, DeltaError, OSError)


@contextlib.contextmanager
def true_end(
    run_id: str, visible: Callable[[], str], left: Callable[[], str] = str, look: str = "its tables"
) -> Iterator[None]:
    """Lets a run end as its tables have it: one that is complete is never told as failed.

    Args:
        run_id: The run.
        visible: Says what of it is visible, as a clause such as "nothing of it is visible".
        left: Says in a sentence, with a space before it, what of an interrupted run is of use.
        look: The command that shows whether a run has committed.

    Raises:
        RunFailed: If it could not be completed.
        RunInterrupted: If a signal ended it.
    """
    try:
        yield
    except (KeyboardInterrupt, RunFailed) as error:  # Raised where a worker was, it comes as a failure of that step.
        number = interrupted_by()
        if number is not None:
            ended = commits_have_ended(_SECONDS_FOR_A_COMMIT)
            clause = visible() if ended else "its commit is under way, and may become visible"
            sentences = f"Run {run_id} is interrupted; {clause}.{left()}{_going_on(look)}"
            raise RunInterrupted(sentences, number) from error
        if visible() != _COMPLETE:
            raise
        print(f"warning: after the commit of the run: {first_line(error)}", file=sys.stderr)


def _going_on(look: str) -> str:
    """Returns the sentence that a job elsewhere goes on although its launcher ends; empty if there is none."""
    waiting = waited_for()
    if waiting is None or not waiting.job.outlives:
        return ""
    job = waiting.job
    return f" Job {job.name} goes on, and may commit: {look} shows its run once it has, {job.cancelled_by} cancels it."


def visible_part(store: FeatureStore, run: Run) -> str:
    """Says what of an extraction is visible."""
    return _readable(functools.partial(_visible_part, store, run))


def visible_predictions(tables: PredictionTables, run_id: str) -> str:
    """Says what of a run of predictions is visible."""
    return _readable(functools.partial(_visible_predictions, tables, run_id))


def adoptable(store: FeatureStore, run: Run) -> str:
    """Returns the sentence that says how many images of a run the next one adopts; empty if there are none."""
    try:
        committed_paths = paths_of(store.features())
        receipts = [each for each in read_receipts(store.uri, run.run_id) if each.path not in committed_paths]
    except _UNREADABLE:
        return ""
    images = sum(fragment.images for fragment in receipts)
    return f" The next run adopts {images} images that are finished." if images else ""


@contextlib.contextmanager
def true_end_of_training(uri: str, left: Callable[[], str] = str) -> Iterator[None]:
    """Lets a training that a signal ends say what is in its folder.

    Args:
        uri: The folder, which no other training writes to.
        left: Says in a sentence, with a space before it, what of an interrupted training is of use.

    Raises:
        RunInterrupted: If a signal ended it.
    """
    before = _card(uri)
    try:
        yield
    except KeyboardInterrupt as error:
        visible = _readable(
            lambda: "nothing of it is visible" if _card(uri) == before else f"its classifier is in {uri}"
        )
        raise RunInterrupted.by(error, f"The training is interrupted; {visible}.{left()}") from error


def _card(uri: str) -> bytes | None:
    fs, path = file_system(join(uri, CARD_FILE))
    try:
        content: bytes = fs.cat_file(path)
    except FileNotFoundError:
        return None
    return content


def _readable(visible: Callable[[], str]) -> str:
    try:
        return visible()
    except _UNREADABLE:
        return "what of it is visible cannot be read"


def _visible_part(store: FeatureStore, run: Run) -> str:
    row = store.find_run(run.run_id, run.started_at) if committed(store.runs(), run.commit_id) else None
    if row is not None and row["state"] == RunState.COMPLETE:
        return _COMPLETE
    if committed(store.features(), run.commit_id):
        return "all of its features are visible; the next run writes its row in `runs`"
    if committed(store.failures(), run.commit_id):
        return "its failures are visible and none of its features"
    return NOTHING_VISIBLE


def _visible_predictions(tables: PredictionTables, run_id: str) -> str:
    if tables.have_committed(run_id):
        return _COMPLETE
    if tables.have_committed(run_id, TableName.FAILURES):
        return "its failures are visible and none of its predictions"
    return NOTHING_VISIBLE
