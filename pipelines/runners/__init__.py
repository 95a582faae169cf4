"""Beam's runners: choosing one, what it needs, what its errors mean, progress while it runs."""

from pipelines.runners.dataflow import is_template
from pipelines.runners.errors import explained_failures
from pipelines.runners.progress import shown_progress
from pipelines.runners.selection import (
    beam_imported_meanwhile,
    beam_options,
    decoders_a_process,
    find_runner,
    parse_command,
    recorded_options,
    runner_name,
    threads_a_process,
)
from pipelines.runners.spilling import spill_folder

__all__ = [
    "beam_imported_meanwhile",
    "beam_options",
    "decoders_a_process",
    "explained_failures",
    "find_runner",
    "is_template",
    "parse_command",
    "recorded_options",
    "runner_name",
    "shown_progress",
    "spill_folder",
    "threads_a_process",
]
