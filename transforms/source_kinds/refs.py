"""Refs of files that were found, and of batches that were packed on the way."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator

import pyarrow as pa

from schemas.images import PLACE, PROBLEM, REFS_PER_BATCH, SIZE
from schemas.storage import MemberUri
from transforms.archives import ArchiveFile
from transforms.folders import FoundFile, IgnoredFiles
from transforms.shuffle import pack, unpack
from transforms.source_kinds.source import ListingRules, SourcePart


def ref_batches(files: Iterable[FoundFile], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Gathers files into batches of `REFS_PER_BATCH`; their other columns are null."""
    names = ("uri", "version", SIZE, PROBLEM, PLACE)
    remaining = iter(files)
    while found := list(itertools.islice(remaining, REFS_PER_BATCH)):
        values = dict(zip(names, zip(*found, strict=True), strict=True))
        columns = [
            pa.array(values[field.name], field.type) if field.name in values else pa.nulls(len(found), field.type)
            for field in schema
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def rest_of_archive(protocol: str, archive_uri: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yields a ref of what cannot be read of an archive: what is wrong is found again by whoever fetches it."""
    version = ArchiveFile(archive_uri).version()
    yield from ref_batches([FoundFile(str(MemberUri(protocol, "", archive_uri)), version, None)], schema)


@dataclasses.dataclass(frozen=True)
class PackedRefs(SourcePart):
    """Refs that were met while a source was divided.

    Attributes:
        packed: A batch of them, as `pack` makes it.
    """

    packed: bytes

    @classmethod
    def of(cls, batch: pa.RecordBatch) -> "PackedRefs":
        """Packs a batch."""
        return cls(pack(batch))

    def refs(self, _rules: ListingRules, _ignored: IgnoredFiles) -> Iterator[pa.RecordBatch]:
        """Yields the batch."""
        yield unpack(self.packed)
