"""A snapshot of a table as a PyArrow dataset: its files, of which nothing is read yet, and their row groups."""

import functools
import operator
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pa_fs
from deltalake import DeltaTable
from fsspec.implementations.local import LocalFileSystem

from schemas.delta.opening import files_of
from schemas.storage import file_system


class ScannedFile(NamedTuple):
    """A file of a snapshot.

    Attributes:
        path: Its path under the table's folder.
        rows: Its rows.
    """

    path: str
    rows: int


def dataset_of(table: DeltaTable) -> tuple[tuple[ScannedFile, ...], ds.FileSystemDataset]:
    """Returns the files of a snapshot, and these as a PyArrow dataset.

    `DeltaTable.to_pyarrow_dataset` does the same, but takes a column for which a file has no statistics (one that was
    added to the table later) for one without values, and reads local files through Rust and the GIL.
    """
    schema = pa.schema(table.schema())
    fs, root = _arrow_file_system(unquote(table.table_uri).rstrip("/"))
    checked = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
    parquet = ds.ParquetFileFormat(default_fragment_scan_options=checked)
    files = files_of(table).to_pylist()
    fragments = [
        parquet.make_fragment(f"{root}/{file['path']}", fs, _partition_expression(file, schema)) for file in files
    ]
    counts = (
        fragment.count_rows() if file["num_records"] is None else file["num_records"]
        for file, fragment in zip(files, fragments, strict=True)
    )
    scanned = tuple(ScannedFile(file["path"], int(rows)) for file, rows in zip(files, counts, strict=True))
    return scanned, ds.FileSystemDataset(fragments, schema, parquet, fs)


def _arrow_file_system(uri: str) -> tuple[pa_fs.FileSystem, str]:
    fs, path = file_system(uri)
    if isinstance(fs, LocalFileSystem):
        return pa_fs.LocalFileSystem(use_mmap=True), path
    return pa_fs.PyFileSystem(pa_fs.FSSpecHandler(fs)), path


def _partition_expression(file: Mapping[str, object], schema: pa.Schema) -> pc.Expression:
    values = {name.partition(".")[2]: value for name, value in file.items() if name.startswith("partition.")}
    return functools.reduce(
        operator.and_,
        (pc.field(name) == pa.scalar(value, schema.field(name).type) for name, value in values.items()),
        pc.scalar(True),
    )


def of_fragments(dataset: ds.FileSystemDataset, fragments: Sequence[ds.Fragment]) -> ds.FileSystemDataset:
    """Returns a dataset of some of the fragments of another one."""
    return ds.FileSystemDataset(fragments, dataset.schema, dataset.format, dataset.filesystem)


def row_groups_of(dataset: ds.FileSystemDataset) -> list[ds.ParquetFileFragment]:
    """Returns the row groups of a dataset, in their order; the footers of its files are read."""
    return [group for file in dataset.get_fragments() for group in file.split_by_row_group()]
