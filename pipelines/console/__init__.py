"""What the commands print: plans, summaries and tables.

Names are imported when they are first used, so that a command imports what it needs and no more.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.console.backfill import (
        check_drift,
        check_results,
        drift_line,
        planned_lines,
        result_figures,
        result_line,
    )
    from pipelines.console.coverage import coverage_report
    from pipelines.console.exploration import exploration_lines, hit_lines
    from pipelines.console.extraction import (
        check_figure_files,
        committed_before_text,
        extraction_text,
        planned_counts,
        planned_text,
        run_counts,
        run_figures,
        write_json,
        write_summary,
    )
    from pipelines.console.finetuning import (
        LEFT_OUT_FILE,
        epoch_text,
        fine_tuned_card,
        finetuning_text,
        left_out_csv,
        parameters_text,
        pictures_text,
        start_text,
    )
    from pipelines.console.leaderboard import leaderboard_csv, leaderboard_text, trial_line
    from pipelines.console.padded_lines import padded_line, size_text
    from pipelines.console.prediction import prediction_text
    from pipelines.console.runs import HEADS
    from pipelines.console.store import failure_lines, last_runs, run_table, store_lines, with_first_failures
    from pipelines.console.training import data_text, images_text, leak_lines, model_card, training_text
else:
    from schemas.lazy_imports import lazy_attributes

    __getattr__ = lazy_attributes(
        __name__,
        {
            "pipelines.console.backfill": [
                "check_drift",
                "check_results",
                "drift_line",
                "planned_lines",
                "result_figures",
                "result_line",
            ],
            "pipelines.console.coverage": ["coverage_report"],
            "pipelines.console.exploration": ["exploration_lines", "hit_lines"],
            "pipelines.console.extraction": [
                "check_figure_files",
                "committed_before_text",
                "extraction_text",
                "planned_counts",
                "planned_text",
                "run_counts",
                "run_figures",
                "write_json",
                "write_summary",
            ],
            "pipelines.console.finetuning": [
                "LEFT_OUT_FILE",
                "epoch_text",
                "fine_tuned_card",
                "finetuning_text",
                "left_out_csv",
                "parameters_text",
                "pictures_text",
                "start_text",
            ],
            "pipelines.console.leaderboard": ["leaderboard_csv", "leaderboard_text", "trial_line"],
            "pipelines.console.padded_lines": ["padded_line", "size_text"],
            "pipelines.console.prediction": ["prediction_text"],
            "pipelines.console.runs": ["HEADS"],
            "pipelines.console.store": [
                "failure_lines",
                "last_runs",
                "run_table",
                "store_lines",
                "with_first_failures",
            ],
            "pipelines.console.training": ["data_text", "images_text", "leak_lines", "model_card", "training_text"],
        },
    )

__all__ = [
    "HEADS",
    "LEFT_OUT_FILE",
    "check_drift",
    "check_figure_files",
    "check_results",
    "committed_before_text",
    "coverage_report",
    "data_text",
    "drift_line",
    "epoch_text",
    "exploration_lines",
    "extraction_text",
    "failure_lines",
    "fine_tuned_card",
    "finetuning_text",
    "hit_lines",
    "images_text",
    "last_runs",
    "leaderboard_csv",
    "leaderboard_text",
    "leak_lines",
    "left_out_csv",
    "model_card",
    "padded_line",
    "parameters_text",
    "pictures_text",
    "planned_counts",
    "planned_lines",
    "planned_text",
    "prediction_text",
    "result_figures",
    "result_line",
    "run_counts",
    "run_figures",
    "run_table",
    "size_text",
    "start_text",
    "store_lines",
    "training_text",
    "trial_line",
    "with_first_failures",
    "write_json",
    "write_summary",
]
