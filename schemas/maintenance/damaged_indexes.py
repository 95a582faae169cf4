"""Damaged indexes: such as are not what was written, or do not fit the table that they are of; and removing them.

Nothing is lost with an index: `pipelines.index` makes another one.
"""

import dataclasses
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from deltalake import DeltaTable
from fsspec.implementations.local import LocalFileSystem

from schemas.delta import files_of, find_table
from schemas.errors import first_line
from schemas.fragments import TableName
from schemas.search import (
    ABOUT,
    CELLS,
    INDEXES,
    Cells,
    StoredIndex,
    is_faiss_installed,
    numbers_of,
    read_about,
    remove_files,
)
from schemas.storage import file_system, files_below, join


@dataclasses.dataclass(frozen=True)
class IndexDamage:
    """What is wrong with an index.

    Attributes:
        path: The file that it is said of, under the folder of indexes.
        how: What is wrong with it.
    """

    path: str
    how: str


@dataclasses.dataclass(frozen=True)
class CheckedIndexes:
    """What checking the indexes of a store found.

    Attributes:
        indexes: How many there are.
        damages: Those that are damaged.
        outdated: Rows that have left the table, and whose features are in whole indexes until these follow it.
    """

    indexes: int
    damages: tuple[IndexDamage, ...]
    outdated: int


class _Known(NamedTuple):
    """What the table says: its newest version, and rows by the paths of its files, None where it does not say."""

    newest: int
    rows: Mapping[str, int | None]


def check_indexes(store_uri: str, *, deep: bool = False) -> CheckedIndexes:
    """Checks the indexes of a store: what they say of themselves, their files, the version and rows that they are of.

    Args:
        store_uri: The store.
        deep: Whether their vectors are read and compared with their checksum, and counted where faiss is installed.
    """
    sizes = {path: info["size"] for path, info in files_below(join(store_uri, INDEXES))}
    # Opened after the indexes were listed, so that it has every version of which there is one.
    table = find_table(join(store_uri, TableName.FEATURES))
    known = _Known(-1, {}) if table is None else _known(table)
    abouts = sorted(name for name in sizes if name.endswith(ABOUT))
    damages, outdated = list[IndexDamage](), 0
    for about in abouts:
        try:
            stored = read_about(store_uri, about)
        except FileNotFoundError:
            continue  # Another index has taken its place.
        except ValueError as error:
            damages.append(IndexDamage(about, f"it is not what was written: {first_line(error).rstrip('.')}"))
            continue
        damage = _damage(store_uri, about, stored, known, sizes.get(stored.cells.path), deep=deep)
        if damage is None:
            outdated += sum(file.rows for file in stored.files if file.path not in known.rows)
        elif _is_there(store_uri, about):
            damages.append(damage)
    return CheckedIndexes(len(abouts), tuple(damages), outdated)


def remove_damaged(store_uri: str, damages: Iterable[IndexDamage]) -> None:
    """Removes damaged indexes, the files of each."""
    for damage in damages:
        name = damage.path.removesuffix(ABOUT).removesuffix(CELLS)
        remove_files(store_uri, (name + ABOUT, name + CELLS))


def _damage(
    store_uri: str, about: str, stored: StoredIndex, known: _Known, size: int | None, *, deep: bool
) -> IndexDamage | None:
    """Returns what is wrong with an index, or None.

    Args:
        store_uri: The store.
        about: The name of its `.json`.
        stored: What that says.
        known: The table.
        size: The bytes of the file of its vectors; None if that is missing.
        deep: Whether that is read.
    """
    how = _difference_from_table(stored, known)
    if how:
        return IndexDamage(about, how)
    how = "it is missing" if size is None else stored.cells.difference_of_size(size)
    if how is None and deep:
        try:
            how = _difference_of_content(store_uri, stored)
        except FileNotFoundError:
            how = "it is missing"
    return IndexDamage(stored.cells.path, how) if how else None


def _known(table: DeltaTable) -> _Known:
    files = files_of(table).select(["path", "num_records"]).to_pylist()
    return _Known(table.version(), {file["path"]: file["num_records"] for file in files})


def _difference_from_table(stored: StoredIndex, known: _Known) -> str | None:
    """Returns how an index does not fit its table, or None."""
    if stored.table_version > known.newest:
        return f"it is of version {stored.table_version} of features, of which {known.newest} is the newest"
    for file in stored.files:
        found = known.rows.get(file.path)
        if found not in {None, file.rows}:
            return f"it takes {file.path} for a file of {file.rows:,} rows, which has {found:,}"
    named = sum(file.rows for file in stored.files)
    return f"it has {stored.images:,} images, and its files have {named:,} rows" if stored.images > named else None


def _difference_of_content(store_uri: str, stored: StoredIndex) -> str | None:
    """Reads the vectors from the store, whatever this machine has kept of them."""
    fs, path = file_system(join(store_uri, INDEXES, stored.cells.path))
    with tempfile.NamedTemporaryFile() as copy:
        if not isinstance(fs, LocalFileSystem):
            fs.get_file(path, copy.name)
            path = copy.name
        how = stored.cells.difference_of_file(Path(path))
        if how or not is_faiss_installed():
            return how
        try:
            return _difference_of_rows(Cells.read(Path(path), stored.probes, mapped=True), stored)
        except ValueError as error:
            return f"it cannot be opened: {first_line(error).rstrip('.')}"


def _difference_of_rows(cells: Cells, stored: StoredIndex) -> str | None:
    """Returns how the vectors are others than those of the images that the index says it has."""
    if len(cells) != stored.images:
        return f"it has {len(cells):,} images, {stored.images:,} were written"
    numbers = np.concatenate([np.empty(0, np.int64), *cells.by_cell()])
    of_files = numbers_of(stored.files, stored.after)
    is_known = (numbers >= 0) & (numbers < len(of_files))
    is_known[is_known] = of_files[numbers[is_known]]
    left = np.count_nonzero(~is_known)
    if left:
        return f"it has features of {left:,} rows that have left the table"
    repeated = len(numbers) - len(np.unique(numbers))
    return f"it has {repeated:,} rows twice" if repeated else None


def _is_there(store_uri: str, name: str) -> bool:
    fs, path = file_system(join(store_uri, INDEXES, name))
    fs.invalidate_cache()
    return bool(fs.exists(path))
