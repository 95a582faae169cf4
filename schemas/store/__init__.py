"""The feature store: `FeatureStore`, its runs, its failures, and the contents whose features it knows."""

from schemas.store.content_index import KnownContents, read_known_contents, read_places
from schemas.store.drift_rows import read_drift, record_drift
from schemas.store.failure_rows import read_failures, read_other_failures
from schemas.store.feature_store import FeatureStore
from schemas.store.label_counts import MOST_EXAMPLES, LabelCounts
from schemas.store.prediction_tables import PREDICTIONS, STRINGS, PredictionTables, lists_of_one
from schemas.store.recovery import FACTS
from schemas.store.runs import InputCounts, Run, RunResult, RunState, new_run_id
from schemas.store.taken_out import RESTORED_VERSION, TAKEN_OUT, TakenOut

__all__ = [
    "FACTS",
    "MOST_EXAMPLES",
    "PREDICTIONS",
    "RESTORED_VERSION",
    "STRINGS",
    "TAKEN_OUT",
    "FeatureStore",
    "InputCounts",
    "KnownContents",
    "LabelCounts",
    "PredictionTables",
    "Run",
    "RunResult",
    "RunState",
    "TakenOut",
    "lists_of_one",
    "new_run_id",
    "read_drift",
    "read_failures",
    "read_known_contents",
    "read_other_failures",
    "read_places",
    "record_drift",
]
