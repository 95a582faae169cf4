"""What is counted where the runner shows it: Beam metrics in the namespace `convbase`. No decision depends on them."""

from typing import Final

from apache_beam.metrics import Metrics

from schemas.runs import InputCounts, Totals
from transforms.progress import PROGRESS
from transforms.tasks import ShardResult

_NAMESPACE: Final = "convbase"


def count(name: str, number: int = 1) -> None:
    """Adds to a counter."""
    Metrics.counter(_NAMESPACE, name).inc(number)


def record(name: str, value: float) -> None:
    """Adds a value to a distribution."""
    Metrics.distribution(_NAMESPACE, name).update(int(value))


def count_planned(counts: InputCounts) -> None:
    """Counts what planning made of some images, for the progress bar too."""
    PROGRESS.add(planned=counts.planned, skipped=counts.skipped)
    count("images_listed", counts.listed)
    count("images_skipped", counts.skipped)
    count("images_duplicates", counts.duplicates)


def count_result(result: ShardResult) -> None:
    """Counts the result of a shard; once a shard, for each call takes microseconds."""
    totals, measures = Totals.of(result.fragments), result.measures
    count("fragment_bytes", sum(fragment.size for fragment in result.fragments))
    count("images_extracted", totals.extracted)
    count("images_reused", totals.reused)
    for code, images in totals.failures_by_code.items():
        count(f"images_failed_{code}", images)
    count("bytes_read", measures.bytes_read)
    if measures.batches:
        record("batch_decode_milliseconds", measures.batch_decode_milliseconds)
        record("batch_infer_milliseconds", measures.batch_infer_milliseconds)
