"""Planning: which images have to be processed, in which shards. Pure of Beam."""

import dataclasses
import datetime
from collections.abc import Iterable, Sequence

import pyarrow as pa

from schemas.store import InputCounts
from transforms.planning.anti_join import new_images, one_batch, without_finished
from transforms.shuffle import in_reading_order


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a run does with some images.

    Attributes:
        refs: Those to be computed, in one batch in the order of reading, or None if there are none.
        finished: By description of a fragment that a killed run has left, the refs that are taken from it.
        counts: How many there are.
        updates: Known images of which the input says something else than the table, or None if there are none.
    """

    refs: pa.RecordBatch | None
    finished: Sequence[tuple[str, pa.RecordBatch]]
    counts: InputCounts
    updates: pa.RecordBatch | None = None


def plan_images(
    refs: Iterable[pa.RecordBatch],
    known: Iterable[pa.RecordBatch],
    finished: Iterable[pa.RecordBatch] = (),
    annotations: Sequence[str] = (),
    *,
    refresh: bool = False,
) -> Plan:
    """Plans what is done with the images of one hash partition, or with all images at once.

    Args:
        refs: The refs listed.
        known: The images that the store knows, as `known.read_known` yields them.
        finished: The images that killed runs have finished, as `adoption.finished_images` yields them.
        annotations: The columns of annotations in which the input is compared with the table.
        refresh: Whether images that have features are processed again.
    """
    new, updates, counts = new_images(refs, known, annotations, refresh=refresh)
    if new is None:
        return Plan(None, [], counts, updates)
    left, taken = without_finished(new, finished)
    return Plan(left, taken, counts, updates)


def full_shards(refs: pa.RecordBatch, shard_size: int) -> tuple[list[pa.RecordBatch], pa.RecordBatch | None]:
    """Cuts refs into shards of exactly `shard_size` rows; returns them, and what is left."""
    shards = [refs.slice(start, shard_size) for start in range(0, refs.num_rows, shard_size)]
    if shards and shards[-1].num_rows < shard_size:
        return shards[:-1], shards[-1]
    return shards, None


def last_shards(rests: Iterable[pa.RecordBatch], shard_size: int) -> list[pa.RecordBatch]:
    """Cuts what is left of batches into shards in the order of reading, the last of which may be smaller."""
    shards, rest = full_shards(in_reading_order(one_batch(pa.Table.from_batches(rests))), shard_size)
    return shards if rest is None else [*shards, rest]


def shards_of(images: int, shard_size: int) -> int:
    """Returns the number of shards that images are cut into: all are full but the last."""
    return -(-images // shard_size)


def before_deadline(deadline: datetime.datetime | None) -> bool:
    """Whether a shard that begins now begins before the deadline, if there is one."""
    return deadline is None or datetime.datetime.now(datetime.UTC) < deadline
