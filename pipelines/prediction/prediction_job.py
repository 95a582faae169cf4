"""A run of predictions as a job: made of a command's options, then run to its commit, of images or of features."""

import argparse
import contextlib
import datetime
import functools
import shlex
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from pipelines.jobs import (
    check_label_column,
    find_images,
    known_label_column,
    pinned_version,
    true_end,
    visible_predictions,
)
from pipelines.options import decoding_limits, fetching_reach
from pipelines.runners import (
    beam_options,
    decoders_a_process,
    explained_failures,
    new_pipeline,
    on_worker_start,
    shown_progress,
    spill_folder,
    threads_a_process,
    worker_start,
)
from schemas.classifiers import Classifier
from schemas.delta import files_of
from schemas.errors import SpecMismatch
from schemas.fragments import TableName, remove_receipts
from schemas.images import ref_schema
from schemas.spec import FeatureSpec
from schemas.storage import Storage, canonical_uri, join
from schemas.store import FeatureStore, InputCounts, PredictionTables, new_run_id
from transforms.conv_bases import BATCH_SIZES, EngineName
from transforms.planning import RetryFailures
from transforms.prediction import Prediction
from transforms.runtime import PROGRESS

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

    from pipelines.runners import WorkerStart

FEATURES_PER_BATCH: Final = 256

_SHARD_SIZE: Final = 1024


def new_prediction(given: argparse.Namespace, classifier: Classifier, options: "PipelineOptions") -> Prediction:
    """Returns a run that begins now.

    Args:
        given: The command's options.
        classifier: What says something of the images.
        options: Beam's options.
    """
    now = datetime.datetime.now(datetime.UTC)
    return Prediction(
        output_uri=canonical_uri(given.output),
        spec=classifier.card.spec,
        run_id=given.run_id or new_run_id(now),
        ds=now.date(),
        batch_size=given.batch_size or (FEATURES_PER_BATCH if given.features else BATCH_SIZES[EngineName.OPENVINO]),
        limits=decoding_limits(given),
        max_bytes=given.max_bytes,
        storage=Storage(given.storage),
        reach=fetching_reach(given),
        threads=threads_a_process(options),
        decode_processes=0 if given.features else decoders_a_process(options),
        model_id=classifier.card.model_id,
        files=classifier.files,
        layer=classifier.card.layer,
        labels=classifier.labels,
        label_column=known_label_column(given, classifier.labels),
    )


def run_prediction(
    given: argparse.Namespace, prediction: Prediction, tables: PredictionTables, beam_arguments: Sequence[str]
) -> None:
    """Predicts from images or from features, to the end of the run.

    Raises:
        ConvbaseError: If the run cannot begin, or cannot be completed.
    """
    predict = predict_features if given.features else predict_images
    with true_end_of_prediction(tables, prediction):
        predict(given, prediction, tables, beam_arguments)
    remove_receipts(tables.uri, prediction.run_id, ())


def true_end_of_prediction(
    tables: PredictionTables, prediction: Prediction
) -> "contextlib.AbstractContextManager[None]":
    """Lets a run end as its tables have it: see `true_end`."""
    return true_end(prediction.run_id, visible(tables, prediction), look=look(tables))


def visible(tables: PredictionTables, prediction: Prediction) -> Callable[[], str]:
    """Returns what says what of a run is visible."""
    return functools.partial(visible_predictions, tables, prediction.run_id)


def look(tables: PredictionTables) -> str:
    """Returns the command that shows whether a run has committed."""
    return f"`python -m pipelines.maintain {shlex.quote(tables.uri)} history`"


def predict_images(
    given: argparse.Namespace, prediction: Prediction, tables: PredictionTables, beam_arguments: Sequence[str]
) -> None:
    """Predicts from images, to the end of the run.

    Raises:
        InvalidInput: If there is no image.
        UsageError: If no input has the column of labels that was named.
        RunFailed: If the run cannot be completed.
    """
    sources, rules = find_images(given)
    check_label_column(given, ref_schema(rules.carried).names)
    options = beam_options(beam_arguments)
    from transforms.planning.beam import MakeShards, SkipExtracted
    from transforms.prediction.beam import CommitPredictions, PredictImages
    from transforms.shuffle.beam import Spread
    from transforms.sources.beam import ListImages

    on_start = on_worker_start(options, prediction.output_uri, prediction.run_id)
    tables.create()
    with (
        shown_progress("predicting"),
        explained_failures(visible(tables, prediction), look(tables)),
        spill_folder(options) as spill,
        new_pipeline(options, _start(given, options, prediction)) as root,
    ):
        plan = (
            root
            | ListImages(sources, rules, on_start)  # refs and counts
            | "EachOnce" >> SkipExtracted(None, RetryFailures.TRANSIENT, spill_folder=spill)  # without duplicate URIs
        )
        (
            plan
            | MakeShards(_SHARD_SIZE)  # shards of refs
            | "Reshuffle" >> Spread(spill)
            | PredictImages(prediction)  # results: fragments, already Parquet
            | CommitPredictions(prediction, given.max_failure_ratio, plan.counts)
        )


def predict_features(
    given: argparse.Namespace, prediction: Prediction, tables: PredictionTables, beam_arguments: Sequence[str]
) -> None:
    """Predicts from the features of a store, to the end of the run.

    Raises:
        StoreNotFound: If there is no store.
        SpecMismatch: If it holds other features than the classifier takes.
        UsageError: If the table lacks the version or the column of labels that was named.
        RunFailed: If the run cannot be completed.
    """
    store = FeatureStore.open(given.features)
    refuse_other_features(store, prediction.spec)
    table = store.features(pinned_version(store, given.table_version))
    check_label_column(given, pa.schema(table.schema()).names)
    file_uris = [join(store.uri, TableName.FEATURES, path) for path in files_of(table)["path"].to_pylist()]
    expected = InputCounts(listed=store.scan_images(table_version=table.version()).count())
    options = beam_options(beam_arguments)
    import apache_beam as beam

    from transforms.prediction.beam import CommitPredictions, PredictFeatures

    on_start = on_worker_start(options, prediction.output_uri, prediction.run_id)
    tables.create()
    PROGRESS.add(planned=expected.listed)
    with (
        shown_progress("predicting"),
        explained_failures(visible(tables, prediction), look(tables)),
        new_pipeline(options, _start(given, options, prediction)) as root,
    ):
        counts = root | "Counts" >> beam.Create([expected])
        (
            root
            | "Files" >> beam.Create(file_uris)  # files of features
            | beam.Reshuffle()
            | PredictFeatures(prediction, on_start)  # results: fragments, already Parquet
            | CommitPredictions(prediction, given.max_failure_ratio, counts)
        )


def refuse_other_features(store: FeatureStore, spec: FeatureSpec) -> None:
    """Compares the features of a store with the spec of those that a classifier takes.

    Raises:
        SpecMismatch: If their fingerprints differ.
    """
    if store.fingerprint != spec.fingerprint:
        differences = "; ".join(store.spec.differences(spec.fields_of_features()))
        raise SpecMismatch(
            f"The classifier takes features with the fingerprint {spec.fingerprint}, the store {store.uri} holds "
            f"{store.fingerprint} ({differences})."
        )


def _start(given: argparse.Namespace, options: "PipelineOptions", prediction: Prediction) -> "WorkerStart | None":
    return worker_start(options, given.worker_start_timeout, prediction.output_uri, prediction.run_id)
