"""The files of an index: `<store>/indexes/*.cells`, and beside each a `.json` that says what it holds, written last.

An index knows the rows of the table's files by their paths: the number of a vector is that of the first row of its file
in the index, and its row there. Files of a table never change and their names are used once, so that a row counts while
its file is one of the snapshot that is searched. What has left the table cannot come back by an index.
"""

import dataclasses
import datetime
import hashlib
import json
import re
import uuid
from collections.abc import Collection, Iterable, Iterator
from typing import Final

import numpy as np

from schemas.caches import fetched_file
from schemas.delta import find_table
from schemas.errors import RunFailed
from schemas.fragments import TableName
from schemas.search.cells import Cells, check_faiss
from schemas.serialisation import Serialisable, json_object, with_checksum, without_checksum
from schemas.storage import (
    PublishedFile,
    file_system,
    files_below,
    join,
    modified_at,
    read_json_file,
    whole_file,
    write_file,
)

INDEXES: Final = "indexes"
ABOUT: Final = ".json"
CELLS: Final = ".cells"
_CHECKSUM: Final = "index_sha256"


@dataclasses.dataclass(frozen=True)
class IndexedFile(Serialisable):
    """A file of the table whose images are in an index.

    Attributes:
        path: Its path under the table's folder.
        rows: Its rows.
        first: The number of its first row in the index.
    """

    path: str
    rows: int
    first: int

    @property
    def after(self) -> int:
        """The number after that of its last row."""
        return self.first + self.rows


@dataclasses.dataclass(frozen=True)
class StoredIndex(Serialisable):
    """An index of one layer.

    Attributes:
        layer: The feature column.
        table_version: The version of `features` whose images it has.
        images: How many.
        trained_on: How many images there were when its centres were found.
        probes: Into how many cells a search looks.
        recall: The share of nearest neighbours that it then finds, as measured, 0 to 1.
        cells: The file of the cells.
        files: The files of the table whose images it has.
    """

    layer: str
    table_version: int
    images: int
    trained_on: int
    probes: int
    recall: float
    cells: PublishedFile
    files: tuple[IndexedFile, ...]

    @property
    def after(self) -> int:
        """The number after that of the last row of all files."""
        return max((file.after for file in self.files), default=0)

    def covered(self, paths: Collection[str]) -> list[IndexedFile]:
        """Returns the files of a snapshot whose images it has."""
        present = frozenset(paths)
        return [file for file in self.files if file.path in present]


def numbers_of(files: Iterable[IndexedFile], after: int) -> np.ndarray:
    """Returns bool [after], which numbers are those of the rows of some files."""
    mask = np.zeros(after, bool)
    for file in files:
        mask[file.first : file.after] = True
    return mask


@dataclasses.dataclass(frozen=True, eq=False)
class OpenIndex:
    """An index that is open for searches.

    Attributes:
        stored: What it holds.
        cells: Its vectors, which stay in their file.
    """

    stored: StoredIndex
    cells: Cells


def stored_indexes(store_uri: str) -> Iterator[tuple[str, StoredIndex]]:
    """Yields the indexes of a store whose files are there, the newest first, and the names of their `.json`."""
    folder = join(store_uri, INDEXES)
    sizes = {path: info["size"] for path, info in files_below(folder)}
    found = []
    for name in sizes:
        if not name.endswith(ABOUT):
            continue
        try:
            stored = read_about(store_uri, name)
        except (OSError, ValueError):
            continue  # Another index has taken its place, or it is none.
        if sizes.get(stored.cells.path) == stored.cells.size:
            found.append((name, stored))
    yield from sorted(found, key=lambda each: (each[1].table_version, each[0]), reverse=True)


def read_about(store_uri: str, name: str) -> StoredIndex:
    """Reads what an index holds.

    Args:
        store_uri: The store.
        name: The name of its `.json`.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is not what was written.
    """
    values = json_object(read_json_file(join(store_uri, INDEXES, name)))
    return StoredIndex.from_dict(without_checksum(values, _CHECKSUM))


def find_index(store_uri: str, layer: str) -> StoredIndex | None:
    """Returns the newest index of a layer, or None if there is none."""
    return next((stored for _, stored in stored_indexes(store_uri) if stored.layer == layer), None)


def open_index(store_uri: str, layer: str) -> OpenIndex | None:
    """Opens the newest index of a layer for searches, or returns None if there is none.

    Raises:
        UsageError: If faiss, which reads it, is not installed.
        RunFailed: If it is damaged.
    """
    for _, stored in stored_indexes(store_uri):
        if stored.layer == layer:
            check_faiss()
            try:
                return OpenIndex(stored, read_cells(store_uri, stored, mapped=True))
            except FileNotFoundError:
                continue  # Another index has taken its place meanwhile.
    return None


def read_cells(store_uri: str, stored: StoredIndex, *, mapped: bool) -> Cells:
    """Reads the vectors of an index.

    Args:
        store_uri: The store.
        stored: The index.
        mapped: Whether they stay in the file, which only searches allow. Else they are compared with their checksum.

    Raises:
        RunFailed: If the file is not the one that was written.
        FileNotFoundError: If another index has taken its place.
    """
    uri = join(store_uri, INDEXES, stored.cells.path)
    try:
        with fetched_file(uri, stored.cells) as path:
            size = path.stat().st_size
            different = stored.cells.difference_of_size(size) if mapped else stored.cells.difference_of_file(path)
            if different:
                raise ValueError(different)
            return Cells.read(path, stored.probes, mapped=mapped)
    except ValueError as error:
        raise RunFailed(
            f"The index {uri} is damaged ({error}); `python -m pipelines.index STORE --rebuild` makes another one."
        ) from error


def write_index(store_uri: str, cells: Cells, stored: StoredIndex) -> StoredIndex:
    """Writes an index, then what it holds, and removes those of the layer whose place it takes.

    Args:
        store_uri: The store.
        cells: Its vectors.
        stored: What it holds; its file is not known yet.

    Returns:
        What it holds, with its file.

    Raises:
        OSError: If it cannot be written.
    """
    folder = join(store_uri, INDEXES)
    start = re.sub(r"[^\w.-]", "_", stored.layer)
    name = f"{start}-{stored.table_version:012}-{uuid.uuid4().hex[:8]}"
    digest, size = hashlib.sha256(), 0
    with whole_file(join(folder, name + CELLS)) as file:

        def sink(data: bytes) -> None:
            nonlocal size
            file.write(data)
            digest.update(data)
            size += len(data)

        cells.write(sink)
    written = dataclasses.replace(
        stored, cells=PublishedFile(name + CELLS, name + CELLS, size, digest.hexdigest())
    )  # fmt: skip
    before = [each for each in stored_indexes(store_uri) if each[1].layer == stored.layer]
    about = json.dumps(with_checksum(written.to_dict(), _CHECKSUM), sort_keys=True)
    write_file(join(folder, name + ABOUT), about.encode())
    for old_about, old in before:
        if old.table_version <= stored.table_version:
            remove_files(store_uri, (old_about, old.cells.path))
    return written


def remove_files(store_uri: str, names: Collection[str]) -> None:
    """Removes files of indexes; those that are gone already are no matter."""
    for name in names:
        fs, path = file_system(join(store_uri, INDEXES, name))
        try:
            fs.rm_file(path)
        except FileNotFoundError:
            continue


def abandoned_files(store_uri: str, present: Collection[str], since: datetime.datetime) -> Iterator[tuple[str, int]]:
    """Yields files of indexes that hold what has left the table, and those of no index, and their bytes.

    An index of a version that the table does not have, for the end of its log was lost, goes too: it would be taken for
    the newest one.

    Args:
        store_uri: The store.
        present: The paths of all files that are left under the folder of `features`, whatever version they are of.
        since: Files of no index that are younger may be of one that is being written.
    """
    folder = join(store_uri, INDEXES)
    paths = frozenset(present)
    indexes = list(stored_indexes(store_uri))
    table = find_table(join(store_uri, TableName.FEATURES))
    newest = -1 if table is None else table.version()
    held = {
        name: stored.table_version <= newest and all(file.path in paths for file in stored.files)
        for about, stored in indexes
        for name in (about, stored.cells.path)
    }
    files = dict(files_below(folder))
    for name in sorted(files, key=lambda name: not name.endswith(ABOUT)):
        if not held[name] if name in held else modified_at(files[name]) <= since:
            yield join(folder, name), files[name]["size"]
