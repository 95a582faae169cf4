"""Known images: those that a run need not look at again, file by file of the store's tables. Pure of Beam."""

import dataclasses
from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.delta import files_of
from schemas.fragments import TableName
from schemas.storage import join, read_columns
from transforms.planning.anti_join import HAS_FEATURES
from transforms.planning.snapshot import RetryFailures, Snapshot

# Files are read together until they have as many rows: a file's footer costs as much as thousands of them.
ROWS_TOGETHER: Final = 2**18


@dataclasses.dataclass(frozen=True)
class KnownFiles:
    """Some files of a table.

    Attributes:
        table: The table.
        uris: The files.
        only_permanent: Of `failures`, whether only those count that another try cannot change.
    """

    table: TableName
    uris: tuple[str, ...]
    only_permanent: bool = False


def known_files(snapshot: Snapshot, retry: RetryFailures, rows_together: int = ROWS_TOGETHER) -> Iterator[KnownFiles]:
    """Yields the files of a snapshot that hold images that need not be looked at again, a few at a time.

    They are those with features, those that were taken down (in every version), and the failures not tried again.

    Args:
        snapshot: The state of the store.
        retry: Which failures are tried again.
        rows_together: Files are taken together until they have so many rows.
    """
    yield from _taken_down(snapshot, rows_together)
    yield from _files(snapshot, TableName.FEATURES, rows_together)
    if retry != RetryFailures.ALL:
        for files in _files(snapshot, TableName.FAILURES, rows_together):
            yield dataclasses.replace(files, only_permanent=retry == RetryFailures.TRANSIENT)


def _taken_down(snapshot: Snapshot, rows_together: int) -> Iterator[KnownFiles]:
    if TableName.TAKEDOWNS in snapshot.versions:
        yield from _files(snapshot, TableName.TAKEDOWNS, rows_together)


def _files(snapshot: Snapshot, name: TableName, rows_together: int) -> Iterator[KnownFiles]:
    files = files_of(snapshot.table(name))
    together: list[str] = []
    rows = 0
    for path, count in zip(files["path"].to_pylist(), files["num_records"].to_pylist(), strict=True):
        together.append(join(snapshot.store.uri, name, path))
        rows += count or 0
        if rows >= rows_together:
            yield KnownFiles(name, tuple(together))
            together, rows = [], 0
    if together:
        yield KnownFiles(name, tuple(together))


def read_known(files: KnownFiles) -> Iterator[pa.RecordBatch]:
    """Yields the known images of some files.

    Yields:
        Batches with the columns `uri`, `version` and `has_features`; a version that is null means every version.
    """
    columns = {TableName.TAKEDOWNS: ["uri"], TableName.FAILURES: ["uri", "version", "permanent"]}
    for uri in files.uris:
        for batch in read_columns(uri, columns.get(files.table, ["uri", "version"])):
            rows = batch.filter(batch.column("permanent")) if files.only_permanent else batch
            rows = without_repeats(rows)
            versions = rows.column("version") if "version" in rows.schema.names else pa.nulls(len(rows), pa.string())
            marks = pa.array(np.full(rows.num_rows, files.table == TableName.FEATURES))
            yield pa.RecordBatch.from_arrays([rows.column("uri"), versions, marks], ["uri", "version", HAS_FEATURES])


def without_repeats(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Leaves one of several rows of an image that follow each other."""
    if rows.num_rows < 2:
        return rows
    differs = np.ones(rows.num_rows, bool)
    names = [name for name in ("uri", "version") if name in rows.schema.names]
    before, after = rows.slice(0, rows.num_rows - 1), rows.slice(1)
    differs[1:] = np.any([pc.not_equal(before[name], after[name]) for name in names], axis=0)
    return rows if differs.all() else rows.filter(pa.array(differs))


def known_images(snapshot: Snapshot, retry: RetryFailures) -> Iterator[pa.RecordBatch]:
    """Yields the known images of a snapshot, as `read_known` does."""
    for files in known_files(snapshot, retry):
        yield from read_known(files)
