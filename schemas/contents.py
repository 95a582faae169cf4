"""Known contents: where the features of a file's bytes are, so that the same bytes go through the conv base once.

An index of a store takes 16 bytes a row: the first 64 bits of a SHA-256, and the file and row of its features. The
whole hash is compared when the features are read. Random copies of pictures depend on nothing but the bytes and the
number of the copy (`transforms/augmenting.py`), so they are found by both.
"""

import dataclasses
import threading
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable

from schemas.errors import RunFailed
from schemas.storage import file_system, join
from schemas.tables import AUGMENTATION, has_augmentations

# 160 MB of index, and some seconds to read the hashes.
MOST_ROWS: Final = 10_000_000

_KEY_DIGITS: Final = 16
_ROW_BITS: Final = 32

# Odd, so that no two copies of a picture have one key: 2⁶⁴ divided by the golden ratio (Knuth's multiplicative hash).
_AUGMENTATION_STEP: Final = np.uint64(0x9E3779B97F4A7C15)


@dataclasses.dataclass(frozen=True)
class Place:
    """Where features are.

    Attributes:
        file_uri: A Parquet file.
        row: The row in it.
    """

    file_uri: str
    row: int


class KnownContents:
    """An index from the bytes of images, by their SHA-256, to their features. Safe to be used from several threads.

    Held in sorted runs that are merged when they are of similar size (a log-structured merge), so that adding n images
    costs n log n and looking one up log² n.
    """

    def __init__(self) -> None:
        self._file_uris: list[str] = []
        self._runs: list[tuple[np.ndarray, np.ndarray]] = []
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return sum(len(keys) for keys, _ in self._runs)

    def add(
        self, file_uri: str, sha256s: pa.Array | Sequence[str], augmentations: pa.Array | Sequence[int] | None = None
    ) -> None:
        """Adds the rows of a Parquet file.

        Args:
            file_uri: The file.
            sha256s: The hash of each of its rows, in hex, in their order.
            augmentations: The number of the copy that each row is; 0 for all unless given.
        """
        keys = _keys(sha256s)
        if augmentations is not None:
            keys ^= np.asarray(augmentations).astype(np.uint64) * _AUGMENTATION_STEP
        with self._lock:
            self._file_uris.append(file_uri)
            places = np.arange(len(keys)) + (len(self._file_uris) - 1 << _ROW_BITS)
            self._runs.append(_sorted(keys, places))
            while len(self._runs) > 1 and len(self._runs[-2][0]) <= 2 * len(self._runs[-1][0]):
                (keys, places), (more_keys, more_places) = self._runs.pop(), self._runs.pop()
                self._runs.append(_sorted(np.concatenate([keys, more_keys]), np.concatenate([places, more_places])))

    def find(self, sha256: str, augmentation: int = 0) -> Place | None:
        """Returns where the features of an image or of its random copy are, or None if they are not known."""
        (key,) = _keys([sha256]) ^ np.array([augmentation], np.uint64) * _AUGMENTATION_STEP
        with self._lock:
            for keys, places in self._runs:
                index = int(keys.searchsorted(key))
                if index < len(keys) and keys[index] == key:
                    place = int(places[index])
                    return Place(self._file_uris[place >> _ROW_BITS], place & (1 << _ROW_BITS) - 1)
        return None


def _keys(sha256s: pa.Array | Sequence[str]) -> np.ndarray:
    digits = pc.utf8_slice_codeunits(pa.array(sha256s, pa.string()), 0, _KEY_DIGITS)
    if not len(digits):
        return np.empty(0, np.uint64)
    return np.frombuffer(bytes.fromhex(digits.buffers()[2].to_pybytes().decode()), ">u8").astype(np.uint64)


def _sorted(keys: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = keys.argsort(kind="stable")
    return keys[order], places[order]


def read_known_contents(table: DeltaTable, table_uri: str, most_rows: int = MOST_ROWS) -> KnownContents:
    """Reads the index of a snapshot of `features`.

    Args:
        table: The snapshot.
        table_uri: Its folder.
        most_rows: The most rows that are indexed; beyond them, those of the oldest files are not known.
    """
    known = KnownContents()
    columns = ["sha256", *([AUGMENTATION] if has_augmentations(pa.schema(table.schema())) else [])]
    files = pa.table(table.get_add_actions(flatten=True))
    for path in files.sort_by([("modification_time", "descending")])["path"].to_pylist():
        if len(known) >= most_rows:
            break
        fs, file_path = file_system(join(table_uri, path))
        with fs.open(file_path, "rb") as file:
            rows = pq.read_table(file, columns=columns).combine_chunks()
        known.add(join(table_uri, path), *(rows[name].combine_chunks() for name in columns))
    return known


def read_places(
    places: Sequence[Place], sha256s: Sequence[str], columns: Sequence[str]
) -> Iterator[tuple[list[int], pa.Table]]:
    """Reads rows that an index has found, a row group at a time.

    Args:
        places: Where they are.
        sha256s: The whole hash of each.
        columns: The columns to read.

    Yields:
        Indices into `places`, and a table with their rows, in the same order.

    Raises:
        RunFailed: If a row is of another image: two SHA-256 that share their first 64 bits.
    """
    by_file: dict[str, list[int]] = {}
    for index, place in enumerate(places):
        by_file.setdefault(place.file_uri, []).append(index)
    for file_uri, indices in by_file.items():
        fs, path = file_system(file_uri)
        with fs.open(path, "rb") as file:
            parquet = pq.ParquetFile(file)
            first = 0
            for group in range(parquet.num_row_groups):
                after = first + parquet.metadata.row_group(group).num_rows
                here = [index for index in indices if first <= places[index].row < after]
                if here:
                    rows = pa.array([places[index].row - first for index in here])
                    table = parquet.read_row_group(group, columns=["sha256", *columns]).take(rows)
                    if table["sha256"].to_pylist() != [sha256s[index] for index in here]:
                        raise RunFailed(f"{file_uri} holds another image than its hash says; run with --reuse=none.")
                    yield here, table.drop_columns(["sha256"])
                first = after
