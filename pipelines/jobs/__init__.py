"""From options to a job: inputs, spec and store are prepared, a job is wired and run.

Names are imported when they are first used, so that a command imports what it needs and no more.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.jobs.asked_spec import asked_features
    from pipelines.jobs.exploration import explored
    from pipelines.jobs.finetuning import FineTuningJob, digest_of, fetch_network, judge_start, read_labelled_pictures
    from pipelines.jobs.inputs import asked_columns, find_images, listing_rules, stored_rules, updated_columns
    from pipelines.jobs.job import Job, new_job, run_job
    from pipelines.jobs.label_columns import check_label_column, known_label_column
    from pipelines.jobs.samples import CLASSES, draw_samples
    from pipelines.jobs.search import check_hits_file, find_hits, write_hits
    from pipelines.jobs.store import (
        committed_before,
        find_store,
        named_store,
        open_or_create_store,
        pinned_version,
        resolved_spec,
    )
    from pipelines.jobs.training import TrainingSource, read_training_data, training_sources
    from pipelines.jobs.visibility import true_end, true_end_of_training, visible_predictions
else:
    from schemas.lazy_imports import lazy_attributes

    __getattr__ = lazy_attributes(
        __name__,
        {
            "pipelines.jobs.asked_spec": ["asked_features"],
            "pipelines.jobs.exploration": ["explored"],
            "pipelines.jobs.finetuning": [
                "FineTuningJob",
                "digest_of",
                "fetch_network",
                "judge_start",
                "read_labelled_pictures",
            ],
            "pipelines.jobs.inputs": [
                "asked_columns",
                "find_images",
                "listing_rules",
                "stored_rules",
                "updated_columns",
            ],
            "pipelines.jobs.job": ["Job", "new_job", "run_job"],
            "pipelines.jobs.label_columns": ["check_label_column", "known_label_column"],
            "pipelines.jobs.samples": ["CLASSES", "draw_samples"],
            "pipelines.jobs.search": ["check_hits_file", "find_hits", "write_hits"],
            "pipelines.jobs.store": [
                "committed_before",
                "find_store",
                "named_store",
                "open_or_create_store",
                "pinned_version",
                "resolved_spec",
            ],
            "pipelines.jobs.training": ["TrainingSource", "read_training_data", "training_sources"],
            "pipelines.jobs.visibility": ["true_end", "true_end_of_training", "visible_predictions"],
        },
    )

__all__ = [
    "CLASSES",
    "FineTuningJob",
    "Job",
    "TrainingSource",
    "asked_columns",
    "asked_features",
    "check_hits_file",
    "check_label_column",
    "committed_before",
    "digest_of",
    "draw_samples",
    "explored",
    "fetch_network",
    "find_hits",
    "find_images",
    "find_store",
    "judge_start",
    "known_label_column",
    "listing_rules",
    "named_store",
    "new_job",
    "open_or_create_store",
    "pinned_version",
    "read_labelled_pictures",
    "read_training_data",
    "resolved_spec",
    "run_job",
    "stored_rules",
    "training_sources",
    "true_end",
    "true_end_of_training",
    "updated_columns",
    "visible_predictions",
    "write_hits",
]
