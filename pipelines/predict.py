"""python -m pipelines.predict: what a classifier says of images, or of the features of a store, as a Delta table.

    python -m pipelines.predict --model=model --input=photos/ --output=predictions
    python -m pipelines.predict --model=model --input=photos/ --output=predictions --output_format=csv
    python -m pipelines.predict --model=model --features=store --output=predictions

Beside the tables least_sure.html shows the predictions that are worth a look, and report.html how right they are where
labels are known. With --features no image is read but for these pages, and with --thumbnails=0 none at all.
Exit codes: 0 done; 1 the run failed, and the sentence says if anything of it is visible; 2 the command cannot start as
it was given.
"""

import argparse
import datetime
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from pipelines.console import committed_before_text, prediction_text
from pipelines.functions import PredictionResult, make_callable, printed
from pipelines.jobs import (
    check_label_column,
    find_images,
    known_label_column,
    pinned_version,
    true_end,
    visible_predictions,
)
from pipelines.monitoring import log_begin, log_end
from pipelines.options import (
    Parser,
    add_decoding_options,
    add_failure_ratio,
    add_inputs,
    add_label_options,
    add_log_options,
    add_source_options,
    decoding_limits,
    fetching_reach,
    not_negative,
    positive,
    run_main,
    run_name,
)
from pipelines.runners import (
    beam_options,
    decoders_a_process,
    explained_failures,
    new_pipeline,
    parse_command,
    shown_progress,
    spill_folder,
    threads_a_process,
)
from schemas.classifiers import Classifier
from schemas.delta import files_of
from schemas.errors import OutputNotWritten, SpecMismatch, UsageError, first_line, shown
from schemas.fragments import TableName
from schemas.images import ref_schema
from schemas.spec import FeatureSpec
from schemas.storage import Storage, canonical_uri, join, write_file
from schemas.store import FeatureStore, InputCounts, PredictionTables, new_run_id
from transforms.conv_bases import BATCH_SIZES, EngineName
from transforms.evaluation import thumbnail
from transforms.gallery import least_sure_html
from transforms.planning import RetryFailures
from transforms.prediction import OutputFormat, PredictedRows, Prediction, predictions_html, write_output_file
from transforms.runtime import PROGRESS
from transforms.training import LabelFile, read_label_file

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

_SHARD_SIZE: Final = 1024
_FEATURES_PER_BATCH: Final = 256
_FIRST: Final = (
    "model", "input", "output", "labels_from", "exclude", "features", "labels", "label_column", "batch_size",
    "max_failure_ratio", "output_format",
)  # fmt: skip
_REPORT_FILE: Final = "report.html"
_LEAST_SURE_FILE: Final = "least_sure.html"
_LEAST_SURE: Final = 60


def parser() -> argparse.ArgumentParser:
    """Returns the command's parser."""
    command = Parser.of_command("pipelines.predict", __doc__, first=_FIRST, epilog="Beam's own options pass through.")
    add_inputs(command)
    command.add_argument("--model", metavar="URI", required=True, help="the folder that pipelines.train wrote")
    command.add_argument(
        "--output",
        metavar="URI",
        required=True,
        help="the folder of the predictions; a run replaces those "
        "of the same images by the same classifier, and adds to all others",
    )
    command.add_argument(
        "--output_format",
        choices=tuple(OutputFormat),
        default=OutputFormat.DELTA,
        help="delta: the tables alone; parquet, csv: the predictions of this run also as one file beside them, "
        "predictions.parquet or predictions.csv, which has a column for the score of each class (default: delta)",
    )
    command.add_argument(
        "--thumbnails",
        type=not_negative,
        default=_LEAST_SURE,
        metavar="N",
        help="the least sure predictions that least_sure.html shows; with 0 there is no such page, and no picture is "
        f"read for report.html (default: {_LEAST_SURE})",
    )
    add_source_options(command, "none; --features is taken", names_labels=False)
    add_decoding_options(command)
    table = command.add_argument_group("features instead of images")
    table.add_argument("--features", metavar="STORE", help="a store with the features that the classifier takes")
    table.add_argument("--table_version", type=int, metavar="N", help="the version of its table (default: the newest)")
    add_label_options(command)
    how = command.add_argument_group("the run")
    how.add_argument(
        "--batch_size",
        type=positive,
        metavar="N",
        help=f"images a call (default: {BATCH_SIZES[EngineName.OPENVINO]}, or {_FEATURES_PER_BATCH} with --features)",
    )
    add_failure_ratio(how)
    how.add_argument(
        "--run_id",
        type=run_name,
        metavar="NAME",
        help="name of the run; it commits once (default: the time and a random suffix)",
    )
    add_log_options(how)
    return command


def main(arguments: Sequence[str]) -> int:
    """Runs the command, prints what it has done, and returns its exit code.

    Raises:
        ConvbaseError: If it cannot start, or the run fails.
    """
    return printed(run(arguments))


def run(arguments: Sequence[str]) -> PredictionResult:
    """Runs the command and returns what it has done.

    Raises:
        ConvbaseError: If it cannot start, or the run fails.
    """
    given, beam_arguments = parse_command(parser(), arguments)
    if bool(given.input) == bool(given.features):
        raise UsageError("Name either --input, to predict from images, or --features, to predict from a store.")
    refuse_a_file(given.output)
    given.output_format = OutputFormat(given.output_format)
    classifier = Classifier.open(given.model)
    file = read_label_file(given.labels, given.label_column) if given.labels else None
    prediction = new_prediction(given, classifier, beam_options(beam_arguments))
    tables = PredictionTables(given.output)
    log_begin(prediction.run_id, None, tables.uri)
    committed_before = tables.have_committed(prediction.run_id)
    if committed_before:
        print(committed_before_text(prediction.run_id))
    else:
        predict = predict_features if given.features else predict_images
        with true_end(prediction.run_id, visible(tables, prediction), look=look(tables)):
            predict(given, prediction, tables, beam_arguments)
    with true_end(prediction.run_id, visible(tables, prediction)):
        rows = predicted_rows(tables, prediction, file)
        lines = [prediction_text(tables, prediction, rows, given.output_format)]
        if len(rows.uris) or not committed_before:  # Else later runs have replaced them, and written these files.
            lines += write_files(given, tables, prediction, rows)
    log_end(prediction.run_id, {"predictions": len(rows.uris)})
    return PredictionResult(text="\n".join(lines), tables=tables, run_id=prediction.run_id)


def predicted_rows(tables: PredictionTables, prediction: Prediction, file: LabelFile | None) -> PredictedRows:
    """Returns the predictions of a run, with labels from a file, or where there is none those of the table."""
    table = tables.of_run(TableName.PREDICTIONS, prediction.run_id, ["uri", "scores", "true_labels", "split"])
    true = file.labels_of(table["uri"].combine_chunks()) if file else table["true_labels"].combine_chunks()
    return PredictedRows.of(table, prediction.labels, true)


def write_files(
    given: argparse.Namespace, tables: PredictionTables, prediction: Prediction, rows: PredictedRows
) -> list[str]:
    """Writes the files that stand beside the tables, and returns a line for each.

    Raises:
        OutputNotWritten: If one cannot be written.
    """
    try:
        return [f"  {what} {uri}" for uri, what in written_files(given, tables, prediction, rows)]
    except OSError as error:
        raise OutputNotWritten(
            f"Run {prediction.run_id} is complete, but a file beside its tables cannot be written: "
            f"{first_line(error)}. The same command with --run_id={prediction.run_id} writes it."
        ) from error


def written_files(
    given: argparse.Namespace, tables: PredictionTables, prediction: Prediction, rows: PredictedRows
) -> Iterator[tuple[str, str]]:
    """Writes the predictions as a file, the report and the least sure ones; yields each file with what it is.

    Raises:
        OSError: If one cannot be written.
    """
    picture_of = functools.partial(thumbnail, max_bytes=given.max_bytes, reach=prediction.reach)
    if given.output_format.file_name:
        batches = tables.scan_of_run(TableName.PREDICTIONS, prediction.run_id).to_batches()
        uri = join(tables.uri, given.output_format.file_name)
        write_output_file(uri, given.output_format, batches, prediction.labels)
        yield uri, "predictions"
    if rows.metrics:
        uri = join(tables.uri, _REPORT_FILE)
        read = picture_of if given.thumbnails else lambda _: None
        write_file(uri, predictions_html(rows, prediction.run_id, prediction.model_id, read).encode())
        yield uri, "report"
    if len(rows.uris) and given.thumbnails:
        uri = join(tables.uri, _LEAST_SURE_FILE)
        write_file(uri, least_sure_html(rows, given.thumbnails, prediction.run_id, picture_of).encode())
        yield uri, "the least sure"


def refuse_a_file(output: str) -> None:
    """Refuses the name of a file for the folder of predictions.

    Raises:
        UsageError: If it is one.
    """
    stem, dot, extension = output.rpartition(".")
    if dot and extension in (*OutputFormat, "html"):
        kind = "" if extension == "html" else f" --output_format={extension}"
        raise UsageError(f"--output={shown(output)} would be a folder: --output={shown(stem)}{kind} writes into one.")


def visible(tables: PredictionTables, prediction: Prediction) -> Callable[[], str]:
    """Returns what says what of a run is visible."""
    return functools.partial(visible_predictions, tables, prediction.run_id)


def look(tables: PredictionTables) -> str:
    """Returns the command that shows whether a run has committed."""
    return f"`python -m pipelines.maintain {tables.uri} history`"


def new_prediction(given: argparse.Namespace, classifier: Classifier, options: "PipelineOptions") -> Prediction:
    """Returns a run that begins now."""
    now = datetime.datetime.now(datetime.UTC)
    return Prediction(
        output_uri=canonical_uri(given.output),
        spec=classifier.card.spec,
        run_id=given.run_id or new_run_id(now),
        ds=now.date(),
        batch_size=given.batch_size or (_FEATURES_PER_BATCH if given.features else BATCH_SIZES[EngineName.OPENVINO]),
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

    tables.create()
    with (
        shown_progress("predicting"),
        explained_failures(visible(tables, prediction), look(tables)),
        spill_folder(options) as spill,
        new_pipeline(options) as root,
    ):
        plan = (
            root
            | ListImages(sources, rules)  # refs and counts
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

    tables.create()
    PROGRESS.add(planned=expected.listed)
    with (
        shown_progress("predicting"),
        explained_failures(visible(tables, prediction), look(tables)),
        new_pipeline(options) as root,
    ):
        counts = root | "Counts" >> beam.Create([expected])
        (
            root
            | "Files" >> beam.Create(file_uris)  # files of features
            | beam.Reshuffle()
            | PredictFeatures(prediction)  # results: fragments, already Parquet
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


if __name__ == "__main__":
    run_main(main)
else:
    make_callable(__name__)
