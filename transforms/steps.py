"""The Beam transforms that compute and commit: fragments of features from shards, and of killed runs, into the table.

They only carry: the work is in the pure functions of the modules beside this one. Fragments travel as small
descriptors; pixels and features never cross a shuffle.
"""

import functools
import time
import warnings
from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.metrics import Metrics
from apache_beam.pvalue import PCollection, TaggedOutput
from apache_beam.typehints.decorators import no_annotations
from apache_beam.utils.shared import Shared

from schemas.fragments import Fragment, TableName
from schemas.measures import Measures
from schemas.receipts import leave_receipt
from schemas.runs import InputCounts, Run
from transforms import arrow_coding  # noqa: F401 (registers the coder of record batches)
from transforms.adoption import adopt
from transforms.commit import check_committed, commit_run
from transforms.engines import load_engine
from transforms.extracting import extract_shard, known_contents
from transforms.extraction import Extraction
from transforms.metering import Meter
from transforms.planning import Snapshot
from transforms.planning_steps import METRICS
from transforms.progress import PROGRESS
from transforms.workers import Worker

_MEASURES: Final = "measures"

# One handle for the whole process: a second one would load a second conv base.
_SHARED_WORKER: Final = Shared()


class Extracted(NamedTuple):
    """The work that was done.

    Attributes:
        fragments: Files of features and failures.
        measures: What it cost, a shard each, to be summed.
    """

    fragments: PCollection[Fragment]
    measures: PCollection[Measures]


class ExtractFeatures(beam.PTransform):
    """Computes the features of shards, with one conv base a process, and writes them as fragments."""

    def __init__(self, extraction: Extraction, conv_base_uri: str) -> None:
        super().__init__()
        self._extraction = extraction
        self._conv_base_uri = conv_base_uri

    @no_annotations
    def expand(self, shards: PCollection[pa.RecordBatch]) -> Extracted:
        """Returns the fragments, and what they cost."""
        extract = _ExtractShard(self._extraction, self._conv_base_uri)
        done = shards | "Extract" >> beam.ParDo(extract).with_output_types(Fragment, measures=Measures).with_outputs(
            _MEASURES, main="fragments"
        )
        return Extracted(done.fragments, done[_MEASURES])


class _ExtractShard(beam.DoFn):
    def __init__(self, extraction: Extraction, conv_base_uri: str) -> None:
        self._extraction = extraction
        self._conv_base_uri = conv_base_uri

    def setup(self) -> None:
        # Pillow warns of every oddity in a file; what matters becomes a row in `failures`.
        warnings.filterwarnings("ignore", module=r"PIL\.")

    def _load_worker(self, meter: Meter) -> Worker:
        given = self._extraction
        engine = load_engine(given.engine, self._conv_base_uri, given.batch_size, given.spec.precision, given.threads)
        Metrics.counter(METRICS, "conv_base_loads").inc()
        Metrics.distribution(METRICS, "conv_base_load_milliseconds").update(int(1000 * engine.load_seconds))
        meter.loaded(engine.load_seconds)
        return Worker(engine, given.threads)

    def process(self, shard: pa.RecordBatch) -> Iterator[Fragment | TaggedOutput[Literal["measures"], Measures]]:
        started = time.perf_counter()
        given = self._extraction
        meter = Meter()
        # Here and not in `setup`: a worker without a shard needs no conv base.
        tag = f"{self._conv_base_uri} {given.engine} {given.batch_size} {given.threads}"
        worker = _SHARED_WORKER.acquire(functools.partial(self._load_worker, meter), tag)
        for fragment in extract_shard(shard, worker, given, known_contents(given, worker), meter):
            Metrics.counter(METRICS, "fragment_bytes").inc(fragment.size)
            if fragment.table == TableName.FEATURES:
                leave_receipt(given.store_uri, given.run_id, fragment)
                Metrics.counter(METRICS, "images_extracted").inc(fragment.images)
                Metrics.counter(METRICS, "images_reused").inc(fragment.images if fragment.reused else 0)
            for code, rows in fragment.failures_by_code:
                Metrics.counter(METRICS, f"images_failed_{code}").inc(rows)
            yield fragment
        measures = meter.measures()
        _report(measures)
        Metrics.distribution(METRICS, "shard_milliseconds").update(int(1000 * (time.perf_counter() - started)))
        yield TaggedOutput(_MEASURES, measures)


def _report(measures: Measures) -> None:
    """Shows what a shard cost where the runner shows metrics; once a shard, for each call takes microseconds."""
    Metrics.counter(METRICS, "bytes_read").inc(measures.bytes_read)
    if measures.batches:
        Metrics.distribution(METRICS, "batch_decode_milliseconds").update(int(measures.batch_decode_milliseconds))
        Metrics.distribution(METRICS, "batch_infer_milliseconds").update(int(measures.batch_infer_milliseconds))


class AdoptFinished(beam.PTransform):
    """Makes fragments that a run that was killed has left fragments of this run."""

    def __init__(self, store_uri: str, run_id: str) -> None:
        super().__init__()
        self._store_uri = store_uri
        self._run_id = run_id

    @no_annotations
    def expand(self, finished: PCollection[tuple[str, pa.RecordBatch]]) -> PCollection[Fragment]:
        """Returns the fragments."""
        return (
            finished
            | "ByFragment" >> beam.GroupByKey()
            | "Adopt" >> beam.MapTuple(self._adopt).with_output_types(Fragment)
        )

    def _adopt(self, described: str, wanted: Iterable[pa.RecordBatch]) -> Fragment:
        fragment = adopt(self._store_uri, self._run_id, described, wanted)
        PROGRESS.add(extracted=fragment.images)
        Metrics.counter(METRICS, "images_adopted").inc(fragment.images)
        return fragment


class CommitRun(beam.PTransform):
    """Commits the fragments of a run once all of them are written, or fails the run."""

    def __init__(
        self, snapshot: Snapshot, run: Run, counts: PCollection[InputCounts], measures: PCollection[Measures]
    ) -> None:
        super().__init__()
        self._snapshot = snapshot
        self._run = run
        self._counts = counts
        self._measures = measures

    def expand(self, fragments: PCollection[Fragment]) -> PCollection[None]:
        """Returns nothing that matters; what became of the run is its row in `runs`."""
        return (
            fragments.pipeline
            | "Run" >> beam.Create([self._run])
            | "Commit"
            >> beam.Map(
                _commit,
                self._snapshot,
                beam.pvalue.AsIter(fragments),
                beam.pvalue.AsIter(self._counts),
                beam.pvalue.AsIter(self._measures),
            )
        )


def _commit(
    run: Run,
    snapshot: Snapshot,
    fragments: Iterable[Fragment],
    counts: Iterable[InputCounts],
    measures: Iterable[Measures],
) -> None:
    cost = sum(measures, Measures())
    check_committed(commit_run(snapshot, run, fragments, sum(counts, InputCounts()), cost))
