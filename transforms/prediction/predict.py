"""Predictions: shards of images, or files of features, in; Parquet fragments of predictions and failures out.

Pure of Beam and of TensorFlow: workers run the networks that training exported beside the classifier.
"""

import dataclasses
import datetime
import itertools
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.classifiers import LabelSet, ModelFiles, canonical_splits
from schemas.errors import RunFailed
from schemas.fragments import Fragment, FragmentWriter, TableName, Totals
from schemas.storage import read_columns
from schemas.store import PREDICTIONS, STRINGS, InputCounts, PredictionTables, RunState, lists_of_one
from schemas.tables import AUGMENTATION, FLOATS, TIMESTAMP, feature_array, file_schema, has_augmentations
from transforms.conv_bases import Engine
from transforms.evaluation import predicted_indicators
from transforms.extraction import (
    ShardResult,
    ShardTask,
    Worker,
    as_lists,
    counted,
    finite_only,
    infer_batches,
    judge_run,
    write_failures,
)
from transforms.images import BadImage, load_batches
from transforms.runtime import Meter, ShardProgress, shard_progress

_SCHEMA: Final = file_schema(PREDICTIONS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prediction(ShardTask):
    """Everything that a worker needs to know besides the shard or the file; see also `ShardTask`.

    Attributes:
        model_id: The classifier.
        files: Its files, as they were when the run began.
        layer: The feature column that it takes.
        labels: Its classes.
        label_column: The column of the true labels, where the input or the table has it.
    """

    model_id: str
    files: ModelFiles
    layer: str
    labels: LabelSet
    label_column: str


def predict_shard(shard: pa.RecordBatch, worker: Worker, prediction: Prediction) -> ShardResult:
    """Predicts the classes of a shard of images and writes them.

    Args:
        shard: Refs.
        worker: Loads pictures, and runs pixels to probabilities on batches of `batch_size`.
        prediction: What to do.

    Returns:
        At most one fragment of `predictions` and one of `failures`, every ref a row in one of them.

    Raises:
        OSError: If the tables cannot be written, or the machine is at its limit.
    """
    meter = Meter()
    bad: list[BadImage] = []

    def predicted(progress: ShardProgress) -> Iterator[pa.RecordBatch]:
        batches = load_batches(shard, prediction.loading_rules, worker.pools, bad, meter)
        inferred = finite_only(infer_batches(batches, worker.engine, meter), bad, "scores")
        for batch, outputs in counted(inferred, bad, progress):
            refs = shard.take(pa.array(batch.rows))
            yield _prediction_rows(refs, outputs[0][: len(batch.rows)], prediction)

    with shard_progress() as progress:
        fragments = _write_predictions(predicted(progress), prediction)
        if bad:
            fragments.append(write_failures(shard, bad, prediction))
        progress.settle(extracted=shard.num_rows - len(bad), failed=len(bad))
    return ShardResult(tuple(fragments), meter.measures())


def predict_file(file_uri: str, engine: Engine, prediction: Prediction) -> ShardResult:
    """Predicts the classes of the images of a file of a feature table from their features, and writes them.

    Rows of augmented copies of pictures are left out.

    Args:
        file_uri: The file.
        engine: Runs features to probabilities on batches of `batch_size`.
        prediction: What to do.

    Returns:
        At most one fragment of `predictions`.
    """
    shape = prediction.spec.shape_by_layer[prediction.layer]

    def predicted(progress: ShardProgress) -> Iterator[pa.RecordBatch]:
        for rows in _read_features(file_uri, prediction):
            features = feature_array(rows.column(prediction.layer), shape)
            padded = np.zeros((prediction.batch_size, *shape), np.float32)
            padded[: rows.num_rows] = features
            yield _prediction_rows(rows, engine.submit(padded).result()[0][: rows.num_rows], prediction)
            progress.add(extracted=rows.num_rows)

    with shard_progress() as progress:
        return ShardResult(tuple(_write_predictions(predicted(progress), prediction)))


def _read_features(file_uri: str, prediction: Prediction) -> Iterator[pa.RecordBatch]:
    columns = ("uri", "version", "split", AUGMENTATION, prediction.layer, prediction.label_column)
    for rows in read_columns(file_uri, sorted(set(columns)), prediction.batch_size):
        several = has_augmentations(rows.schema)
        images = rows.filter(pc.equal(rows.column(AUGMENTATION), 0)) if several else rows
        if images.num_rows:
            yield images


def _true_labels(rows: pa.RecordBatch, column: str) -> pa.Array:
    if column not in rows.schema.names:
        return pa.nulls(rows.num_rows, STRINGS)
    labels = rows.column(column)
    return labels.cast(STRINGS) if pa.types.is_list(labels.type) else lists_of_one(labels)


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
        "split": canonical_splits(refs.column("split")),
        "model_id": pa.array([prediction.model_id] * rows),
        "run_id": pa.array([prediction.run_id] * rows),
        "predicted_at": pa.array([datetime.datetime.now(datetime.UTC)] * rows, TIMESTAMP),
    }
    return pa.RecordBatch.from_arrays([columns[field.name] for field in _SCHEMA], schema=_SCHEMA)


def _write_predictions(batches: Iterator[pa.RecordBatch], prediction: Prediction) -> list[Fragment]:
    first = next(batches, None)
    if first is None:
        return []
    uri, path = prediction.table_uri(TableName.PREDICTIONS), prediction.new_path()
    with FragmentWriter(uri, TableName.PREDICTIONS, path, _SCHEMA) as writer:
        for batch in itertools.chain([first], batches):
            writer.write(batch)
    return [writer.fragment()]


def commit_predictions(
    prediction: Prediction, fragments: Iterable[Fragment], counts: InputCounts, max_failure_ratio: float
) -> None:
    """Makes a run visible, failures first. Doing it again changes nothing.

    Args:
        prediction: The run.
        fragments: All fragments of the run, complete on storage.
        counts: What planning made of the input.
        max_failure_ratio: The greatest share of failures, 0 to 1, with which it is committed.

    Raises:
        RunFailed: If images are missing, or too many failed; nothing is committed then.
    """
    written = list(fragments)
    state, message = judge_run(Totals.of(written), counts, max_failure_ratio, "predicted")
    if state != RunState.COMPLETE:
        raise RunFailed(message or "The run failed.")
    PredictionTables(prediction.output_uri).commit(prediction.run_id, prediction.model_id, written)
