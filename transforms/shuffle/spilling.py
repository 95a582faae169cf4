"""Spilling: record batches put aside in files of this machine, so that only where they are need be held in memory.

Where all workers are processes of one machine there is no engine that would put a shuffle on a disk: Beam's own runner
holds it in memory, up to three times.
"""

import dataclasses
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from transforms.shuffle.packing import pack, unpack


@dataclasses.dataclass(frozen=True, slots=True)
class Spilled:
    """Where a record batch is.

    Attributes:
        path: The file.
        start: The first of its bytes there.
        size: How many they are.
    """

    path: str
    start: int
    size: int

    def read(self) -> pa.RecordBatch:
        """Returns the batch."""
        with Path(self.path).open("rb") as file:
            file.seek(self.start)
            return unpack(file.read(self.size))


class SpillFile:
    """A file of batches, and its only writer. What `add` returns can be read at once, in any process."""

    def __init__(self, folder: str) -> None:
        """Makes the file; the owner of the folder removes it."""
        self._file = tempfile.NamedTemporaryFile(dir=folder, delete=False)  # noqa: SIM115 (see `close`)
        self._end = 0

    def add(self, batch: pa.RecordBatch) -> Spilled:
        """Writes a batch, and returns where it is.

        Raises:
            OSError: If the disk is full.
        """
        packed = pack(batch)
        self._file.write(packed)
        self._file.flush()
        spilled = Spilled(self._file.name, self._end, len(packed))
        self._end += len(packed)
        return spilled

    def close(self) -> None:
        """Closes the file; it stays."""
        self._file.close()


def read_spilled(batches: Iterable[pa.RecordBatch | Spilled]) -> Iterator[pa.RecordBatch]:
    """Yields batches, read where they were put aside."""
    for batch in batches:
        yield batch.read() if isinstance(batch, Spilled) else batch
