"""Planning: which images have to be processed, in which shards. Pure of Beam; everything is Arrow and vectorised."""

import dataclasses
import datetime
import enum
from collections.abc import Iterable
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.fragments import TableName
from schemas.images import SUPERSEDES
from schemas.runs import InputCounts
from schemas.store import FeatureStore
from schemas.takedowns import open_takedowns

HAS_FEATURES: Final = "has_features"


class RetryFailures(enum.StrEnum):
    """Which known failures are tried again."""

    TRANSIENT = "transient"
    ALL = "all"
    NONE = "none"


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """The state of a store on which a run plans.

    Attributes:
        store: The store.
        features_version: The version of `features`.
        failures_version: The version of `failures`.
        takedowns_version: The version of `takedowns`, or None if nothing was ever taken down.
        rows: The rows of `features`, by which planning is divided.
    """

    store: FeatureStore
    features_version: int
    failures_version: int
    takedowns_version: int | None = None
    rows: int = 0

    @classmethod
    def newest(cls, store: FeatureStore) -> "Snapshot":
        """Returns the newest state of a store."""
        features, takedowns = store.features(), open_takedowns(store.uri)
        return cls(
            store,
            features.version(),
            store.failures().version(),
            takedowns.version() if takedowns else None,
            features.count(),
        )

    @property
    def versions(self) -> dict[TableName, int]:
        """The versions by table, of those that there are."""
        versions = {TableName.FEATURES: self.features_version, TableName.FAILURES: self.failures_version}
        if self.takedowns_version is not None:
            versions[TableName.TAKEDOWNS] = self.takedowns_version
        return versions


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
    first = first_mentions(table["uri"])
    unique = table.take(first) if len(first) < table.num_rows else table
    counts = InputCounts(listed=unique.num_rows, duplicates=table.num_rows - unique.num_rows)
    known_batches = list(known)
    if known_batches:
        known_table = pa.Table.from_batches(known_batches)
        finished = known_table.filter(pc.invert(known_table[HAS_FEATURES])) if anew else known_table
        unique = unique.filter(pc.invert(_are_known(unique, finished)))
        supersedes = _have_features(unique, known_table)
    else:
        supersedes = pa.nulls(unique.num_rows, pa.bool_())
    new = unique.set_column(unique.schema.get_field_index(SUPERSEDES), table.schema.field(SUPERSEDES), supersedes)
    counts += InputCounts(skipped=counts.listed - new.num_rows)
    return (one_batch(new.sort_by("uri")) if new.num_rows else None), counts


def first_mentions(uris: pa.ChunkedArray) -> pa.Array:
    """Returns the rows of the first mention of each URI, in their order."""
    # Codes count up in the order of first appearance: a first mention is a code above all before it.
    codes = uris.combine_chunks().dictionary_encode().indices.to_numpy()
    before = np.maximum.accumulate(np.concatenate([[-1], codes[:-1]])) if len(codes) else codes
    return pa.array(np.flatnonzero(codes > before))


def _have_features(refs: pa.Table, known: pa.Table) -> pa.Array:
    """Returns of each row of `refs` whether `known` has its URI with features; cheap where the refs are few."""
    mentioned = pc.is_in(known["uri"], value_set=refs["uri"].combine_chunks())
    extracted = known["uri"].filter(pc.and_(mentioned, known[HAS_FEATURES])).combine_chunks()
    return pc.is_in(refs["uri"], value_set=extracted)


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
