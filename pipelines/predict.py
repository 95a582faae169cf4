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
import collections
import time
from collections.abc import Sequence
from typing import Final

from pipelines.console import check_figure_files, committed_before_text, prediction_text, with_first_failures
from pipelines.functions import PredictionResult, make_callable, printed
from pipelines.monitoring import PredictionFigures, export_prediction_metrics, logged_run, told_at_its_end
from pipelines.options import (
    Parser,
    add_decoding_options,
    add_failure_ratio,
    add_inputs,
    add_label_options,
    add_metrics_option,
    add_source_options,
    add_worker_start_option,
    not_negative,
    positive,
    run_main,
    run_name,
)
from pipelines.prediction import (
    FEATURES_PER_BATCH,
    new_prediction,
    predicted_rows,
    refuse_a_file,
    run_prediction,
    true_end_of_prediction,
    write_files,
)
from pipelines.runners import beam_options, parse_command
from schemas.classifiers import Classifier
from schemas.errors import RunFailed, UsageError
from schemas.fragments import TableName
from schemas.storage import canonical_uri
from schemas.store import PredictionTables
from transforms.conv_bases import BATCH_SIZES, EngineName
from transforms.export import PREDICTIONS, check_output_folder
from transforms.prediction import OutputFormat
from transforms.training import read_label_file

_FIRST: Final = (
    "model", "input", "output", "labels_from", "exclude", "features", "labels", "label_column", "batch_size",
    "max_failure_ratio", "output_format",
)  # fmt: skip
_LEAST_SURE: Final = 60


def parser() -> Parser:
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
        help=f"images a call (default: {BATCH_SIZES[EngineName.OPENVINO]}, or {FEATURES_PER_BATCH} with --features)",
    )
    add_failure_ratio(how)
    how.add_argument(
        "--run_id",
        type=run_name,
        metavar="NAME",
        help="name of the run; it commits once (default: the time and a random suffix)",
    )
    add_worker_start_option(how)
    add_metrics_option(how)
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
    started = time.perf_counter()
    given, beam_arguments = parse_command(parser(), arguments)
    check_figure_files(given)
    figures = PredictionFigures(canonical_uri(given.output))

    def tell(code: int) -> None:
        figures.seconds = time.perf_counter() - started
        export_prediction_metrics(given.metrics_file, figures, code)

    with told_at_its_end(tell):
        return predict(given, beam_arguments, figures)


def predict(given: argparse.Namespace, beam_arguments: Sequence[str], figures: PredictionFigures) -> PredictionResult:
    """Predicts, writes the files beside the tables, and returns what was done.

    Args:
        given: The command's options.
        beam_arguments: Beam's own arguments, checked.
        figures: Gets the closing figures.

    Raises:
        ConvbaseError: If it cannot start, or the run fails.
    """
    if bool(given.input) == bool(given.features):
        raise UsageError("Name either --input, to predict from images, or --features, to predict from a store.")
    refuse_a_file(given.output)
    check_output_folder(given.output, PREDICTIONS)
    tables = PredictionTables(given.output)
    tables.check()
    given.output_format = OutputFormat(given.output_format)
    classifier = Classifier.open(given.model)
    file = read_label_file(given.labels, given.label_column) if given.labels else None
    prediction = new_prediction(given, classifier, beam_options(beam_arguments))
    run_id = prediction.run_id
    with logged_run(run_id, tables.uri) as logged:
        committed_before = tables.have_committed(run_id)
        if committed_before:
            print(committed_before_text(run_id))
        else:
            try:
                run_prediction(given, prediction, tables, beam_arguments)
            except RunFailed as error:
                if PredictionTables.find(tables.uri) is None:
                    raise
                raise with_first_failures(error, tables, run_id) from error
        with true_end_of_prediction(tables, prediction):
            rows, failures = predicted_rows(tables, prediction, file), failures_by_code(tables, run_id)
            figures.predicted, figures.failures = len(rows.uris), failures
            lines = [prediction_text(tables, prediction, rows, failures, given.output_format)]
            if len(rows.uris) or not committed_before:  # Else later runs have replaced them, and written these files.
                lines += write_files(given, tables, prediction, rows)
        logged.update(predicted=figures.predicted, failed=figures.failed)
    return PredictionResult(text="\n".join(lines), tables=tables, run_id=run_id)


def failures_by_code(tables: PredictionTables, run_id: str) -> dict[str, int]:
    """Returns how many images of a run failed, by code, the most frequent first."""
    codes = tables.of_run(TableName.FAILURES, run_id, ["code"])["code"].to_pylist()
    return dict(collections.Counter(codes).most_common())


if __name__ == "__main__":
    run_main(main)
else:
    make_callable(__name__)
