"""The Beam transforms of predictions. They only carry: the work is in `transforms.prediction.predict`."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import AsIter, PCollection
from apache_beam.utils.shared import Shared

from schemas.classifiers import NETWORKS_FOLDER
from schemas.errors import DamagedModel
from schemas.spec import FLOAT32
from schemas.storage import PublishedBase, join
from schemas.store import InputCounts
from transforms.conv_bases import OpenVINOEngine
from transforms.export import CLASSIFIER_NETWORK, END_TO_END_NETWORK
from transforms.extraction import ShardResult, Worker
from transforms.prediction.predict import Prediction, commit_predictions, predict_file, predict_shard
from transforms.runtime.beam_metrics import count
from transforms.shuffle import coder  # noqa: F401 (registers the coder of record batches)

# One handle for the whole process: a second one would load a second network.
_SHARED_WORKER: Final = Shared()


class PredictImages(beam.PTransform):
    """Predicts the classes of shards of images, with one network a process, and writes them as fragments."""

    def __init__(self, prediction: Prediction) -> None:
        super().__init__()
        self._prediction = prediction

    def expand(self, shards: PCollection[pa.RecordBatch]) -> PCollection[ShardResult]:
        """Returns the results."""
        return shards | "Predict" >> beam.Map(_predict_shard, self._prediction).with_output_types(ShardResult)


class PredictFeatures(beam.PTransform):
    """Predicts the classes of the images of feature files, without reading an image, and writes them as fragments."""

    def __init__(self, prediction: Prediction, on_start: Callable[[], None] | None = None) -> None:
        """Takes a run.

        Args:
            prediction: The run.
            on_start: What the first worker does when it starts.
        """
        super().__init__()
        self._prediction = prediction
        self._on_start = on_start

    def expand(self, file_uris: PCollection[str]) -> PCollection[ShardResult]:
        """Returns the results."""
        predict = beam.ParDo(_PredictFile(self._prediction, self._on_start)).with_output_types(ShardResult)
        return file_uris | "Predict" >> predict


def _predict_shard(shard: pa.RecordBatch, prediction: Prediction) -> ShardResult:
    return _counted(predict_shard(shard, _worker(prediction, END_TO_END_NETWORK), prediction))


class _PredictFile(beam.DoFn):
    def __init__(self, prediction: Prediction, on_start: Callable[[], None] | None) -> None:
        self._prediction = prediction
        self._on_start = on_start

    def setup(self) -> None:
        if self._on_start is not None:
            self._on_start()

    def process(self, file_uri: str) -> Iterator[ShardResult]:
        engine = _worker(self._prediction, CLASSIFIER_NETWORK).engine
        yield _counted(predict_file(file_uri, engine, self._prediction))


def _worker(prediction: Prediction, network: tuple[str, str]) -> Worker:
    batch_size, threads = prediction.batch_size, prediction.threads

    def load() -> Worker:
        # Pillow warns of every oddity in a file; what matters becomes a row in `failures`.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        pools = prediction.start_loading()
        precision = prediction.spec.precision if network == END_TO_END_NETWORK else FLOAT32
        files = prediction.files
        base = PublishedBase(files.uri)
        engine = OpenVINOEngine(base, batch_size, precision, threads, files=network, fetch=files.fetch_networks)
        _check_network(engine, prediction, network)
        count("classifier_loads")
        return Worker(engine, pools)

    return _SHARED_WORKER.acquire(load, f"{prediction.files.uri} {prediction.model_id} {network[0]} {batch_size}")


def _check_network(engine: OpenVINOEngine, prediction: Prediction, network: tuple[str, str]) -> None:
    """Compares a network with what its classifier's card says.

    Raises:
        DamagedModel: If it takes or gives something else.
    """
    spec = prediction.spec
    takes = spec.resolved_input_shape if network == END_TO_END_NETWORK else spec.shape_by_layer[prediction.layer]
    if (engine.input_shape, engine.output_sizes) != (takes, (prediction.labels.outputs,)):
        raise DamagedModel(
            join(prediction.files.uri, NETWORKS_FOLDER, network[0]),
            f"from {engine.input_shape} it makes {engine.output_sizes} numbers; by the card they are "
            f"{prediction.labels.outputs} from {takes}",
        )


def _counted(result: ShardResult) -> ShardResult:
    for fragment in result.fragments:
        count(f"{fragment.table}_written", fragment.rows)
    return result


class CommitPredictions(beam.PTransform):
    """Commits the fragments of a run once all of them are written, or fails the run."""

    def __init__(self, prediction: Prediction, max_failure_ratio: float, counts: PCollection[InputCounts]) -> None:
        super().__init__()
        self._prediction = prediction
        self._max_failure_ratio = max_failure_ratio
        self._counts = counts

    def expand(self, results: PCollection[ShardResult]) -> PCollection[None]:
        """Returns nothing that matters."""
        return (
            results.pipeline
            | "Run" >> beam.Create([self._prediction])
            | "Commit" >> beam.Map(_commit_predicted, self._max_failure_ratio, AsIter(results), AsIter(self._counts))
        )


def _commit_predicted(
    prediction: Prediction, max_failure_ratio: float, results: Iterable[ShardResult], counts: Iterable[InputCounts]
) -> None:
    done = ShardResult.of_all(results)
    commit_predictions(prediction, done.fragments, sum(counts, InputCounts()), max_failure_ratio)
