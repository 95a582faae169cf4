"""Runs of predictions: made of a command's options, run to their commit, and the files beside their tables.

Names are imported when they are first used, so that a command imports what it needs and no more.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.prediction.files import predicted_rows, refuse_a_file, write_files
    from pipelines.prediction.prediction_job import (
        FEATURES_PER_BATCH,
        new_prediction,
        run_prediction,
        true_end_of_prediction,
    )
else:
    from schemas.lazy_imports import lazy_attributes

    __getattr__ = lazy_attributes(
        __name__,
        {
            "pipelines.prediction.files": ["predicted_rows", "refuse_a_file", "write_files"],
            "pipelines.prediction.prediction_job": [
                "FEATURES_PER_BATCH",
                "new_prediction",
                "run_prediction",
                "true_end_of_prediction",
            ],
        },
    )

__all__ = [
    "FEATURES_PER_BATCH",
    "new_prediction",
    "predicted_rows",
    "refuse_a_file",
    "run_prediction",
    "true_end_of_prediction",
    "write_files",
]
