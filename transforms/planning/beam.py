"""The Beam transforms that plan: which of the images have to be processed, in which shards.

They only carry: the work is in the pure functions of `known`, `planning` and `adoption`. Image refs travel as Arrow
batches.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection, TaggedOutput
from apache_beam.typehints.decorators import no_annotations

from schemas.store import InputCounts
from transforms.planning.adoption import finished_images
from transforms.planning.known_images import ROWS_TOGETHER, KnownFiles, known_files, read_known
from transforms.planning.plan import full_shards, last_shards, plan_images
from transforms.planning.snapshot import RetryFailures, Snapshot
from transforms.runtime import PROGRESS
from transforms.runtime.beam_metrics import count
from transforms.shuffle import (
    Spilled,
    coder,  # noqa: F401 (registers the coder of record batches)
    read_spilled,
)
from transforms.shuffle.beam import Partition
from transforms.sources.beam import Listing

_COUNTS: Final = "counts"
_FINISHED: Final = "finished"
_REST: Final = "rest"
_UPDATES: Final = "updates"


class Planned(NamedTuple):
    """The work of a run; see `planning.Plan`.

    Attributes:
        refs: Batches of the refs that have to be processed.
        counts: `InputCounts`, to be summed.
        finished: By description of a fragment that a run that was killed has left, the refs that are taken from it.
        updates: Batches of the refs of known images of which the input says something else than the table.
    """

    refs: PCollection[pa.RecordBatch]
    counts: PCollection[InputCounts]
    finished: PCollection[tuple[str, pa.RecordBatch]]
    updates: PCollection[pa.RecordBatch]


class SkipExtracted(beam.PTransform):
    """Takes out the images that the store knows, those that are finished, and duplicate URIs."""

    def __init__(
        self,
        snapshot: Snapshot | None,
        retry: RetryFailures,
        refresh: str | None = None,
        annotations: Sequence[str] = (),
        *,
        spill_folder: str | None = None,
        known_rows_together: int = ROWS_TOGETHER,
    ) -> None:
        """Takes what is known already.

        Args:
            snapshot: The state of the store, pinned, so that a step that is tried again plans the same; None where
                there is no store yet.
            retry: Which known failures are tried again.
            refresh: The refresh that this is, if it is one: images that have features are then processed again.
            annotations: The columns of annotations in which the input is compared with the table.
            spill_folder: A folder for image refs, where all workers are on this machine.
            known_rows_together: Files of the store are read together until they have so many rows.
        """
        super().__init__()
        self._known_rows_together = known_rows_together
        self._snapshots = [snapshot] if snapshot else []
        self._retry = retry
        self._refresh = refresh
        self._annotations = tuple(annotations)
        self._spill_folder = spill_folder

    @no_annotations
    def expand(self, listing: Listing) -> Planned:
        """Returns the images that have to be processed, and those whose features are only to be adopted."""
        store = listing.refs.pipeline | "Store" >> beam.Create(self._snapshots)
        known = (
            store
            | "KnownFiles"
            >> beam.FlatMap(known_files, self._retry, self._annotations, self._known_rows_together).with_output_types(
                KnownFiles
            )
            | "SpreadKnown" >> beam.Reshuffle()
            | "ReadKnown" >> beam.FlatMap(read_known).with_output_types(pa.RecordBatch)
        )
        finished = store | "ReadFinished" >> beam.FlatMap(finished_images, self._refresh).with_output_types(
            pa.RecordBatch
        )
        images = sum(snapshot.rows for snapshot in self._snapshots)
        sides = {"refs": listing.refs, "known": known, "finished": finished}
        new = (
            {
                name: batches | f"Partition{name.title()}" >> Partition(images, self._spill_folder)
                for name, batches in sides.items()
            }
            | "ByPartition" >> beam.CoGroupByKey()
            | "PlanImages"
            >> beam.ParDo(_PlanImages(self._annotations, refresh=self._refresh is not None))
            .with_output_types(
                pa.RecordBatch,
                counts=InputCounts,
                finished=tuple[str, pa.RecordBatch],
                updates=pa.RecordBatch,
            )
            .with_outputs(_COUNTS, _FINISHED, _UPDATES, main="refs")
        )
        counts = (listing.counts, new[_COUNTS]) | "AllCounts" >> beam.Flatten()
        return Planned(new.refs, counts, new[_FINISHED], new[_UPDATES])


class _PlanImages(beam.DoFn):
    def __init__(self, annotations: Sequence[str], *, refresh: bool) -> None:
        self._annotations = annotations
        self._refresh = refresh

    def process(
        self, partition: tuple[int, dict[str, Iterable[pa.RecordBatch | Spilled]]]
    ) -> Iterator[
        pa.RecordBatch
        | TaggedOutput[Literal["counts"], InputCounts]
        | TaggedOutput[Literal["finished"], tuple[str, pa.RecordBatch]]
        | TaggedOutput[Literal["updates"], pa.RecordBatch]
    ]:
        _, grouped = partition
        refs, known, finished = (read_spilled(grouped[name]) for name in ("refs", "known", "finished"))
        plan = plan_images(refs, known, finished, self._annotations, refresh=self._refresh)
        _count_planned(plan.counts)
        yield TaggedOutput(_COUNTS, plan.counts)
        if plan.refs is not None:
            yield plan.refs
        for taken in plan.finished:
            yield TaggedOutput(_FINISHED, taken)
        if plan.updates is not None:
            yield TaggedOutput(_UPDATES, plan.updates)


class MakeShards(beam.PTransform):
    """Cuts the images into shards of `shard_size`; only the last one is smaller."""

    def __init__(self, shard_size: int) -> None:
        super().__init__()
        self._shard_size = shard_size

    @no_annotations
    def expand(self, plan: Listing | Planned) -> PCollection[pa.RecordBatch]:
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
        return (cut.full, rest) | "AllShards" >> beam.Flatten()


class _CutShards(beam.DoFn):
    def __init__(self, shard_size: int) -> None:
        self._shard_size = shard_size

    def process(
        self, batch: pa.RecordBatch
    ) -> Iterator[pa.RecordBatch | TaggedOutput[Literal["rest"], pa.RecordBatch]]:
        shards, rest = full_shards(batch, self._shard_size)
        count("shards", len(shards))
        yield from shards
        if rest is not None:
            yield TaggedOutput(_REST, rest)


def _cut_rests(rests: Iterable[pa.RecordBatch], shard_size: int) -> list[pa.RecordBatch]:
    shards = last_shards(rests, shard_size)
    count("shards", len(shards))
    return shards


def _count_planned(counts: InputCounts) -> None:
    """Counts what planning made of some images, for the progress bar too."""
    PROGRESS.add(planned=counts.planned, skipped=counts.skipped)
    count("images_listed", counts.listed)
    count("images_skipped", counts.skipped)
    count("images_duplicates", counts.duplicates)
