"""Planning in one process, for nothing but the counts: what `transforms.steps` would plan, without Beam."""

import collections
import dataclasses
from collections.abc import Iterable, Sequence
from typing import Final

import pyarrow as pa

from schemas.images import SUPERSEDES
from schemas.runs import InputCounts
from schemas.store import FeatureStore
from transforms.planning import PARTITIONS, RetryFailures, Snapshot, full_shards, known_images, new_images, partitioned
from transforms.sources import LeftAside, ListingRules, Source, list_source, look_up_versions

# The columns that planning looks at; of each image, these are all that is held.
_PLANNED_BY: Final = ("uri", "version", SUPERSEDES)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a run would do.

    Attributes:
        counts: What it would make of the input.
        shards: Its units of work.
    """

    counts: InputCounts
    shards: int


def plan_run(
    sources: Sequence[Source],
    rules: ListingRules,
    store: FeatureStore | None,
    retry: RetryFailures,
    shard_size: int,
) -> Plan:
    """Plans a run on the newest state of a store.

    Holds the URI and version of every listed and every known image in memory, about 200 bytes each.

    Args:
        sources: Where the images are.
        rules: How the sources are read.
        store: The store, or None where there is none yet.
        retry: Which known failures are tried again.
        shard_size: Images a shard.

    Raises:
        InvalidInput: If a manifest has a row without a URI, or cannot be read.
        OSError: If a folder cannot be listed.
    """
    left_aside = LeftAside()
    listed = (batch for source in sources for batch in list_source(source, rules, left_aside))
    refs = _by_partition(look_up_versions(batch).select(_PLANNED_BY) for batch in listed)
    known = _by_partition(known_images(Snapshot.newest(store), retry)) if store else {}
    counts = InputCounts(left_aside=left_aside.files)
    shards = rest = 0
    for partition in range(PARTITIONS):
        new, counted = new_images(refs.get(partition, ()), known.get(partition, ()))
        counts += counted
        if new is not None:
            full, left = full_shards(new, shard_size)
            shards += len(full)
            rest += left.num_rows if left is not None else 0
    return Plan(counts, shards + -(-rest // shard_size))


def _by_partition(batches: Iterable[pa.RecordBatch]) -> dict[int, list[pa.RecordBatch]]:
    parts: collections.defaultdict[int, list[pa.RecordBatch]] = collections.defaultdict(list)
    for batch in batches:
        for partition, part in partitioned(batch):
            parts[partition].append(part)
    return parts
