"""The Beam transforms that compute and commit: fragments of features from shards, and of killed runs, into the table.

They only carry: the work is in the pure functions of the modules beside this one. Fragments travel as small
descriptors; pixels and features never cross a shuffle.
"""

import functools
import time
import warnings
from collections.abc import Iterable, Iterator
from typing import Final

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import AsIter, PCollection
from apache_beam.typehints.decorators import no_annotations
from apache_beam.utils.shared import Shared

from schemas.commits import FileUpdate
from schemas.fragments import Totals
from schemas.storage import PublishedBase
from schemas.store import InputCounts, Run
from transforms.conv_bases import load_engine
from transforms.extraction.extraction import Extraction
from transforms.extraction.known_annotations import by_file_group, update_files
from transforms.extraction.run_commit import check_committed, commit_run
from transforms.extraction.shard import compute_shard
from transforms.extraction.tasks import ShardResult
from transforms.extraction.worker import Worker
from transforms.planning import Snapshot, adopt, one_batch
from transforms.runtime import Meter
from transforms.runtime.beam_metrics import count, record
from transforms.shuffle import coder  # noqa: F401 (registers the coder of record batches)

# One handle for the whole process: a second one would load a second conv base.
_SHARED_WORKER: Final = Shared()


class ExtractFeatures(beam.PTransform):
    """Computes the features of shards, with one conv base a process, and writes them as fragments."""

    def __init__(self, extraction: Extraction, conv_base: PublishedBase) -> None:
        super().__init__()
        self._extraction = extraction
        self._conv_base = conv_base

    @no_annotations
    def expand(self, shards: PCollection[pa.RecordBatch]) -> PCollection[ShardResult]:
        """Returns the results."""
        extract = _ExtractShard(self._extraction, self._conv_base)
        return shards | "Extract" >> beam.ParDo(extract).with_output_types(ShardResult)


class _ExtractShard(beam.DoFn):
    def __init__(self, extraction: Extraction, conv_base: PublishedBase) -> None:
        self._extraction = extraction
        self._conv_base = conv_base

    def setup(self) -> None:
        # Pillow warns of every oddity in a file; what matters becomes a row in `failures`.
        warnings.filterwarnings("ignore", module=r"PIL\.")

    def _find_worker(self, meter: Meter) -> Worker:
        given = self._extraction
        how = f"{given.engine} {given.batch_size} {given.threads} {given.streams} {given.decode_processes}"
        tag = f"{self._conv_base.uri} {how}"
        return _SHARED_WORKER.acquire(functools.partial(self._load_worker, meter), tag)

    def _load_worker(self, meter: Meter) -> Worker:
        given = self._extraction
        pools = given.start_loading()  # Before the base is loaded: processes start meanwhile.
        engine = load_engine(
            given.engine,
            self._conv_base,
            given.batch_size,
            given.spec.precision,
            given.threads,
            streams=given.streams,
        )
        count("conv_base_loads")
        record("conv_base_load_milliseconds", 1000 * engine.load_seconds)
        meter.loaded(engine.load_seconds)
        return Worker(engine, pools)

    def process(self, shard: pa.RecordBatch) -> Iterator[ShardResult]:
        started = time.perf_counter()
        result = compute_shard(shard, self._find_worker, self._extraction)
        if not result.remaining:
            _count_result(result)
            record("shard_milliseconds", 1000 * (time.perf_counter() - started))
        yield result


class AdoptFinished(beam.PTransform):
    """Makes fragments that a run that was killed has left fragments of this run."""

    def __init__(self, extraction: Extraction) -> None:
        super().__init__()
        self._extraction = extraction

    @no_annotations
    def expand(self, finished: PCollection[tuple[str, pa.RecordBatch]]) -> PCollection[ShardResult]:
        """Returns the fragments, as results that cost nothing."""
        return (
            finished
            | "ByFragment" >> beam.GroupByKey()
            | "Adopt" >> beam.MapTuple(self._adopt).with_output_types(ShardResult)
        )

    def _adopt(self, described: str, wanted: Iterable[pa.RecordBatch]) -> ShardResult:
        given = self._extraction
        fragment = adopt(given.output_uri, given.run_id, described, wanted, update_labels=given.update_labels)
        count("images_adopted", fragment.images)
        return ShardResult((fragment,))


class UpdateAnnotations(beam.PTransform):
    """Writes files of `features` again in which the input says something new of images."""

    def __init__(self, extraction: Extraction) -> None:
        super().__init__()
        self._extraction = extraction

    @no_annotations
    def expand(self, updates: PCollection[pa.RecordBatch]) -> PCollection[FileUpdate]:
        """Returns the files."""
        return (
            updates
            | "Group" >> beam.FlatMap(by_file_group).with_output_types(tuple[int, pa.RecordBatch])
            | "ByFileGroup" >> beam.GroupByKey()
            | "Update" >> beam.FlatMapTuple(self._update).with_output_types(FileUpdate)
        )

    def _update(self, _: int, refs: Iterable[pa.RecordBatch]) -> Iterator[FileUpdate]:
        together = one_batch(pa.Table.from_batches(refs))
        for update in update_files(together, self._extraction):
            count("labels_updated", update.images)
            yield update


class CommitRun(beam.PTransform):
    """Commits the fragments of a run once all of them are written, or fails the run."""

    def __init__(
        self,
        snapshot: Snapshot,
        run: Run,
        counts: PCollection[InputCounts],
        updates: PCollection[FileUpdate],
    ) -> None:
        super().__init__()
        self._snapshot = snapshot
        self._run = run
        self._counts = counts
        self._updates = updates

    def expand(self, results: PCollection[ShardResult]) -> PCollection[None]:
        """Returns nothing that matters; the result of the run is its row in `runs`."""
        return (
            results.pipeline
            | "Run" >> beam.Create([self._run])
            | "Commit"
            >> beam.Map(_commit_extracted, self._snapshot, AsIter(results), AsIter(self._counts), AsIter(self._updates))
        )


def _commit_extracted(
    run: Run,
    snapshot: Snapshot,
    results: Iterable[ShardResult],
    counts: Iterable[InputCounts],
    updates: Iterable[FileUpdate],
) -> None:
    done = ShardResult.of_all(results)
    planned = sum(counts, InputCounts(remaining=done.remaining))
    check_committed(commit_run(snapshot, run, done.fragments, planned, done.measures, updates=list(updates)))


def _count_result(result: ShardResult) -> None:
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
