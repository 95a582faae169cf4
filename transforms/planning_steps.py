"""The Beam transforms that plan: which images there are, which of them have to be processed, in which shards.

They only carry: the work is in the pure functions of `sources`, `planning` and `adoption`. Image refs travel as Arrow
batches.
"""

import datetime
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.metrics import Metrics
from apache_beam.pvalue import PBegin, PCollection, TaggedOutput
from apache_beam.typehints.decorators import no_annotations

from schemas.runs import InputCounts
from transforms import arrow_coding  # noqa: F401 (registers the coder of record batches)
from transforms.adoption import finished_images, without_finished
from transforms.planning import (
    RetryFailures,
    Snapshot,
    begins_in_time,
    full_shards,
    known_images,
    new_images,
    one_batch,
    partitioned,
)
from transforms.progress import PROGRESS
from transforms.sources import LeftAside, ListingRules, Source, list_source, look_up_versions

METRICS: Final = "convbase"
_COUNTS: Final = "counts"
_FINISHED: Final = "finished"
_REST: Final = "rest"


class Listing(NamedTuple):
    """Images and what was counted on the way to them.

    Attributes:
        refs: Batches of refs.
        counts: `InputCounts`, to be summed.
    """

    refs: PCollection[pa.RecordBatch]
    counts: PCollection[InputCounts]


class Plan(NamedTuple):
    """The work of a run.

    Attributes:
        refs: Batches of the refs that have to be processed.
        counts: `InputCounts`, to be summed.
        finished: By description of a fragment that a run that was killed has left, the refs that are taken from it.
    """

    refs: PCollection[pa.RecordBatch]
    counts: PCollection[InputCounts]
    finished: PCollection[tuple[str, pa.RecordBatch]]


class ListImages(beam.PTransform):
    """Lists the images of sources, each with its version."""

    def __init__(self, sources: Sequence[Source], rules: ListingRules) -> None:
        super().__init__()
        self._sources = sources
        self._rules = rules

    @no_annotations
    def expand(self, root: PBegin) -> Listing:
        """Returns the images."""
        listed = (
            root
            | "Sources" >> beam.Create(self._sources)
            | "SpreadSources" >> beam.Reshuffle()
            | "List"
            >> beam.ParDo(_ListSource(self._rules))
            .with_output_types(pa.RecordBatch, counts=InputCounts)
            .with_outputs(_COUNTS, main="refs")
        )
        refs = (
            listed.refs
            | "SpreadRefs" >> beam.Reshuffle()
            | "LookUpVersions" >> beam.Map(look_up_versions).with_output_types(pa.RecordBatch)
        )
        return Listing(refs, listed[_COUNTS])


class _ListSource(beam.DoFn):
    def __init__(self, rules: ListingRules) -> None:
        self._rules = rules

    def process(self, source: Source) -> Iterator[pa.RecordBatch | TaggedOutput[Literal["counts"], InputCounts]]:
        left_aside = LeftAside()
        yield from list_source(source, self._rules, left_aside)
        yield TaggedOutput(_COUNTS, InputCounts(left_aside=left_aside.files))


class SkipExtracted(beam.PTransform):
    """Takes out the images that the store knows, those that are finished, and those that the input mentions twice."""

    def __init__(self, snapshot: Snapshot | None, retry: RetryFailures, refresh: str | None = None) -> None:
        """Takes what is known already.

        Args:
            snapshot: The state of the store, pinned, so that a step that is tried again plans the same; None where
                there is no store yet.
            retry: Which known failures are tried again.
            refresh: The refresh that this is, if it is one: images that have features are then processed again.
        """
        super().__init__()
        self._snapshots = [snapshot] if snapshot else []
        self._retry = retry
        self._refresh = refresh

    @no_annotations
    def expand(self, listing: Listing) -> Plan:
        """Returns the images that have to be processed, and those whose features are only to be adopted."""
        store = listing.refs.pipeline | "Store" >> beam.Create(self._snapshots)
        known = (
            store
            | "ReadKnown" >> beam.FlatMap(known_images, self._retry).with_output_types(pa.RecordBatch)
            | "PartitionKnown" >> _partition()
        )
        finished = (
            store
            | "ReadFinished" >> beam.FlatMap(finished_images, self._refresh).with_output_types(pa.RecordBatch)
            | "PartitionFinished" >> _partition()
        )
        refs = listing.refs | "PartitionRefs" >> _partition()
        new = (
            {"refs": refs, "known": known, "finished": finished}
            | "ByPartition" >> beam.CoGroupByKey()
            | "NewImages"
            >> beam.ParDo(_NewImages(anew=self._refresh is not None))
            .with_output_types(pa.RecordBatch, counts=InputCounts, finished=tuple[str, pa.RecordBatch])
            .with_outputs(_COUNTS, _FINISHED, main="refs")
        )
        counts = (listing.counts, new[_COUNTS]) | "AllCounts" >> beam.Flatten()
        return Plan(new.refs, counts, new[_FINISHED])


def _partition() -> beam.PTransform:
    return beam.FlatMap(partitioned).with_output_types(tuple[int, pa.RecordBatch])


class _NewImages(beam.DoFn):
    def __init__(self, *, anew: bool) -> None:
        self._anew = anew

    def process(
        self, partition: tuple[int, dict[str, Iterable[pa.RecordBatch]]]
    ) -> Iterator[
        pa.RecordBatch
        | TaggedOutput[Literal["counts"], InputCounts]
        | TaggedOutput[Literal["finished"], tuple[str, pa.RecordBatch]]
    ]:
        _, grouped = partition
        new, counts = new_images(grouped["refs"], grouped["known"], anew=self._anew)
        PROGRESS.add(planned=counts.planned, skipped=counts.skipped)
        for name in ("listed", "skipped", "duplicates"):
            Metrics.counter(METRICS, f"images_{name}").inc(getattr(counts, name))
        yield TaggedOutput(_COUNTS, counts)
        if new is None:
            return
        left, finished = without_finished(new, grouped["finished"])
        if left is not None:
            yield left
        for of_fragment in finished:
            yield TaggedOutput(_FINISHED, of_fragment)


class MakeShards(beam.PTransform):
    """Cuts the images into shards of `shard_size`; only the last one is smaller."""

    def __init__(self, shard_size: int) -> None:
        super().__init__()
        self._shard_size = shard_size

    @no_annotations
    def expand(self, plan: Plan) -> PCollection[pa.RecordBatch]:
        """Returns the shards."""
        cut = plan.refs | "Cut" >> beam.ParDo(_CutShards(self._shard_size)).with_output_types(
            pa.RecordBatch, rest=pa.RecordBatch
        ).with_outputs(_REST, main="full")
        rest = (
            cut[_REST]
            | "OneKey" >> beam.WithKeys(None).with_output_types(tuple[None, pa.RecordBatch])
            | "GatherRests" >> beam.GroupByKey()
            | "Rests" >> beam.Values()
            | "CutRests" >> beam.FlatMap(_cut_rests, self._shard_size).with_output_types(pa.RecordBatch)
        )
        return (
            (cut.full, rest)
            | "AllShards" >> beam.Flatten()
            | "CountShards" >> beam.ParDo(_CountShards()).with_output_types(pa.RecordBatch)
        )


class _CutShards(beam.DoFn):
    def __init__(self, shard_size: int) -> None:
        self._shard_size = shard_size

    def process(
        self, batch: pa.RecordBatch
    ) -> Iterator[pa.RecordBatch | TaggedOutput[Literal["rest"], pa.RecordBatch]]:
        shards, rest = full_shards(batch, self._shard_size)
        yield from shards
        if rest is not None:
            yield TaggedOutput(_REST, rest)


def _cut_rests(rests: Iterable[pa.RecordBatch], shard_size: int) -> Iterator[pa.RecordBatch]:
    ordered = one_batch(pa.Table.from_batches(list(rests)).sort_by("uri"))
    shards, rest = full_shards(ordered, shard_size)
    yield from shards
    if rest is not None:
        yield rest


class _CountShards(beam.DoFn):
    def process(self, shard: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        Metrics.counter(METRICS, "shards").inc()
        yield shard


class BeginInTime(beam.PTransform):
    """Lets shards through until a deadline, each when it is about to begin, and counts the images of the rest."""

    def __init__(self, deadline: datetime.datetime | None) -> None:
        super().__init__()
        self._deadline = deadline

    @no_annotations
    def expand(self, shards: PCollection[pa.RecordBatch]) -> Listing:
        """Returns the shards that begin in time, and the count of images that are left."""
        begun = shards | "BeginInTime" >> beam.ParDo(_BeginInTime(self._deadline)).with_output_types(
            pa.RecordBatch, counts=InputCounts
        ).with_outputs(_COUNTS, main="shards")
        return Listing(begun.shards, begun[_COUNTS])


class _BeginInTime(beam.DoFn):
    def __init__(self, deadline: datetime.datetime | None) -> None:
        self._deadline = deadline

    def process(self, shard: pa.RecordBatch) -> Iterator[pa.RecordBatch | TaggedOutput[Literal["counts"], InputCounts]]:
        # Runners fuse this with the extraction: the next shard comes when the one before is written.
        if begins_in_time(self._deadline):
            yield shard
        else:
            yield TaggedOutput(_COUNTS, InputCounts(remaining=shard.num_rows))
