"""python -m pipelines.predict: what a classifier says of images, or of the features of a store, as a Delta table.

    python -m pipelines.predict --model=model --input=photos/ --output=predictions
    python -m pipelines.predict --model=model --features=store --output=predictions

With --features no image is read. Given labels, the metrics are printed.
Exit codes: 0 done; 1 the run failed, nothing of it is visible; 2 the command cannot start as it was given.
"""

import argparse
import datetime
import os
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from pipelines.options import Parser, add_decoding_options, add_source_options, run_main
from pipelines.prediction_summary import summary_text
from pipelines.preparation import find_images
from pipelines.progress import shown_progress
from pipelines.runners import beam_options, explained_failures, find_runner, quiet_import, set_up_logging
from pipelines.training_options import add_label_options
from schemas.classifiers import Classifier
from schemas.errors import SpecMismatch, UsageError
from schemas.fragments import TableName
from schemas.predictions import PREDICTIONS, PredictionTables
from schemas.runs import InputCounts
from schemas.storage import join
from schemas.store import FeatureStore
from transforms.extraction import Extraction
from transforms.labelling import read_label_file
from transforms.planning import RetryFailures
from transforms.predictions import FeatureFile, Prediction

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

_SHARD_SIZE: Final = 1024


def parser() -> argparse.ArgumentParser:
    """Returns the command's parser."""
    command = Parser("pipelines.predict", __doc__.partition("\n")[2].strip(), "Beam's own options pass through.")
    command.add_argument("--model", metavar="URI", required=True, help="the folder that pipelines.train wrote")
    command.add_argument("--output", metavar="URI", required=True, help="the folder of the predictions; runs add up")
    add_source_options(command)
    add_decoding_options(command)
    table = command.add_argument_group("features instead of images")
    table.add_argument("--features", metavar="STORE", help="a store with the features that the classifier takes")
    table.add_argument("--table_version", type=int, metavar="N", help="the version of its table (default: the newest)")
    add_label_options(command)
    run = command.add_argument_group("the run")
    run.add_argument("--batch_size", type=int, metavar="N", help="images a call (default: 8, or 256 with --features)")
    run.add_argument(
        "--max_failure_ratio",
        type=float,
        default=0.1,
        metavar="R",
        help="greatest share of bad images, 0 to 1, with which the run is committed (default: 0.1)",
    )
    run.add_argument("--run_id", metavar="NAME", help="name of the run; it commits once (default: time and chance)")
    run.add_argument(
        "--log_level", choices=("debug", "info", "warning"), default="warning", help="what is logged (default: warning)"
    )
    return command


def main(arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit code.

    Raises:
        ConvbaseError: If it cannot start, or the run fails.
    """
    command = parser()
    given, beam_arguments = command.parse_known_args(list(arguments))
    if bool(given.input) == bool(given.features):
        raise UsageError("Name either --input, to predict from images, or --features, to predict from a store.")
    set_up_logging(given.log_level)
    with quiet_import():
        options = beam_options(beam_arguments, command)
    classifier = Classifier.open(given.model)
    file = read_label_file(given.labels, given.label_column) if given.labels else None
    tables = PredictionTables(given.output)
    prediction = new_prediction(given, classifier, tables)
    predict = predict_features if given.features else predict_images
    with shown_progress(), explained_failures():
        predict(given, classifier, prediction, options)
    print(summary_text(tables, prediction, file))
    return 0


def new_prediction(given: argparse.Namespace, classifier: Classifier, tables: PredictionTables) -> Prediction:
    """Returns a run that begins now."""
    now = datetime.datetime.now(datetime.UTC)
    return Prediction(
        extraction=Extraction(
            store_uri=tables.uri,
            spec=classifier.card.spec,
            schema=PREDICTIONS,
            run_id=given.run_id or f"{now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}",
            ds=now.date(),
            batch_size=given.batch_size or (256 if given.features else 8),
            formats=given.formats,
            max_pixels=given.max_pixels,
            max_bytes=given.max_bytes,
            decode_threads=os.cpu_count() or 1,
        ),
        model_id=classifier.card.model_id,
        networks_uri=classifier.networks_uri,
        labels=classifier.labels,
    )


def predict_images(
    given: argparse.Namespace, _: Classifier, prediction: Prediction, options: "PipelineOptions"
) -> None:
    """Predicts from images, to the end of the run.

    Raises:
        InvalidInput: If there is no image.
    """
    import apache_beam as beam

    from transforms.prediction_steps import CommitPredictions, PredictImages
    from transforms.steps import ListImages, MakeShards, SkipExtracted

    sources, rules = find_images(given)
    with beam.Pipeline(runner=find_runner(options), options=options) as root:
        listing = (
            root
            | ListImages(sources, rules)  # refs and counts
            | "EachOnce" >> SkipExtracted(None, RetryFailures.TRANSIENT)  # without what is mentioned twice
        )
        fragments = (
            listing
            | MakeShards(_SHARD_SIZE)  # shards of refs
            | beam.Reshuffle()
            | PredictImages(prediction)  # fragments, already Parquet
        )
        fragments | CommitPredictions(prediction, given.max_failure_ratio, listing.counts)


def predict_features(
    given: argparse.Namespace, classifier: Classifier, prediction: Prediction, options: "PipelineOptions"
) -> None:
    """Predicts from the features of a store, to the end of the run.

    Raises:
        SpecMismatch: If the store holds other features than the classifier takes.
    """
    import apache_beam as beam

    from transforms.prediction_steps import CommitPredictions, PredictFeatures

    store = FeatureStore.open(given.features)
    refuse_other_features(store, classifier)
    files, images = feature_files(store, given, classifier.card.layer)
    with beam.Pipeline(runner=find_runner(options), options=options) as root:
        counts = root | "Counts" >> beam.Create([InputCounts(listed=images)])
        fragments = (
            root
            | "Files" >> beam.Create(files)  # files of features
            | beam.Reshuffle()
            | PredictFeatures(prediction)  # fragments, already Parquet
        )
        fragments | CommitPredictions(prediction, given.max_failure_ratio, counts)


def refuse_other_features(store: FeatureStore, classifier: Classifier) -> None:
    """Compares the features of a store with those that a classifier takes.

    Raises:
        SpecMismatch: If their fingerprints differ.
    """
    spec = classifier.card.spec
    if store.fingerprint != spec.fingerprint:
        asked = {name: getattr(spec, name) for name in spec.to_dict() if name != "feature_shapes"}
        differences = "; ".join(store.spec.differences(asked))
        raise SpecMismatch(
            f"The classifier takes features with the fingerprint {spec.fingerprint}, the store {store.uri} holds "
            f"{store.fingerprint} ({differences})."
        )


def feature_files(store: FeatureStore, given: argparse.Namespace, layer: str) -> tuple[list[FeatureFile], int]:
    """Returns the files of a snapshot of a store, and how many images they hold."""
    table = store.features(given.table_version)
    files = pa.table(table.get_add_actions(flatten=True))
    column = given.label_column if given.label_column in pa.schema(table.schema()).names else None
    uri = join(store.uri, TableName.FEATURES)
    found = [FeatureFile(uri, path, layer, column) for path in files["path"].to_pylist()]
    return found, sum(files["num_records"].to_pylist())


if __name__ == "__main__":
    run_main(main)
