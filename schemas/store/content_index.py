"""Known contents: where the features of a file's bytes are, so that the same bytes go through the conv base once.

An index of a store takes 16 bytes a row: the first 64 bits of a SHA-256, and the file and row of its features. The
whole hash is compared when the features are read. Augmented copies of pictures depend on nothing but the bytes and the
number of the copy (`transforms/images/augmentation.py`), so they are found by both.
"""

import dataclasses
import threading
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from schemas.delta import files_of
from schemas.errors import RunFailed
from schemas.storage import join, read_columns, read_rows
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

    A sorted array holds the rows of the store, and a dictionary those that the run has added since. When the dictionary
    is large, its rows are sorted into the array.
    """

    def __init__(
        self, file_uris: Sequence[str] = (), keys: Sequence[np.ndarray] = (), most_recent: int = 2**18
    ) -> None:
        """Indexes Parquet files.

        Args:
            file_uris: The files.
            keys: uint64 [rows] for each of them, as `content_keys` returns them.
            most_recent: Rows of the run that are held in a dictionary, at about 110 bytes each, before they are sorted
                among the others.
        """
        self._most_recent = most_recent
        self._file_uris = list(file_uris)
        self._keys = np.empty(0, np.uint64)
        self._places = np.empty(0, np.int64)
        self._recent: dict[int, int] = {}
        self._lock = threading.Lock()
        self._sort_in(keys, [_places(file, len(rows)) for file, rows in enumerate(keys)])

    def __len__(self) -> int:
        return len(self._keys) + len(self._recent)

    def add(
        self, file_uri: str, sha256s: pa.Array | Sequence[str], augmentations: pa.Array | Sequence[int] | None = None
    ) -> None:
        """Adds the rows of a Parquet file that the run has written.

        Args:
            file_uri: The file.
            sha256s: The hash of each of its rows, in hex, in their order.
            augmentations: The number of the copy that each row is; 0 for all unless given.
        """
        keys = content_keys(sha256s, augmentations)
        with self._lock:
            self._file_uris.append(file_uri)
            places = _places(len(self._file_uris) - 1, len(keys))
            self._recent.update(zip(keys.tolist(), places.tolist(), strict=True))
            if len(self._recent) > self._most_recent:
                keys, places = np.array([*self._recent], np.uint64), np.array([*self._recent.values()], np.int64)
                self._sort_in([keys], [places])
                self._recent.clear()

    def find(self, sha256: str, augmentation: int = 0) -> Place | None:
        """Returns where the features of an image or of its augmented copy are, or None if they are not known."""
        key = int(sha256[:_KEY_DIGITS], 16) ^ augmentation * int(_AUGMENTATION_STEP) % 2**64
        with self._lock:
            place = self._recent.get(key)
            if place is None:
                index = int(self._keys.searchsorted(np.uint64(key)))
                if index == len(self._keys) or int(self._keys[index]) != key:
                    return None
                place = int(self._places[index])
            return Place(self._file_uris[place >> _ROW_BITS], place & (1 << _ROW_BITS) - 1)

    def _sort_in(self, keys: Sequence[np.ndarray], places: Sequence[np.ndarray]) -> None:
        all_keys, all_places = np.concatenate([self._keys, *keys]), np.concatenate([self._places, *places])
        order = all_keys.argsort(kind="stable")
        self._keys, self._places = all_keys[order], all_places[order]


def _places(file: int, rows: int) -> np.ndarray:
    return np.arange(rows) + (file << _ROW_BITS)


def content_keys(
    sha256s: pa.Array | Sequence[str], augmentations: pa.Array | Sequence[int] | None = None
) -> np.ndarray:
    """Returns the keys by which rows are found: uint64 [n].

    Args:
        sha256s: The hash of each row, in hex.
        augmentations: The number of the copy that each row is; 0 for all unless given.
    """
    digits = pc.utf8_slice_codeunits(pa.array(sha256s, pa.string()), 0, _KEY_DIGITS)
    if not len(digits):
        return np.empty(0, np.uint64)
    keys = np.frombuffer(bytes.fromhex(digits.buffers()[2].to_pybytes().decode()), ">u8").astype(np.uint64)
    return keys if augmentations is None else keys ^ np.asarray(augmentations).astype(np.uint64) * _AUGMENTATION_STEP


def read_known_contents(table: DeltaTable, table_uri: str, most_rows: int = MOST_ROWS) -> KnownContents:
    """Reads the index of a snapshot of `features`.

    Args:
        table: The snapshot.
        table_uri: Its folder.
        most_rows: The most rows that are indexed; beyond them, those of the oldest files are not known.
    """
    columns = ["sha256", *([AUGMENTATION] if has_augmentations(pa.schema(table.schema())) else [])]
    file_uris: list[str] = []
    keys: list[np.ndarray] = []
    rows_left = most_rows
    for path in files_of(table).sort_by([("modification_time", "descending")])["path"].to_pylist():
        if rows_left <= 0:
            break
        file_uris.append(join(table_uri, path))
        parts = [content_keys(*rows.columns) for rows in read_columns(file_uris[-1], columns)]
        keys.append(np.concatenate([np.empty(0, np.uint64), *parts]))
        rows_left -= len(keys[-1])
    return KnownContents(file_uris, keys)


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
        for found, table in read_rows(file_uri, [places[index].row for index in indices], ["sha256", *columns]):
            here = [indices[number] for number in found]
            if table["sha256"].to_pylist() != [sha256s[index] for index in here]:
                raise RunFailed(f"{file_uri} holds another image than its hash says; run with --reuse=none.")
            yield here, table.drop_columns(["sha256"])
