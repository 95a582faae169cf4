"""What `pipelines.maintain` does, a generator of lines for each of its commands."""

from pipelines.upkeep.checking import check_logs, run_check
from pipelines.upkeep.file_upkeep import run_compact, run_vacuum
from pipelines.upkeep.takedowns import run_takedown
from pipelines.upkeep.versions import run_history, run_republish, run_restore

__all__ = [
    "check_logs",
    "run_check",
    "run_compact",
    "run_history",
    "run_republish",
    "run_restore",
    "run_takedown",
    "run_vacuum",
]
