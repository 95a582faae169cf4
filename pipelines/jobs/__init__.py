"""From options to a job: inputs, spec and store are prepared, a job is wired and run, also one a date.

Names are imported when they are first used, so that a command imports what it needs and no more.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.jobs.dated_runs import DatedRuns
    from pipelines.jobs.dates import asked_dates, check_templates, dates_between, inputs_of, sources_of
    from pipelines.jobs.exploration import explored
    from pipelines.jobs.finetuning import FineTuningJob, digest_of, fetch_network, judge_start, read_labelled_pictures
    from pipelines.jobs.job import Job, new_job, run_job
    from pipelines.jobs.label_columns import check_label_column, known_label_column
    from pipelines.jobs.preparation import (
        DEFAULT_STORE,
        asked_columns,
        asked_features,
        committed_before,
        find_images,
        find_store,
        listing_rules,
        open_or_create_store,
        pinned_version,
        resolved_spec,
        stored_rules,
        updated_columns,
    )
    from pipelines.jobs.samples import CLASSES, draw_samples
    from pipelines.jobs.search import check_hits_file, find_hits, write_hits
    from pipelines.jobs.training import TrainingSource, read_training_data, training_sources
    from pipelines.jobs.visibility import true_end, true_end_of_training, visible_predictions
else:
    from schemas.lazy_imports import lazy_attributes

    __getattr__ = lazy_attributes(
        __name__,
        {
            "pipelines.jobs.dated_runs": ["DatedRuns"],
            "pipelines.jobs.dates": ["asked_dates", "check_templates", "dates_between", "inputs_of", "sources_of"],
            "pipelines.jobs.exploration": ["explored"],
            "pipelines.jobs.finetuning": [
                "FineTuningJob",
                "digest_of",
                "fetch_network",
                "judge_start",
                "read_labelled_pictures",
            ],
            "pipelines.jobs.job": ["Job", "new_job", "run_job"],
            "pipelines.jobs.label_columns": ["check_label_column", "known_label_column"],
            "pipelines.jobs.preparation": [
                "DEFAULT_STORE",
                "asked_columns",
                "asked_features",
                "committed_before",
                "find_images",
                "find_store",
                "listing_rules",
                "open_or_create_store",
                "pinned_version",
                "resolved_spec",
                "stored_rules",
                "updated_columns",
            ],
            "pipelines.jobs.samples": ["CLASSES", "draw_samples"],
            "pipelines.jobs.search": ["check_hits_file", "find_hits", "write_hits"],
            "pipelines.jobs.training": ["TrainingSource", "read_training_data", "training_sources"],
            "pipelines.jobs.visibility": ["true_end", "true_end_of_training", "visible_predictions"],
        },
    )

__all__ = [
    "CLASSES",
    "DEFAULT_STORE",
    "DatedRuns",
    "FineTuningJob",
    "Job",
    "TrainingSource",
    "asked_columns",
    "asked_dates",
    "asked_features",
    "check_hits_file",
    "check_label_column",
    "check_templates",
    "committed_before",
    "dates_between",
    "digest_of",
    "draw_samples",
    "explored",
    "fetch_network",
    "find_hits",
    "find_images",
    "find_store",
    "inputs_of",
    "judge_start",
    "known_label_column",
    "listing_rules",
    "new_job",
    "open_or_create_store",
    "pinned_version",
    "read_labelled_pictures",
    "read_training_data",
    "resolved_spec",
    "run_job",
    "sources_of",
    "stored_rules",
    "training_sources",
    "true_end",
    "true_end_of_training",
    "updated_columns",
    "visible_predictions",
    "write_hits",
]
