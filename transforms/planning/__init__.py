"""What a run has to do: the images that a snapshot does not hold yet, in shards, and what killed runs had finished."""

from transforms.planning.adoption import adopt
from transforms.planning.anti_join import first_occurrences, one_batch
from transforms.planning.coverage import compare
from transforms.planning.dry_run import known_by_partition, past_rate, plan_run
from transforms.planning.plan import before_deadline, shards_of
from transforms.planning.snapshot import RetryFailures, Snapshot

__all__ = [
    "RetryFailures",
    "Snapshot",
    "adopt",
    "before_deadline",
    "compare",
    "first_occurrences",
    "known_by_partition",
    "one_batch",
    "past_rate",
    "plan_run",
    "shards_of",
]
