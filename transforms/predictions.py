"""Predictions: shards of images, or files of features, in; Parquet fragments of predictions and failures out.

Pure of Beam and of TensorFlow: workers run the networks that training exported beside the classifier.
"""

import collections
import dataclasses
import datetime
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schemas.errors import RunFailed
from schemas.fragments import Fragment, FragmentWriter, TableName
from schemas.labels import LabelSet
from schemas.predictions import PREDICTIONS, STRINGS, PredictionTables
from schemas.storage import file_system, join
from schemas.tables import AUGMENTATION, FLOATS, TIMESTAMP, has_augmentations
from transforms.engines import Engine
from transforms.extracting import infer_batches
from transforms.extraction import Extraction
from transforms.fragment_writing import as_lists, write_failures
from transforms.loading import BadImage, load_batches
from transforms.metering import Meter
from transforms.metrics import predicted_indicators
from transforms.progress import PROGRESS
from transforms.workers import Worker

_SCHEMA: Final = PREDICTIONS.remove(PREDICTIONS.get_field_index("ds"))


@dataclasses.dataclass(frozen=True)
class Prediction:
    """Everything that a worker needs to know besides the shard or the file.

    Attributes:
        extraction: How images are read, and where the tables are: `store_uri` is the folder of the predictions.
        model_id: The classifier.
        networks_uri: The folder of its networks.
        layer: The feature column that it takes.
        labels: Its classes.
        label_column: The column of the true labels, where the input or the table has it.
    """

    extraction: Extraction
    model_id: str
    networks_uri: str
    layer: str
    labels: LabelSet
    label_column: str


@dataclasses.dataclass(frozen=True)
class FeatureFile:
    """A file of a feature table.

    Attributes:
        table_uri: The table's folder.
        path: Its path under the folder.
    """

    table_uri: str
    path: str


def predict_shard(shard: pa.RecordBatch, worker: Worker, prediction: Prediction, meter: Meter) -> list[Fragment]:
    """Predicts the classes of a shard of images and writes them.

    Args:
        shard: Refs.
        worker: Loads pictures, and runs pixels to probabilities on batches of `extraction.batch_size`.
        prediction: What to do.
        meter: Measures the work.

    Returns:
        At most one fragment of `predictions` and one of `failures`, every ref a row in one of them.

    Raises:
        OSError: If the tables cannot be written, or the machine is at its limit.
    """
    extraction = prediction.extraction
    bad: list[BadImage] = []

    def predicted() -> Iterator[pa.RecordBatch]:
        batches = load_batches(shard, extraction.loading_rules, worker.pools, bad, meter)
        for batch, outputs in infer_batches(batches, worker.engine, meter):
            refs = shard.take(pa.array(batch.rows))
            yield _prediction_rows(refs, outputs[0][: len(batch.rows)], prediction)

    fragments = _write_predictions(predicted(), prediction)
    if bad:
        fragments.append(write_failures(shard, bad, extraction))
    return fragments


def predict_file(file: FeatureFile, engine: Engine, prediction: Prediction) -> list[Fragment]:
    """Predicts the classes of the images of a feature file from their features, and writes them.

    Rows of random copies of pictures are left out.

    Args:
        file: The file.
        engine: Runs features to probabilities on batches of `extraction.batch_size`.
        prediction: What to do.

    Returns:
        At most one fragment of `predictions`.
    """
    batch_size = prediction.extraction.batch_size
    shape = prediction.extraction.spec.shape_by_layer[prediction.layer]

    def predicted() -> Iterator[pa.RecordBatch]:
        for rows in _read_features(file, prediction):
            features = rows.column(prediction.layer).flatten().to_numpy(zero_copy_only=False)
            padded = np.zeros((batch_size, *shape), np.float32)
            padded[: rows.num_rows] = features.reshape(-1, *shape)
            yield _prediction_rows(rows, engine.submit(padded).result()[0][: rows.num_rows], prediction)

    return _write_predictions(predicted(), prediction)


def _read_features(file: FeatureFile, prediction: Prediction) -> Iterator[pa.RecordBatch]:
    fs, path = file_system(join(file.table_uri, file.path))
    with fs.open(path, "rb") as opened:
        parquet = pq.ParquetFile(opened)
        wanted = {"uri", "version", "split", prediction.layer, prediction.label_column}
        several = has_augmentations(parquet.schema_arrow)
        wanted |= {AUGMENTATION} if several else set()
        # A file may be older than a column of its table.
        columns = [name for name in parquet.schema_arrow.names if name in wanted]
        for rows in parquet.iter_batches(prediction.extraction.batch_size, columns=columns):
            images = rows.filter(pc.equal(rows.column(AUGMENTATION), 0)) if several else rows
            if images.num_rows:
                yield images


def _true_labels(rows: pa.RecordBatch, column: str) -> pa.Array:
    if column not in rows.schema.names:
        return pa.nulls(rows.num_rows, STRINGS)
    labels = rows.column(column)
    return labels.cast(STRINGS) if pa.types.is_list(labels.type) else _as_single_lists(labels.cast(pa.string()))


def _as_single_lists(labels: pa.Array) -> pa.Array:
    """Makes a list of one label of each label, and null of null."""
    offsets = np.concatenate([[0], np.cumsum(pc.is_valid(labels).to_numpy(zero_copy_only=False))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), labels.drop_null(), type=STRINGS, mask=pc.is_null(labels))


def _prediction_rows(refs: pa.RecordBatch, probabilities: np.ndarray, prediction: Prediction) -> pa.RecordBatch:
    """Makes rows of the table of what a network says.

    Args:
        refs: Rows with the columns `uri`, `version` and `split`, and with true labels if they are known.
        probabilities: float32 [n, outputs].
        prediction: The classifier and the run.
    """
    labels, rows = prediction.labels, len(probabilities)
    classes = pa.array(labels.classes)
    scores = np.ascontiguousarray(labels.scores(probabilities))
    best = scores.argmax(axis=1)
    indicators = predicted_indicators(labels, scores)
    offsets = np.concatenate([[0], np.cumsum(indicators.sum(axis=1))]).astype(np.int32)
    said = classes.take(pa.array(np.nonzero(indicators)[1]))
    columns = {
        "uri": refs.column("uri"),
        "version": refs.column("version"),
        "label": classes.take(pa.array(best)),
        "score": pa.array(scores[np.arange(rows), best]),
        "labels": pa.ListArray.from_arrays(pa.array(offsets), said, type=STRINGS),
        "scores": as_lists(scores, FLOATS),
        "true_labels": _true_labels(refs, prediction.label_column),
        "split": refs.column("split"),
        "model_id": pa.array([prediction.model_id] * rows),
        "run_id": pa.array([prediction.extraction.run_id] * rows),
        "predicted_at": pa.array([datetime.datetime.now(datetime.UTC)] * rows, TIMESTAMP),
    }
    return pa.RecordBatch.from_arrays([columns[field.name] for field in _SCHEMA], schema=_SCHEMA)


def _write_predictions(batches: Iterator[pa.RecordBatch], prediction: Prediction) -> list[Fragment]:
    first = next(batches, None)
    if first is None:
        return []
    extraction = prediction.extraction
    uri, path = extraction.table_uri(TableName.PREDICTIONS), extraction.new_path()
    with FragmentWriter(uri, TableName.PREDICTIONS, path, _SCHEMA) as writer:
        for batch in itertools.chain([first], batches):
            writer.write(batch)
            PROGRESS.add(extracted=batch.num_rows)
    return [writer.fragment()]


def commit_predictions(
    tables_uri: str, run_id: str, fragments: Iterable[Fragment], expected: int, max_failure_ratio: float
) -> None:
    """Makes a run visible, failures first. Doing it again changes nothing.

    Args:
        tables_uri: The folder of the tables.
        run_id: The run.
        fragments: All fragments of the run, complete on storage.
        expected: The images that went in, each once.
        max_failure_ratio: The greatest share of failures, 0 to 1, with which it is committed.

    Raises:
        RunFailed: If images are missing, or too many failed; nothing is committed then.
    """
    written = list(fragments)
    predicted, failed = (_rows(written, name) for name in (TableName.PREDICTIONS, TableName.FAILURES))
    if predicted + failed != expected:
        raise RunFailed(
            f"{expected} images went in, {predicted} were predicted and {failed} failed; nothing was committed."
        )
    if failed > max_failure_ratio * expected:
        counts: collections.Counter[str] = collections.Counter()
        for fragment in written:
            counts.update(dict(fragment.failures_by_code))
        codes = ", ".join(f"{count} {code}" for code, count in counts.most_common())
        raise RunFailed(
            f"{failed} of {expected} images failed ({failed / expected:.1%}; {codes}), more than "
            f"--max_failure_ratio={max_failure_ratio:g} allows; nothing was committed."
        )
    tables = PredictionTables(tables_uri)
    for name in (TableName.FAILURES, TableName.PREDICTIONS):
        tables.commit(name, run_id, [fragment for fragment in written if fragment.table == name])


def _rows(fragments: Sequence[Fragment], name: TableName) -> int:
    return sum(fragment.rows for fragment in fragments if fragment.table == name)
