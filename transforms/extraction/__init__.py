"""Extraction: a shard of image refs becomes fragments of features and failures, which a run commits."""

from transforms.extraction.extraction import Extraction, Reuse
from transforms.extraction.run_commit import judge_run
from transforms.extraction.shard import counted, finite_only, infer_batches
from transforms.extraction.tasks import ShardResult, ShardTask
from transforms.extraction.worker import Worker
from transforms.extraction.writing import as_lists, write_failures

__all__ = [
    "Extraction",
    "Reuse",
    "ShardResult",
    "ShardTask",
    "Worker",
    "as_lists",
    "counted",
    "finite_only",
    "infer_batches",
    "judge_run",
    "write_failures",
]
