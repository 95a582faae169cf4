"""`Fragment`: a Parquet file that is written but not committed yet, and the writer of it."""

import collections
import contextlib
import dataclasses
import enum
import hashlib
import io
import json
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from schemas.errors import FailureCode
from schemas.fragments.compression import compression_options
from schemas.fragments.statistics import FileStatistics
from schemas.serialisation import Serialisable
from schemas.storage import ROW_GROUP_BYTES, file_system, join, make_folder, read_columns, read_schema, sync_file
from schemas.tables import AUGMENTATION, feature_shape, has_augmentations


class TableName(enum.StrEnum):
    """The tables whose files are written here; workers write to the first three."""

    FEATURES = "features"
    FAILURES = "failures"
    PREDICTIONS = "predictions"
    RUNS = "runs"
    TAKEDOWNS = "takedowns"
    DRIFT = "drift"


@dataclasses.dataclass(frozen=True)
class Fragment(Serialisable):
    """A Parquet file that is written but not committed yet: what a worker hands on instead of the rows.

    Attributes:
        table: The table it belongs to.
        path: Its path under the table's folder, as it is named (not percent-encoded).
        rows: Its rows.
        size: Its bytes.
        statistics: JSON: the statistics by which readers skip files.
        supersedes: Whether some of its images have older rows in the table, which go when it is committed.
        failures_by_code: For `failures`, how many rows it holds of each code.
        adopted: Whether a run that was killed had computed its rows.
        reused: Whether its rows hold features that were computed for other images of identical content.
        augmented: Of its rows, those of augmented copies of pictures. All rows of an image are in one fragment.
        sha256: SHA-256 of the file in hex.
        given: The columns of annotations that the input has for all of its images; None where it is not to change the
            annotations of images that others have committed.
    """

    table: TableName
    path: str
    rows: int
    size: int
    statistics: str
    supersedes: bool = False
    failures_by_code: tuple[tuple[FailureCode, int], ...] = ()
    adopted: bool = False
    reused: bool = False
    augmented: int = 0
    sha256: str = ""
    given: tuple[str, ...] | None = None

    @property
    def images(self) -> int:
        """Its images."""
        return self.rows - self.augmented

    @property
    def uri_range(self) -> tuple[str, str]:
        """Bounds of the URIs of its rows; both may be wider than the rows."""
        statistics = json.loads(self.statistics)
        return statistics["minValues"]["uri"], statistics["maxValues"]["uri"]


class FragmentWriter:
    """Writes one fragment, a row group at a time; holds at most `ROW_GROUP_BYTES` and one batch in memory.

    Strings are dictionary-encoded. Features are not (they hardly ever repeat) and have no statistics (no query
    filters by the 513th float). Columns are compressed by Zstandard at its fastest level, features only where that
    pays, as it does where a ReLU has left zeros.

    Pages have checksums (Parquet format, "Checksumming"). Use it as a context manager; once that is left, the file is
    on the disk, and `fragment` describes it.
    """

    def __init__(self, table_uri: str, table: TableName, path: str, schema: pa.Schema) -> None:
        """Opens the file.

        Args:
            table_uri: The table's folder.
            table: The table.
            path: The fragment's path under the folder. No other writer may use it.
            schema: The schema of the rows, without partition columns.
        """
        self._table = table
        self._path = path
        self._schema = schema
        self._uri = join(table_uri, path)
        self._fs, self._target = file_system(self._uri)
        self._file = _HashedFile(_open_new(self._fs, self._target))
        self._parquet: pq.ParquetWriter | None = None  # Opened once there are rows that tell how to compress features.
        self._pending: list[pa.RecordBatch] = []
        self._pending_bytes = 0
        self._statistics = FileStatistics(schema)
        self._codes: collections.Counter[str] = collections.Counter()
        self._has_augmentations = has_augmentations(schema)
        self._augmented = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        with contextlib.closing(self._file):
            if kind is None:
                self._flush()
            if self._parquet is not None:
                self._parquet.close()
        if kind is None:
            sync_file(self._uri)

    def write(self, batch: pa.RecordBatch) -> None:
        """Adds rows."""
        if not batch.num_rows:
            return
        self._statistics.add(batch)
        if self._table == TableName.FAILURES:
            self._codes.update(batch.column("code").to_pylist())
        if self._has_augmentations:
            self._augmented += _augmented_rows(batch)
        self._pending.append(batch)
        self._pending_bytes += batch.nbytes
        if self._pending_bytes >= ROW_GROUP_BYTES:
            self._flush()

    def fragment(self, *, supersedes: bool = False) -> Fragment:
        """Describes the fragment, once the writer is closed."""
        return Fragment(
            table=self._table,
            path=self._path,
            rows=self._statistics.rows,
            size=self._fs.size(self._target),
            statistics=self._statistics.to_json(),
            supersedes=supersedes,
            failures_by_code=tuple((FailureCode.from_code(code), count) for code, count in self._codes.items()),
            augmented=self._augmented,
            sha256=self._file.sha256.hexdigest(),
        )

    def _flush(self) -> None:
        if self._parquet is None:
            texts = [field.name for field in self._schema if feature_shape(field) is None]
            self._parquet = pq.ParquetWriter(
                self._file,
                self._schema,
                **compression_options(self._schema, self._pending),
                use_dictionary=texts,
                write_statistics=texts,
                write_page_checksum=True,
            )
        if self._pending:
            self._parquet.write_table(pa.Table.from_batches(self._pending, self._schema))
            self._pending.clear()
            self._pending_bytes = 0


def has_told_rows(table_uri: str, fragment: Fragment) -> bool:
    """Whether the rows of a fragment's file are those that its description tells of: so many, with these statistics.

    Raises:
        DamagedFile: If the file is no Parquet.
        OSError: If it cannot be read.
    """
    file_uri = join(table_uri, fragment.path)
    schema = read_schema(file_uri)
    scalars = pa.schema([field for field in schema if not pa.types.is_nested(field.type)])
    statistics, augmented = FileStatistics(scalars), 0
    try:
        for rows in read_columns(file_uri, scalars.names):
            statistics.add(rows)
            augmented += _augmented_rows(rows) if has_augmentations(schema) else 0
        return (statistics.to_json(), augmented) == (fragment.statistics, fragment.augmented)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return False  # No table has columns of such types.


def _augmented_rows(rows: pa.RecordBatch) -> int:
    return int(pc.sum(pc.greater(rows.column(AUGMENTATION), 0)).as_py() or 0)


def _open_new(fs: fsspec.AbstractFileSystem, path: str) -> IO[bytes]:
    if isinstance(fs, LocalFileSystem):
        make_folder(Path(path).parent)
    file: IO[bytes] = fs.open(path, "wb")
    return file


class _HashedFile(io.RawIOBase):
    """A file that is written from its beginning to its end, and hashed meanwhile."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        return self._file.write(data)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
