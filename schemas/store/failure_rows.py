"""The failures of a store's images, or of predictions: those in the table, and those of runs not committed."""

from collections.abc import Iterator
from typing import Final

import pyarrow as pa

from schemas.commits import RowKeys
from schemas.delta import Scan, data_files, open_table, paths_of
from schemas.errors import DamagedFile
from schemas.fragments import TableName, run_of
from schemas.storage import join, read_columns

COLUMNS: Final = ("uri", "code", "message", "failed_at", "run_id")


def read_failures(store_uri: str, run_id: str | None = None) -> Iterator[pa.RecordBatch]:
    """Yields the failures of a store or of predictions, of one run or of all.

    A run that fails commits nothing, so that its images are tried again; its fragments of failures stay until a vacuum
    removes them, and are read here too. So are those whose rows have moved to other files of the table since, or have
    been replaced: of these, the rows that the table has are left out.

    Args:
        store_uri: The folder of the tables.
        run_id: The run.

    Yields:
        Batches with the columns `COLUMNS`, a row for each image and run in which it failed.
    """
    yield from _scan(store_uri, run_id).to_batches()
    yield from read_other_failures(store_uri, run_id)


def read_other_failures(store_uri: str, run_id: str | None = None) -> Iterator[pa.RecordBatch]:
    """Yields those failures that are not in the table, as `read_failures` does.

    Args:
        store_uri: The folder of the tables.
        run_id: The run; None for all.

    Yields:
        Batches with the columns `COLUMNS`: of runs that were not committed, and of those whose rows have been replaced.
    """
    table_uri = join(store_uri, TableName.FAILURES)
    others = sorted({path for path, _ in data_files(table_uri)} - paths_of(open_table(table_uri)))
    of_runs = [path for path in others if (run := run_of(path)) is not None and run_id in {None, run}]
    if not of_runs:
        return
    in_table = RowKeys(map(_keys, _scan(store_uri, run_id).only(("uri", "run_id")).to_batches()))
    for path in of_runs:
        try:
            for rows in read_columns(join(table_uri, path), COLUMNS):
                left = rows.filter(pa.array(~in_table.have(_keys(rows))))
                if left.num_rows:
                    yield left
        except (DamagedFile, FileNotFoundError):  # What a kill cut off, or a vacuum has just removed.
            continue


def _scan(store_uri: str, run_id: str | None) -> Scan:
    failures = open_table(join(store_uri, TableName.FAILURES))
    return Scan(failures, COLUMNS, None if run_id is None else [("run_id", "=", run_id)])


def _keys(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Returns what rows are known by: an image fails once a run."""
    return pa.RecordBatch.from_arrays([rows.column("uri"), rows.column("run_id")], ["uri", "version"])
