"""What is seen of runs from outside: log records, metrics, freshness, and the page of the last nights.

Names are imported when they are first used, so that a command imports what it needs and no more.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.monitoring.exporting import (
        are_metrics_wanted,
        export_metrics,
        export_prediction_metrics,
        told_at_its_end,
    )
    from pipelines.monitoring.freshness import (
        ExpectedImages,
        check_freshness,
        check_number_of_images,
        listed_images,
    )
    from pipelines.monitoring.log_records import (
        RUN_LOGGER,
        JsonHandler,
        LogFormat,
        TextFormatter,
        log_begin,
        log_failure,
        log_row,
        logged_run,
        logged_work,
        printed_record,
        set_subject,
        subject_prefix,
    )
    from pipelines.monitoring.metrics import PredictionFigures
    from pipelines.monitoring.nights import NIGHT_COLUMNS, nights_html
else:
    from schemas.lazy_imports import lazy_attributes

    __getattr__ = lazy_attributes(
        __name__,
        {
            "pipelines.monitoring.exporting": [
                "are_metrics_wanted",
                "export_metrics",
                "export_prediction_metrics",
                "told_at_its_end",
            ],
            "pipelines.monitoring.freshness": [
                "ExpectedImages",
                "check_freshness",
                "check_number_of_images",
                "listed_images",
            ],
            "pipelines.monitoring.log_records": [
                "RUN_LOGGER",
                "JsonHandler",
                "LogFormat",
                "TextFormatter",
                "log_begin",
                "log_failure",
                "log_row",
                "logged_run",
                "logged_work",
                "printed_record",
                "set_subject",
                "subject_prefix",
            ],
            "pipelines.monitoring.metrics": ["PredictionFigures"],
            "pipelines.monitoring.nights": ["NIGHT_COLUMNS", "nights_html"],
        },
    )

__all__ = [
    "NIGHT_COLUMNS",
    "RUN_LOGGER",
    "ExpectedImages",
    "JsonHandler",
    "LogFormat",
    "PredictionFigures",
    "TextFormatter",
    "are_metrics_wanted",
    "check_freshness",
    "check_number_of_images",
    "export_metrics",
    "export_prediction_metrics",
    "listed_images",
    "log_begin",
    "log_failure",
    "log_row",
    "logged_run",
    "logged_work",
    "nights_html",
    "printed_record",
    "set_subject",
    "subject_prefix",
    "told_at_its_end",
]
