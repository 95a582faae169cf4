"""Coverage: which images of an input have no features in a store, and why. Pure of Beam."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from schemas.delta import Scan
from schemas.fragments import TableName
from schemas.images import SUPERSEDES
from schemas.store import FeatureStore
from transforms.planning.dry_run import plan_partitions
from transforms.planning.known_images import known_images
from transforms.planning.listed_partitions import listed_by_partition
from transforms.planning.snapshot import RetryFailures, Snapshot
from transforms.shuffle import by_partition, unpack
from transforms.sources import IgnoredFiles, ListingRules, Source

NEVER_SEEN: Final = "never seen"
ANOTHER_VERSION: Final = "another version"
FAILED: Final = "failed: "

_KEY: Final = ["uri", "version"]
_NONE_MISSING: Final = pa.schema([("uri", pa.string()), ("why", pa.string())]).empty_table()


@dataclasses.dataclass(frozen=True)
class Coverage:
    """A part of an input, compared with a store.

    Attributes:
        listed: Images in it, each URI once.
        missing: Those without features, ordered by URI, with the columns `uri` and `why`. Images that were taken down
            are not missing.
    """

    listed: int
    missing: pa.Table


def compare(sources: Sequence[Source], rules: ListingRules, store: FeatureStore) -> Iterator[Coverage]:
    """Compares an input with the newest state of a store, one hash partition of the URIs after the other.

    Holds the URI and version of every listed, known and failed image in memory, packed: some 30 bytes each.

    Args:
        sources: Where the images are.
        rules: How the sources are read.
        store: The store.

    Raises:
        InvalidInput: If a manifest has a row without a URI, or cannot be read.
        OSError: If a folder cannot be listed.
    """
    snapshot = Snapshot.newest(store)
    refs = listed_by_partition(sources, rules, IgnoredFiles())
    known = by_partition(known_images(snapshot, RetryFailures.ALL))
    failed = Scan(snapshot.table(TableName.FAILURES), [*_KEY, "code", "failed_at"])
    failures = by_partition(failed.to_batches())
    for partition, plan in enumerate(plan_partitions(refs, known)):
        errors = map(unpack, failures.get(partition, ()))
        yield Coverage(plan.counts.listed, _NONE_MISSING if plan.refs is None else _explained(plan.refs, errors))


def _explained(missing: pa.RecordBatch, failures: Iterable[pa.RecordBatch]) -> pa.Table:
    """Says of images without features why: the last error of this version, or that there is another, or neither."""
    refs = pa.Table.from_batches([missing])
    other = pc.if_else(pc.fill_null(refs[SUPERSEDES], False), ANOTHER_VERSION, NEVER_SEEN)
    refs = refs.select(_KEY).append_column("other", other)
    batches = list(failures)
    if not batches:
        return pa.table({"uri": refs["uri"], "why": refs["other"]})
    newest_first = pa.Table.from_batches(batches).sort_by([("failed_at", "descending")])
    codes = newest_first.group_by(_KEY, use_threads=False).aggregate([("code", "first")])
    refs = refs.join(codes, _KEY).sort_by("uri")
    failed = pc.binary_join_element_wise(FAILED, refs["code_first"], "")
    return pa.table({"uri": refs["uri"], "why": pc.coalesce(failed, refs["other"])})
