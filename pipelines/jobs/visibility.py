"""What of a run is visible, as its store's tables tell: every sentence with which a run ends goes by it."""

from typing import Final

from deltalake.exceptions import DeltaError

from pipelines.runners import NOTHING_VISIBLE
from schemas.delta import committed, paths_of
from schemas.errors import ConvbaseError
from schemas.fragments import read_receipts
from schemas.store import FeatureStore, Run, RunState

_COMPLETE: Final = "it is complete"


def is_complete(store: FeatureStore, run: Run) -> bool:
    """Whether a run is complete; where the store cannot be read, it is not known to be."""
    return visible_part(store, run) == _COMPLETE


def visible_part(store: FeatureStore, run: Run) -> str:
    """Says what of a run is visible, as a clause such as "nothing of it is visible"."""
    try:
        return _visible_part(store, run)
    except (ConvbaseError, DeltaError, OSError):
        return "what of it is visible cannot be read"


def interrupted_text(store: FeatureStore, run: Run) -> str:
    """Returns the sentences of a run that a signal ends: what of it is visible, and what the next one adopts."""
    text = f"Run {run.run_id} is interrupted; {visible_part(store, run)}."
    try:
        committed_paths = paths_of(store.features())
        receipts = [each for each in read_receipts(store.uri, run.run_id) if each.path not in committed_paths]
    except (ConvbaseError, DeltaError, OSError):
        return text
    images = sum(fragment.images for fragment in receipts)
    return f"{text} The next run adopts {images} images that are finished." if images else text


def _visible_part(store: FeatureStore, run: Run) -> str:
    row = store.find_run(run.run_id) if committed(store.runs(), run.commit_id) else None
    if row is not None and row["state"] == RunState.COMPLETE:
        return _COMPLETE
    if committed(store.features(), run.commit_id):
        return "all of its features are visible; the next run writes its row in `runs`"
    if committed(store.failures(), run.commit_id):
        return "its failures are visible and none of its features"
    return NOTHING_VISIBLE
