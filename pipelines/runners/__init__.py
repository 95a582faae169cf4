"""Beam's runners: choosing one, what it needs, what its errors mean, progress while it runs.

Names are imported when they are first used, so that a command imports what it needs and no more.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.runners.beam_import import beam_imported_meanwhile
    from pipelines.runners.dataflow import is_template
    from pipelines.runners.errors import NOTHING_VISIBLE, explained_failures
    from pipelines.runners.pipeline import new_pipeline, on_worker_start, worker_start
    from pipelines.runners.progress import print_above, shown_progress, shown_steps
    from pipelines.runners.remote import WorkerStart, waited_for
    from pipelines.runners.selection import (
        beam_options,
        decoders_a_process,
        parse_command,
        recorded_options,
        runner_name,
        threads_a_process,
    )
    from pipelines.runners.spilling import spill_folder
else:
    from schemas.lazy_imports import lazy_attributes

    __getattr__ = lazy_attributes(
        __name__,
        {
            "pipelines.runners.beam_import": ["beam_imported_meanwhile"],
            "pipelines.runners.dataflow": ["is_template"],
            "pipelines.runners.errors": ["NOTHING_VISIBLE", "explained_failures"],
            "pipelines.runners.pipeline": ["new_pipeline", "on_worker_start", "worker_start"],
            "pipelines.runners.progress": ["print_above", "shown_progress", "shown_steps"],
            "pipelines.runners.remote": ["WorkerStart", "waited_for"],
            "pipelines.runners.selection": [
                "beam_options",
                "decoders_a_process",
                "parse_command",
                "recorded_options",
                "runner_name",
                "threads_a_process",
            ],
            "pipelines.runners.spilling": ["spill_folder"],
        },
    )

__all__ = [
    "NOTHING_VISIBLE",
    "WorkerStart",
    "beam_imported_meanwhile",
    "beam_options",
    "decoders_a_process",
    "explained_failures",
    "is_template",
    "new_pipeline",
    "on_worker_start",
    "parse_command",
    "print_above",
    "recorded_options",
    "runner_name",
    "shown_progress",
    "shown_steps",
    "spill_folder",
    "threads_a_process",
    "waited_for",
    "worker_start",
]
