"""Hash partitions of URIs: images are distinguished within one of them, so that no step ever needs all of them at once.

Batches are gathered before they are split, so that the pieces stay worth their overhead.
"""

import collections
import itertools
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa

from transforms.shuffle.packing import pack

PARTITIONS: Final = 32
# Where workers share them: a billion images are a million a partition.
PARTITIONS_OF_WORKERS: Final = 1024

# Of one partition, planning holds both sides and their join: some 50 MB.
_IMAGES_PER_PARTITION: Final = 2**16
_ROWS_GATHERED: Final = 2**18

Piece: TypeAlias = tuple[int, pa.RecordBatch]


def partitions_of(images: int) -> int:
    """Returns how many partitions so many images are worth where they come one after the other."""
    return min(max(PARTITIONS, images // _IMAGES_PER_PARTITION), PARTITIONS_OF_WORKERS)


class Partitioner:
    """Splits batches by a hash of their URIs that is the same in every process."""

    def __init__(self, partitions: int = PARTITIONS) -> None:
        """Takes the number of partitions."""
        self._partitions = partitions
        self._batches: list[pa.RecordBatch] = []
        self._rows = 0

    def add(self, batch: pa.RecordBatch) -> Iterator[Piece]:
        """Takes a batch, and yields what is ready: numbers of partitions, and rows that belong there."""
        self._batches.append(batch)
        self._rows += batch.num_rows
        if self._rows >= _ROWS_GATHERED:
            yield from self.rest()

    def rest(self) -> Iterator[Piece]:
        """Yields all that is left."""
        if not self._rows:
            return
        together = pa.Table.from_batches(self._batches).combine_chunks().to_batches()[0]
        self._batches.clear()
        self._rows = 0
        numbers = partition_numbers(together.column("uri"), self._partitions)
        order = np.argsort(numbers, kind="stable")
        found, starts = np.unique(numbers[order], return_index=True)
        for number, rows in zip(found, np.split(order, starts[1:]), strict=True):
            yield int(number), together.take(pa.array(rows))


def partition_numbers(uris: pa.StringArray, partitions: int) -> np.ndarray:
    """Returns the partition of each URI: uint16 [n], from 0 to below `partitions`."""
    hashes = pd.util.hash_array(uris.to_numpy(zero_copy_only=False).astype(object), categorize=False)
    return (hashes % partitions).astype(np.uint16)


def by_partition(batches: Iterable[pa.RecordBatch]) -> dict[int, list[bytes]]:
    """Splits batches into the hash partitions of their URIs; returns the pieces packed, some 30 bytes an image."""
    pieces: collections.defaultdict[int, list[bytes]] = collections.defaultdict(list)
    partitioner = Partitioner()
    ready = itertools.chain.from_iterable(map(partitioner.add, batches))
    for partition, piece in itertools.chain(ready, partitioner.rest()):
        pieces[partition].append(pack(piece))
    return pieces
