"""Planning in one process: what `transforms.planning.beam` would plan, without Beam."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow.compute as pc

from schemas.delta import Scan
from schemas.store import FeatureStore, InputCounts, RunState
from transforms.planning.known_images import known_images
from transforms.planning.listed_partitions import listed_by_partition
from transforms.planning.plan import Plan, plan_images
from transforms.planning.snapshot import RetryFailures, Snapshot
from transforms.shuffle import PARTITIONS, by_partition, unpack
from transforms.sources import IgnoredFiles, ListingRules, Source

# Packed batches, by hash partition.
Packed = Mapping[int, Sequence[bytes]]


def plan_partitions(
    listed: Packed, known: Packed, annotations: Sequence[str] = (), *, refresh: bool = False
) -> Iterator[Plan]:
    """Yields the plan of each hash partition, in their order.

    Args:
        listed: The refs listed.
        known: The known images.
        annotations: The columns of annotations in which the input is compared with the table.
        refresh: Whether images that have features are processed again.
    """
    for partition in range(PARTITIONS):
        refs, there = (map(unpack, side.get(partition, ())) for side in (listed, known))
        yield plan_images(refs, there, (), annotations, refresh=refresh)


def plan_run(
    sources: Sequence[Source],
    rules: ListingRules,
    known: Packed,
    annotations: Sequence[str] = (),
    *,
    refresh: bool = False,
) -> InputCounts:
    """Returns what a run would make of its input.

    Holds the URI and version of every listed image in memory, packed: some 30 bytes each.

    Args:
        sources: Where the images are.
        rules: How the sources are read.
        known: The known images, as `known_by_partition` returns them.
        annotations: The columns of annotations in which the input is compared with the table.
        refresh: Whether images that have features are processed again.

    Raises:
        InvalidInput: If a manifest has a row without a URI, or cannot be read.
        OSError: If a folder cannot be listed.
    """
    ignored = IgnoredFiles()
    listed = listed_by_partition(sources, rules, ignored, annotations)
    counts = (plan.counts for plan in plan_partitions(listed, known, annotations, refresh=refresh))
    return sum(counts, InputCounts(left_aside=ignored.files))


def known_by_partition(store: FeatureStore | None, retry: RetryFailures, annotations: Sequence[str] = ()) -> Packed:
    """Reads which images the newest state of a store knows; holds some 30 bytes for each, and 8 a compared column.

    Args:
        store: The store, or None where there is none yet.
        retry: Which known failures are tried again.
        annotations: The columns of annotations that are compared with the input's.
    """
    return by_partition(known_images(Snapshot.newest(store), retry, annotations)) if store else {}


def past_rate(store: FeatureStore | None) -> float | None:
    """Returns images a second, the median of the store's complete runs that computed any, or None without one."""
    if store is None:
        return None
    columns = ["images_per_second", "extracted", "reused", "adopted"]
    runs = Scan(store.runs(), columns, [("state", "=", str(RunState.COMPLETE))]).to_arrow()
    spared = pc.add(runs["reused"], pc.fill_null(runs["adopted"], 0))
    rates = runs.filter(pc.greater(runs["extracted"], spared))["images_per_second"].to_numpy()
    return float(np.median(rates)) if len(rates) else None
