"""Known images: those that a run need not look at again, file by file of the store's tables. Pure of Beam."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.annotations import hashed
from schemas.delta import files_of
from schemas.fragments import TableName
from schemas.storage import join, read_columns
from transforms.planning.anti_join import FILE, HAS_FEATURES, hash_name
from transforms.planning.snapshot import RetryFailures, Snapshot

# Files are read together until they have as many rows: a file's footer costs as much as thousands of them.
ROWS_TOGETHER: Final = 2**18


@dataclasses.dataclass(frozen=True)
class KnownFiles:
    """Some files of a table.

    Attributes:
        table: The table.
        folder: The table's folder.
        paths: The files, by their paths under it.
        annotations: Of `features`, the columns of annotations that are compared with the input's.
        only_permanent: Of `failures`, whether only those count that another try cannot change.
    """

    table: TableName
    folder: str
    paths: tuple[str, ...]
    annotations: tuple[str, ...] = ()
    only_permanent: bool = False


def known_files(
    snapshot: Snapshot,
    retry: RetryFailures,
    annotations: Sequence[str] = (),
    rows_together: int = ROWS_TOGETHER,
) -> Iterator[KnownFiles]:
    """Yields the files of a snapshot that hold images that need not be looked at again, a few at a time.

    They are those with features, those that were taken down (in every version), and the failures not tried again.

    Args:
        snapshot: The state of the store.
        retry: Which failures are tried again.
        annotations: The columns of annotations that are compared with the input's.
        rows_together: Files are taken together until they have so many rows.
    """
    names = [name for name in (TableName.TAKEDOWNS, TableName.FEATURES) if name in snapshot.versions]
    if retry != RetryFailures.ALL:
        names.append(TableName.FAILURES)
    for name in names:
        for files in _files(snapshot, name, rows_together):
            yield dataclasses.replace(
                files,
                annotations=tuple(annotations),
                only_permanent=name == TableName.FAILURES and retry == RetryFailures.TRANSIENT,
            )


def _files(snapshot: Snapshot, name: TableName, rows_together: int) -> Iterator[KnownFiles]:
    files = files_of(snapshot.table(name))
    folder = join(snapshot.store.uri, name)
    together: list[str] = []
    rows = 0
    for path, count in zip(files["path"].to_pylist(), files["num_records"].to_pylist(), strict=True):
        together.append(path)
        rows += count or 0
        if rows >= rows_together:
            yield KnownFiles(name, folder, tuple(together))
            together, rows = [], 0
    if together:
        yield KnownFiles(name, folder, tuple(together))


def read_known(files: KnownFiles) -> Iterator[pa.RecordBatch]:
    """Yields the known images of some files.

    Yields:
        Batches with the columns `uri`, `version`, `has_features`, `file` and, for each column of annotations, a hash of
        its value. A version that is null means every version; a file is where the features are, and null else.
    """
    has_features = files.table == TableName.FEATURES
    columns = {TableName.TAKEDOWNS: ["uri"], TableName.FAILURES: ["uri", "version", "permanent"]}
    names = columns.get(files.table, ["uri", "version", *files.annotations])
    for path in files.paths:
        for batch in read_columns(join(files.folder, path), names):
            rows = batch.filter(batch.column("permanent")) if files.only_permanent else batch
            rows = without_repeats(rows)
            versions = rows.column("version") if "version" in rows.schema.names else pa.nulls(len(rows), pa.string())
            known = {
                "uri": rows.column("uri"),
                "version": versions,
                HAS_FEATURES: pa.array(np.full(rows.num_rows, has_features)),
                FILE: _repeated(path if has_features else None, rows.num_rows),
                **{hash_name(name): pa.array(_hashed(rows, name)) for name in files.annotations},
            }
            yield pa.RecordBatch.from_pydict(known)


def _repeated(text: str | None, rows: int) -> pa.DictionaryArray:
    if text is None:
        return pa.nulls(rows, pa.dictionary(pa.int32(), pa.string()))
    return pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), pa.array([text]))


def _hashed(rows: pa.RecordBatch, name: str) -> np.ndarray:
    """Hashes a column; one that a file lacks is null throughout."""
    return hashed(rows.column(name) if name in rows.schema.names else pa.nulls(rows.num_rows, pa.string()))


def without_repeats(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Leaves one of several rows of an image that follow each other."""
    if rows.num_rows < 2:
        return rows
    differs = np.ones(rows.num_rows, bool)
    names = [name for name in ("uri", "version") if name in rows.schema.names]
    before, after = rows.slice(0, rows.num_rows - 1), rows.slice(1)
    differs[1:] = np.any([pc.not_equal(before[name], after[name]) for name in names], axis=0)
    return rows if differs.all() else rows.filter(pa.array(differs))


def known_images(snapshot: Snapshot, retry: RetryFailures, annotations: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
    """Yields the known images of a snapshot, as `read_known` does."""
    for files in known_files(snapshot, retry, annotations):
        yield from read_known(files)
