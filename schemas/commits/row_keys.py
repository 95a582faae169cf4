"""`RowKeys`: the keys of many rows, of which others are looked up; 16 bytes a row in memory."""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

# Of SipHash, each of 16 bytes.
_SALTS: Final = ("first of the two", "second of them..")


class RowKeys:
    """The (uri, version) of rows as hashes of 128 bits.

    Of ten million keys and ten million others the chance that any two that differ are taken for the same is 1e-24.
    """

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Takes keys.

        Args:
            batches: Rows with the columns `uri` and `version`.
        """
        self._sort([_hashes(batch) for batch in batches if batch.num_rows])

    @classmethod
    def joined(cls, parts: "Iterable[RowKeys]") -> "RowKeys":
        """Returns the keys of all parts."""
        keys = cls([])
        keys._sort([np.stack([part._first, part._second]) for part in parts])
        return keys

    def _sort(self, hashes: Sequence[np.ndarray]) -> None:
        first, second = np.concatenate(hashes, axis=1) if hashes else np.empty((2, 0), np.uint64)
        order = np.argsort(first, kind="stable")
        self._first, self._second = first[order], second[order]

    def __len__(self) -> int:
        return len(self._first)

    def have(self, rows: pa.RecordBatch) -> np.ndarray:
        """Says of which rows the keys are among these: bool [n]."""
        if not len(self):
            return np.zeros(rows.num_rows, bool)
        first, second = _hashes(rows)
        places = np.minimum(np.searchsorted(self._first, first), len(self) - 1)
        found: np.ndarray = (self._first[places] == first) & (self._second[places] == second)
        return found


def _hashes(rows: pa.RecordBatch) -> np.ndarray:
    """Returns two hashes of each row's key: uint64 [2, n]."""
    # No file's name has a NUL in it.
    keys = pc.binary_join_element_wise(rows.column("uri"), rows.column("version"), "\0")
    values = keys.to_numpy(zero_copy_only=False)
    return np.stack([pd.util.hash_array(values, hash_key=salt, categorize=False) for salt in _SALTS])
