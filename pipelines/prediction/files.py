"""What stands beside the tables of predictions: this run's as one file, the report, and the page of the least sure."""

import argparse
import functools
from collections.abc import Iterator
from typing import Final

from schemas.errors import OutputNotWritten, UsageError, first_line, shown
from schemas.fragments import TableName
from schemas.storage import join, write_file
from schemas.store import PredictionTables
from transforms.evaluation import thumbnail
from transforms.gallery import least_sure_html
from transforms.prediction import OutputFormat, PredictedRows, Prediction, predictions_html, write_output_file
from transforms.training import LabelFile

_REPORT_FILE: Final = "report.html"
_LEAST_SURE_FILE: Final = "least_sure.html"


def refuse_a_file(output: str) -> None:
    """Refuses the name of a file for the folder of predictions.

    Raises:
        UsageError: If it is one.
    """
    stem, dot, extension = output.rpartition(".")
    if dot and extension in (*OutputFormat, "html"):
        kind = "" if extension == "html" else f" --output_format={extension}"
        raise UsageError(f"--output={shown(output)} would be a folder: --output={shown(stem)}{kind} writes into one.")


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
        return [f"  {what} {uri}" for uri, what in _written_files(given, tables, prediction, rows)]
    except OSError as error:
        raise OutputNotWritten(
            f"Run {prediction.run_id} is complete, but a file beside its tables cannot be written: "
            f"{first_line(error)}. The same command with --run_id={prediction.run_id} writes it."
        ) from error


def _written_files(
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
        yield uri, "least certain"
