"""The failures of a store's images: those in the table, and those of runs that were not committed."""

from collections.abc import Iterator
from typing import Final

import pyarrow as pa

from schemas.delta import Scan, data_files, paths_of
from schemas.errors import DamagedFile
from schemas.fragments import TableName
from schemas.storage import join, read_columns
from schemas.store.feature_store import FeatureStore

COLUMNS: Final = ("uri", "code", "message", "failed_at", "run_id")


def read_failures(store: FeatureStore, run_id: str | None = None) -> Iterator[pa.RecordBatch]:
    """Yields the failures of a store, of one run or of all.

    A run that fails commits nothing, so that its images are tried again; its fragments of failures stay until a vacuum
    removes them, and are read here too.

    Args:
        store: The store.
        run_id: The run.

    Yields:
        Batches with the columns `COLUMNS`, a row for each time that an image failed.
    """
    where = None if run_id is None else [("run_id", "=", run_id)]
    failures = store.failures()
    yield from Scan(failures, COLUMNS, where).to_batches()
    table_uri = join(store.uri, TableName.FAILURES)
    for path in sorted({path for path, _ in data_files(table_uri)} - paths_of(failures)):
        if run_id is None or path.rpartition("/")[2].startswith(f"{run_id}-"):
            try:
                yield from read_columns(join(table_uri, path), COLUMNS)
            except (DamagedFile, FileNotFoundError):  # What a kill cut off, or a vacuum has just removed.
                continue
