"""Hash partitions of URIs, and the order in them: images are distinguished within one, so that no step needs all.

Batches are gathered before they are split, so that the pieces stay worth their overhead. Members of archives stay
together, so that a shard has those of few archives.
"""

import collections
import itertools
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from schemas.images import PLACE
from schemas.storage import MEMBER_PROTOCOLS
from transforms.shuffle.packing import pack

PARTITIONS: Final = 32
# Where workers share them: a billion images are a million a partition.
PARTITIONS_OF_WORKERS: Final = 1024

# Of one partition, planning holds both sides and their join: some 50 MB.
_IMAGES_PER_PARTITION: Final = 2**16
_ROWS_GATHERED: Final = 2**18

# A member of an archive without its own name: the folder in the archive, and the archive; where it is in that.
_IN_ARCHIVE: Final = f"^(?:{'|'.join(sorted(MEMBER_PROTOCOLS))})://"
_LINK: Final = r"::(?:[A-Za-z0-9+.-]+://|[a-z]+cache::)"
_MEMBER: Final = rf"(?s)({_IN_ARCHIVE}(?:.*/)?)[^/]*?({_LINK}.*)$"
_ARCHIVE: Final = rf"(?s){_IN_ARCHIVE}.*?(?P<archive>{_LINK}.*)$"
_OFFSET: Final = r"^[a-z]+:(?P<offset>\d+)"

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
    """Returns the partition of each URI: uint16 [n], from 0 to below `partitions`.

    Members of a folder of an archive are in the same one, so that whoever reads them reads few archives.
    """
    if pc.any(pc.match_substring_regex(uris, _IN_ARCHIVE)).as_py():
        uris = pc.replace_substring_regex(uris, _MEMBER, r"\1\2")
    hashes = pd.util.hash_array(uris.to_numpy(zero_copy_only=False).astype(object), categorize=False)
    return (hashes % partitions).astype(np.uint16)


def in_reading_order(refs: pa.RecordBatch) -> pa.RecordBatch:
    """Returns refs ordered by URI; members of archives an archive after the other, as they follow each other there."""
    uris = refs.column("uri")
    if PLACE not in refs.schema.names or not pc.any(pc.match_substring_regex(uris, _IN_ARCHIVE)).as_py():
        return refs.sort_by("uri")
    archives = pc.struct_field(pc.extract_regex(uris, _ARCHIVE), "archive")
    offsets = pc.struct_field(pc.extract_regex(refs.column(PLACE), _OFFSET), "offset").cast(pa.int64())
    keys = pa.table({"archive": archives, "offset": offsets, "uri": uris})
    return refs.take(pc.sort_indices(keys, [(name, "ascending") for name in keys.column_names]))


def by_partition(batches: Iterable[pa.RecordBatch]) -> dict[int, list[bytes]]:
    """Splits batches into the hash partitions of their URIs; returns the pieces packed, some 30 bytes an image."""
    pieces: collections.defaultdict[int, list[bytes]] = collections.defaultdict(list)
    partitioner = Partitioner()
    ready = itertools.chain.from_iterable(map(partitioner.add, batches))
    for partition, piece in itertools.chain(ready, partitioner.rest()):
        pieces[partition].append(pack(piece))
    return pieces
