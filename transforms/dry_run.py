"""Planning in one process, for nothing but the counts: what `transforms.planning_steps` would plan, without Beam."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow.compute as pc

from schemas.runs import InputCounts, RunState
from schemas.scan import Scan
from schemas.store import FeatureStore
from transforms.known import known_images
from transforms.packing import unpack
from transforms.partitioning import PARTITIONS, by_partition, listed_by_partition
from transforms.planning import RetryFailures, Snapshot, full_shards, new_images
from transforms.sources import LeftAside, ListingRules, Source

# Packed batches, by hash partition.
Known = Mapping[int, Sequence[bytes]]


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
    sources: Sequence[Source], rules: ListingRules, known: Known, shard_size: int, *, anew: bool = False
) -> Plan:
    """Plans a run.

    Holds the URI and version of every listed image in memory, packed: some 30 bytes each.

    Args:
        sources: Where the images are.
        rules: How the sources are read.
        known: The known images, as `read_known` returns them.
        shard_size: Images a shard.
        anew: Whether images that have features are processed again.

    Raises:
        InvalidInput: If a manifest has a row without a URI, or cannot be read.
        OSError: If a folder cannot be listed.
    """
    left_aside = LeftAside()
    refs = listed_by_partition(sources, rules, left_aside)
    counts = InputCounts(left_aside=left_aside.files)
    shards = rest = 0
    for partition in range(PARTITIONS):
        listed, there = refs.get(partition, ()), known.get(partition, ())
        new, counted = new_images(map(unpack, listed), map(unpack, there), anew=anew)
        counts += counted
        if new is not None:
            full, left = full_shards(new, shard_size)
            shards += len(full)
            rest += left.num_rows if left is not None else 0
    return Plan(counts, shards + -(-rest // shard_size))


def read_known(store: FeatureStore | None, retry: RetryFailures) -> Known:
    """Reads which images the newest state of a store knows; holds some 30 bytes for each of them.

    Args:
        store: The store, or None where there is none yet.
        retry: Which known failures are tried again.
    """
    return by_partition(known_images(Snapshot.newest(store), retry)) if store else {}


def past_rate(store: FeatureStore | None) -> float | None:
    """Returns images a second, the median of the store's complete runs that computed any, or None without one."""
    if store is None:
        return None
    columns = ["images_per_second", "extracted", "reused", "adopted"]
    runs = Scan(store.runs(), columns, [("state", "=", str(RunState.COMPLETE))]).to_arrow()
    spared = pc.add(runs["reused"], pc.fill_null(runs["adopted"], 0))
    rates = runs.filter(pc.greater(runs["extracted"], spared))["images_per_second"].to_numpy()
    return float(np.median(rates)) if len(rates) else None
