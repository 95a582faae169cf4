"""The tables of predictions: what a classifier says of images, and the images that could not be processed.

<output>/predictions/    one row for each uri, version and classifier: that of the newest run
<output>/failures/       one row for each uri and version that could not be processed, that of the newest run
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from schemas.commits import REPLACED, replace_rows
from schemas.delta import Scan, committed, create_table, find_commit, find_table, open_table
from schemas.errors import StoreNotWritable, first_line
from schemas.fragments import Fragment, TableName
from schemas.storage import canonical_uri, check_folder, join
from schemas.tables import FAILURES, FLOATS, PARTITIONED_BY, TIMESTAMP, commented_field

STRINGS: Final = pa.list_(pa.field("element", pa.string(), nullable=False))

PREDICTIONS: Final = pa.schema(
    [
        commented_field("uri", pa.string(), "where the image is, in canonical form"),
        commented_field("version", pa.string(), "etag, generation, or size and mtime of the image"),
        commented_field("label", pa.string(), "the most probable class"),
        commented_field("score", pa.float32(), "its probability"),
        commented_field("labels", STRINGS, "all classes that it is said to have: the label, or those from 0.5 on"),
        commented_field("scores", FLOATS, "the probability of every class, in the order of the model's labels.json"),
        commented_field("true_labels", STRINGS, "its classes by the input or the feature table", nullable=True),
        commented_field("split", pa.string(), "train, validation or test, by the input or the table", nullable=True),
        commented_field("model_id", pa.string(), "the classifier"),
        commented_field("run_id", pa.string(), "the run that wrote this row"),
        commented_field("predicted_at", TIMESTAMP, "when the batch of this row was predicted"),
        commented_field("ds", pa.date32(), "partition date"),
    ]
)

_SCHEMAS: Final = {TableName.PREDICTIONS: PREDICTIONS, TableName.FAILURES: FAILURES}


def lists_of_one(labels: pa.Array) -> pa.Array:
    """Makes a list of one label of each label, and null of null."""
    texts = labels.cast(pa.string())
    offsets = np.concatenate([[0], np.cumsum(pc.is_valid(texts).to_numpy(zero_copy_only=False))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), texts.drop_null(), type=STRINGS, mask=pc.is_null(texts))


class PredictionTables:
    """The two tables under the folder that `--output` names.

    Attributes:
        uri: The folder, in canonical form.
    """

    def __init__(self, uri: str) -> None:
        """Names the folder; see `create`."""
        self.uri = canonical_uri(uri)

    @classmethod
    def find(cls, uri: str) -> "PredictionTables | None":
        """Opens the tables in a folder, or returns None if there are none."""
        tables = cls(uri)
        return None if find_table(join(tables.uri, TableName.PREDICTIONS)) is None else tables

    def check(self) -> None:
        """Refuses a folder that cannot be written, before any work.

        Raises:
            StoreNotWritable: If it is one.
        """
        folders = [self.uri, *(join(self.uri, name) for name in _SCHEMAS)]
        check_folder(f"The predictions {self.uri}", *folders, refusal=StoreNotWritable)

    def create(self) -> None:
        """Makes the tables where they are not there yet.

        Raises:
            StoreNotWritable: If they cannot be made, or the folder is a feature store, which has failures of its own.
        """
        try:
            if find_table(join(self.uri, TableName.FEATURES)) is not None:
                raise StoreNotWritable(f"{self.uri} is a feature store; predictions need a folder of their own.")
            for name, schema in _SCHEMAS.items():
                create_table(join(self.uri, name), name, schema, PARTITIONED_BY)
        except (OSError, DeltaError) as error:
            raise StoreNotWritable(f"The predictions {self.uri} cannot be written: {first_line(error)}") from error

    def table(self, name: TableName) -> DeltaTable:
        """Returns the newest snapshot of a table."""
        return open_table(join(self.uri, name))

    def have_committed(self, run_id: str, name: TableName = TableName.PREDICTIONS) -> bool:
        """Whether rows of a run are visible in a table; in `predictions` they are the last that it makes visible."""
        table = find_table(join(self.uri, name))
        return table is not None and committed(table, run_id)

    def commit(self, run_id: str, model_id: str, fragments: Iterable[Fragment]) -> None:
        """Makes the rows of a run visible, failures first, in one atomic commit a table; a run commits once.

        Rows of earlier runs with the same keys leave in the same commit: in `predictions` those of the same uri,
        version and classifier, in `failures` those of the same uri and version, of images that were predicted now too.

        Args:
            run_id: The run.
            model_id: The classifier.
            fragments: Fragments of both tables, complete on storage.

        Raises:
            FileNotFoundError: If a fragment is missing.
            RunFailed: If it could not be committed.
        """
        if self.have_committed(run_id):
            return
        written = list(fragments)
        predicted = [fragment for fragment in written if fragment.table == TableName.PREDICTIONS]
        failed = [fragment for fragment in written if fragment.table == TableName.FAILURES]
        replace_rows(self.uri, TableName.FAILURES, run_id, failed, written)
        replace_rows(self.uri, TableName.PREDICTIONS, run_id, predicted, predicted, model_id=model_id)

    def replaced_by(self, run_id: str) -> int:
        """Returns how many predictions of earlier runs left in the commit of a run, as far as the log knows it."""
        table = self.table(TableName.PREDICTIONS)
        try:
            _, said = find_commit(join(self.uri, TableName.PREDICTIONS), table, run_id)
        except LookupError:
            return 0
        return int(said.get(REPLACED, 0))

    def of_run(self, name: TableName, run_id: str, columns: list[str]) -> pa.Table:
        """Returns the rows of one run."""
        return self.scan_of_run(name, run_id, columns).to_arrow()

    def scan_of_run(self, name: TableName, run_id: str, columns: list[str] | None = None) -> Scan:
        """Returns the rows of one run, not read yet; with all columns by default."""
        return Scan(self.table(name), columns, [("run_id", "=", run_id)])
