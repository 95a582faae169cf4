"""Planning: which images have to be processed, and in which shards. Pure of Beam; everything is Arrow and vectorised.

Images are told apart within hash partitions of their URIs, so that no step ever needs all of them at once.
"""

import collections
import dataclasses
import datetime
import enum
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from schemas.fragments import TableName
from schemas.images import SUPERSEDES
from schemas.runs import InputCounts
from schemas.scan import Scan
from schemas.store import FeatureStore
from schemas.takedowns import open_takedowns
from transforms.sources import LeftAside, ListingRules, Source, list_source, look_up_versions

PARTITIONS: Final = 32

_HAS_FEATURES: Final = "has_features"
_PLANNED_BY: Final = ("uri", "version", SUPERSEDES)


class RetryFailures(enum.StrEnum):
    """Which known failures are tried again."""

    TRANSIENT = "transient"
    ALL = "all"
    NONE = "none"


def partitioned(batch: pa.RecordBatch) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Splits a batch by a hash of its URIs that is the same in every process."""
    uris = batch.column("uri").to_numpy(zero_copy_only=False).astype(object)
    partitions = pd.util.hash_array(uris, categorize=False) % PARTITIONS
    for partition in np.unique(partitions):
        yield int(partition), batch.filter(pa.array(partitions == partition))


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """The state of a store on which a run plans.

    Attributes:
        store: The store.
        features_version: The version of `features`.
        failures_version: The version of `failures`.
        takedowns_version: The version of `takedowns`, or None if nothing was ever taken down.
    """

    store: FeatureStore
    features_version: int
    failures_version: int
    takedowns_version: int | None = None

    @classmethod
    def newest(cls, store: FeatureStore) -> "Snapshot":
        """Returns the newest state of a store."""
        takedowns = open_takedowns(store.uri)
        return cls(
            store,
            store.features().version(),
            store.failures().version(),
            takedowns.version() if takedowns else None,
        )

    @property
    def versions(self) -> dict[TableName, int]:
        """The versions by table, of those that there are."""
        versions = {TableName.FEATURES: self.features_version, TableName.FAILURES: self.failures_version}
        if self.takedowns_version is not None:
            versions[TableName.TAKEDOWNS] = self.takedowns_version
        return versions


def known_images(snapshot: Snapshot, retry: RetryFailures) -> Iterator[pa.RecordBatch]:
    """Yields the images that need not be looked at again.

    They are those with features, those that were taken down (in every version), and the failures not tried again.

    Args:
        snapshot: The state of the store.
        retry: Which failures are tried again.

    Yields:
        Batches with the columns `uri`, `version` and `has_features`; a version that is null means every version.
    """
    key = ["uri", "version"]
    yield from _taken_down(snapshot)
    images = snapshot.store.scan_images(key, table_version=snapshot.features_version)
    yield from _marked(images, has_features=True)
    if retry == RetryFailures.ALL:
        return
    permanent = [("permanent", "=", True)] if retry == RetryFailures.TRANSIENT else None
    yield from _marked(Scan(snapshot.store.failures(snapshot.failures_version), key, permanent), has_features=False)


def _taken_down(snapshot: Snapshot) -> Iterator[pa.RecordBatch]:
    pinned = snapshot.takedowns_version
    takedowns = open_takedowns(snapshot.store.uri, pinned) if pinned is not None else None
    if takedowns is None:
        return
    for batch in Scan(takedowns, ["uri"]).to_batches():
        columns = [batch.column("uri"), pa.nulls(batch.num_rows, pa.string()), pa.array([False] * batch.num_rows)]
        yield pa.RecordBatch.from_arrays(columns, ["uri", "version", _HAS_FEATURES])


def _marked(scan: Scan, *, has_features: bool) -> Iterator[pa.RecordBatch]:
    for batch in scan.to_batches():
        marks = pa.array(np.full(batch.num_rows, has_features))
        yield pa.RecordBatch.from_arrays([*batch.columns, marks], [*batch.schema.names, _HAS_FEATURES])


def new_images(
    refs: Iterable[pa.RecordBatch], known: Iterable[pa.RecordBatch], *, anew: bool = False
) -> tuple[pa.RecordBatch | None, InputCounts]:
    """Takes out the images that are known, and those that are mentioned twice.

    Args:
        refs: All refs of one hash partition.
        known: The known images of the same partition.
        anew: Whether images that have features are processed again.

    Returns:
        The refs that have to be processed, in one batch ordered by URI, those that have older features marked as
        superseding, or None if there are none; and what was counted.
    """
    mentioned = list(refs)
    if not mentioned:
        return None, InputCounts()
    table = pa.Table.from_batches(mentioned)
    unique = table.take(first_mentions(table["uri"]))
    counts = InputCounts(listed=unique.num_rows, duplicates=table.num_rows - unique.num_rows)
    known_batches = list(known)
    if known_batches:
        known_table = pa.Table.from_batches(known_batches)
        extracted = known_table.filter(known_table[_HAS_FEATURES])
        finished = known_table.filter(pc.invert(known_table[_HAS_FEATURES])) if anew else known_table
        unique = unique.filter(pc.invert(_are_known(unique, finished)))
        supersedes = pc.is_in(unique["uri"], value_set=extracted["uri"].combine_chunks())
    else:
        supersedes = pa.nulls(unique.num_rows, pa.bool_())
    new = unique.set_column(unique.schema.get_field_index(SUPERSEDES), table.schema.field(SUPERSEDES), supersedes)
    counts += InputCounts(skipped=counts.listed - new.num_rows)
    return (one_batch(new) if new.num_rows else None), counts


def by_partition(batches: Iterable[pa.RecordBatch]) -> dict[int, list[pa.RecordBatch]]:
    """Splits batches by the hash partitions of their URIs."""
    parts: collections.defaultdict[int, list[pa.RecordBatch]] = collections.defaultdict(list)
    for batch in batches:
        for partition, part in partitioned(batch):
            parts[partition].append(part)
    return parts


def listed_by_partition(
    sources: Sequence[Source], rules: ListingRules, left_aside: LeftAside
) -> dict[int, list[pa.RecordBatch]]:
    """Lists the images of sources, by the hash partitions of their URIs.

    Args:
        sources: The sources.
        rules: How they are read.
        left_aside: Where the files without an image's extension are counted.

    Returns:
        Batches with the columns of refs that planning looks at alone: some 200 bytes an image are held.
    """
    listed = (batch for source in sources for batch in list_source(source, rules, left_aside))
    return by_partition(look_up_versions(batch).select(_PLANNED_BY) for batch in listed)


def first_mentions(uris: pa.ChunkedArray) -> pa.Array:
    """Returns the row of the first mention of each URI, ordered by URI."""
    rows = pa.table({"uri": uris, "row": pa.array(np.arange(len(uris)))})
    return rows.group_by("uri").aggregate([("row", "min")]).sort_by("uri")["row_min"].combine_chunks()


def _are_known(refs: pa.Table, known: pa.Table) -> pa.Array:
    return pc.or_(_are_known_in_every_version(refs, known), have_keys_of(refs, known))


def _are_known_in_every_version(refs: pa.Table, known: pa.Table) -> pa.Array:
    in_every_version = known.filter(pc.is_null(known["version"]))["uri"].combine_chunks()
    return pc.is_in(refs["uri"], value_set=in_every_version)


def have_keys_of(refs: pa.Table, known: pa.Table) -> pa.Array:
    """Returns of each row of `refs` whether `known` has its (uri, version)."""
    key = ["uri", "version"]
    rows = refs.select(key).append_column("row", pa.array(np.arange(refs.num_rows)))
    found = rows.join(known.select(key), key, join_type="left semi")["row"].to_numpy()
    mask = np.zeros(refs.num_rows, bool)
    mask[found] = True
    return pa.array(mask)


def full_shards(refs: pa.RecordBatch, shard_size: int) -> tuple[list[pa.RecordBatch], pa.RecordBatch | None]:
    """Cuts refs into shards of exactly `shard_size` rows; returns them, and what is left."""
    shards = [refs.slice(start, shard_size) for start in range(0, refs.num_rows, shard_size)]
    if shards and shards[-1].num_rows < shard_size:
        return shards[:-1], shards[-1]
    return shards, None


def begins_in_time(deadline: datetime.datetime | None) -> bool:
    """Whether a shard that begins now begins before the deadline, if there is one."""
    return deadline is None or datetime.datetime.now(datetime.UTC) < deadline


def one_batch(table: pa.Table) -> pa.RecordBatch:
    """Returns a table's rows as a single batch."""
    return table.combine_chunks().to_batches()[0]
