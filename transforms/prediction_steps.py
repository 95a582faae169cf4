"""The Beam transforms of predictions. They only carry: the work is in `transforms.predictions`."""

import warnings
from collections.abc import Iterable, Iterator
from typing import Final

import apache_beam as beam
import pyarrow as pa
from apache_beam.metrics import Metrics
from apache_beam.pvalue import PCollection
from apache_beam.utils.shared import Shared

from schemas.fragments import Fragment
from schemas.runs import InputCounts
from schemas.spec import FLOAT32
from transforms import arrow_coding  # noqa: F401 (registers the coder of record batches)
from transforms.composing import CLASSIFIER_NETWORK, END_TO_END_NETWORK
from transforms.engines import OpenVINOEngine
from transforms.metering import Meter
from transforms.planning_steps import METRICS
from transforms.predictions import FeatureFile, Prediction, commit_predictions, predict_file, predict_shard
from transforms.workers import Worker

# One handle for the whole process: a second one would load a second network.
_SHARED_WORKER: Final = Shared()


class PredictImages(beam.PTransform):
    """Predicts the classes of shards of images, with one network a process, and writes them as fragments."""

    def __init__(self, prediction: Prediction) -> None:
        super().__init__()
        self._prediction = prediction

    def expand(self, shards: PCollection[pa.RecordBatch]) -> PCollection[Fragment]:
        """Returns the fragments."""
        return shards | "Predict" >> beam.ParDo(_PredictShard(self._prediction)).with_output_types(Fragment)


class PredictFeatures(beam.PTransform):
    """Predicts the classes of the images of feature files, without reading an image, and writes them as fragments."""

    def __init__(self, prediction: Prediction) -> None:
        super().__init__()
        self._prediction = prediction

    def expand(self, files: PCollection[FeatureFile]) -> PCollection[Fragment]:
        """Returns the fragments."""
        return files | "Predict" >> beam.ParDo(_PredictFile(self._prediction)).with_output_types(Fragment)


def _worker(prediction: Prediction, network: tuple[str, str]) -> Worker:
    batch_size, threads = prediction.extraction.batch_size, prediction.extraction.threads

    def load() -> Worker:
        precision = prediction.extraction.spec.precision if network == END_TO_END_NETWORK else FLOAT32
        engine = OpenVINOEngine(prediction.networks_uri, batch_size, precision, threads, network)
        Metrics.counter(METRICS, "classifier_loads").inc()
        return Worker(engine, threads)

    return _SHARED_WORKER.acquire(load, f"{prediction.networks_uri} {prediction.model_id} {network[0]} {batch_size}")


class _PredictShard(beam.DoFn):
    def __init__(self, prediction: Prediction) -> None:
        self._prediction = prediction

    def setup(self) -> None:
        # Pillow warns of every oddity in a file; what matters becomes a row in `failures`.
        warnings.filterwarnings("ignore", module=r"PIL\.")

    def process(self, shard: pa.RecordBatch) -> Iterator[Fragment]:
        yield from _counted(
            predict_shard(shard, _worker(self._prediction, END_TO_END_NETWORK), self._prediction, Meter())
        )


class _PredictFile(beam.DoFn):
    def __init__(self, prediction: Prediction) -> None:
        self._prediction = prediction

    def process(self, file: FeatureFile) -> Iterator[Fragment]:
        engine = _worker(self._prediction, CLASSIFIER_NETWORK).engine
        yield from _counted(predict_file(file, engine, self._prediction))


def _counted(fragments: Iterable[Fragment]) -> Iterator[Fragment]:
    for fragment in fragments:
        Metrics.counter(METRICS, f"{fragment.table}_written").inc(fragment.rows)
        yield fragment


class CommitPredictions(beam.PTransform):
    """Commits the fragments of a run once all of them are written, or fails the run."""

    def __init__(self, prediction: Prediction, max_failure_ratio: float, counts: PCollection[InputCounts]) -> None:
        """Takes what a run has to know of itself.

        Args:
            prediction: The run and its tables.
            max_failure_ratio: See `commit_predictions`.
            counts: The images that go in, to be summed.
        """
        super().__init__()
        self._prediction = prediction
        self._max_failure_ratio = max_failure_ratio
        self._counts = counts

    def expand(self, fragments: PCollection[Fragment]) -> PCollection[None]:
        """Returns nothing that matters."""
        return (
            fragments.pipeline
            | "Run" >> beam.Create([self._prediction.extraction.run_id])
            | "Commit"
            >> beam.Map(
                _commit,
                self._prediction.extraction.store_uri,
                self._max_failure_ratio,
                beam.pvalue.AsIter(fragments),
                beam.pvalue.AsIter(self._counts),
            )
        )


def _commit(
    run_id: str, tables_uri: str, max_failure_ratio: float, fragments: Iterable[Fragment], counts: Iterable[InputCounts]
) -> None:
    expected = sum(counts, InputCounts()).planned
    commit_predictions(tables_uri, run_id, fragments, expected, max_failure_ratio)
