"""Predictions of a run as one file, beside the tables: as the table has them in Parquet, or flat in CSV."""

import enum
from collections.abc import Iterable
from typing import IO, Final

import pyarrow as pa
import pyarrow.compute as pc

from schemas.classifiers import LabelSet
from schemas.errors import spreadsheet_text
from schemas.storage import whole_file
from schemas.store import PREDICTIONS

_SEPARATOR: Final = "|"
_SCORE: Final = "score_"
_PERHAPS_A_FORMULA: Final = r"^[=+\-@\t\r]"


class OutputFormat(enum.StrEnum):
    """Where the predictions of a run are: in the tables alone, or also in a file of its own."""

    DELTA = "delta"
    PARQUET = "parquet"
    CSV = "csv"

    @property
    def file_name(self) -> str | None:
        """The name of the file beside the tables, if there is one."""
        return None if self == OutputFormat.DELTA else f"predictions.{self}"


def write_output_file(uri: str, kind: OutputFormat, batches: Iterable[pa.RecordBatch], labels: LabelSet) -> None:
    """Writes predictions as one file: whole, or not at all.

    Args:
        uri: The file.
        kind: What kind of file it is; not `DELTA`.
        batches: Rows of the table of predictions, with all of its columns.
        labels: The classes of the classifier.

    Raises:
        OSError: If it cannot be written.
    """
    with whole_file(uri) as file:
        if kind == OutputFormat.CSV:
            _write_csv(file, (csv_rows(batch, labels) for batch in batches), csv_schema(labels))
        else:
            _write_parquet(file, batches)


def _write_parquet(file: IO[bytes], batches: Iterable[pa.RecordBatch]) -> None:
    import pyarrow.parquet as pq

    with pq.ParquetWriter(file, PREDICTIONS) as writer:
        for batch in batches:
            writer.write_batch(batch.select(PREDICTIONS.names).cast(PREDICTIONS))


def _write_csv(file: IO[bytes], batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> None:
    import pyarrow.csv

    with pyarrow.csv.CSVWriter(file, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def csv_schema(labels: LabelSet) -> pa.Schema:
    """Returns the columns of the CSV: those of the table, with a score for each class and lists as texts."""
    return pa.schema([field for name in PREDICTIONS.names for field in _fields_of(name, labels)])


def csv_rows(rows: pa.RecordBatch, labels: LabelSet) -> pa.RecordBatch:
    """Returns predictions without lists.

    The scores are a column for each class, `score_CLASS`; lists of labels are joined by `|`. Texts that a spreadsheet
    would take for a formula have a quote before them.
    """
    columns = [array for name in PREDICTIONS.names for array in _flat(rows.column(name), labels)]
    return pa.RecordBatch.from_arrays(columns, schema=csv_schema(labels))


def _fields_of(name: str, labels: LabelSet) -> list[pa.Field]:
    if name == "scores":
        return [pa.field(_SCORE + each, pa.float32()) for each in labels.classes]
    kind = PREDICTIONS.field(name).type
    return [pa.field(name, pa.string() if pa.types.is_list(kind) else kind)]


def _flat(column: pa.Array, labels: LabelSet) -> list[pa.Array]:
    """Returns the columns that a column of the table becomes."""
    if not pa.types.is_list(column.type):
        return [spreadsheet_texts(column) if pa.types.is_string(column.type) else column]
    if pa.types.is_string(column.type.value_type):
        return [spreadsheet_texts(pc.binary_join(column.cast(pa.list_(pa.string())), _SEPARATOR))]
    scores = pc.list_flatten(column).to_numpy(zero_copy_only=False).reshape(-1, len(labels.classes))
    return [pa.array(scores[:, number]) for number in range(len(labels.classes))]


def spreadsheet_texts(texts: pa.Array) -> pa.Array:
    """Returns texts, string [n], with a quote before those that a spreadsheet would take for a formula."""
    if not pc.any(pc.match_substring_regex(texts, _PERHAPS_A_FORMULA)).as_py():
        return texts
    return pa.array([None if text is None else spreadsheet_text(text) for text in texts.to_pylist()], pa.string())
