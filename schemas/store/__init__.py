"""The feature store: `FeatureStore`, its runs, and the commit of a run's fragments, checked for conflicts."""

from schemas.store.annotation_updates import FileUpdate, changed_images, update_file
from schemas.store.content_index import KnownContents, read_known_contents, read_places
from schemas.store.failure_rows import read_failures
from schemas.store.feature_store import FeatureStore
from schemas.store.label_counts import MOST_EXAMPLES, LabelCounts
from schemas.store.prediction_tables import PREDICTIONS, STRINGS, PredictionTables, lists_of_one
from schemas.store.removal import files_holding, removal_actions
from schemas.store.runs import InputCounts, Run, RunResult, RunState, Totals, new_run_id

__all__ = [
    "MOST_EXAMPLES",
    "PREDICTIONS",
    "STRINGS",
    "FeatureStore",
    "FileUpdate",
    "InputCounts",
    "KnownContents",
    "LabelCounts",
    "PredictionTables",
    "Run",
    "RunResult",
    "RunState",
    "Totals",
    "changed_images",
    "files_holding",
    "lists_of_one",
    "new_run_id",
    "read_failures",
    "read_known_contents",
    "read_places",
    "removal_actions",
    "update_file",
]
