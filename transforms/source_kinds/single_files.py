"""Single images, named by their URIs."""

import dataclasses
from collections.abc import Iterator

import pyarrow as pa

from schemas.errors import shown
from schemas.images import listed_version
from schemas.storage import input_file_system
from transforms.folders import FoundFile, IgnoredFiles
from transforms.source_kinds.refs import ref_batches
from transforms.source_kinds.source import ListingRules, Source, SourcePart


@dataclasses.dataclass(frozen=True)
class FileSource(Source, SourcePart):
    """One image: a source that is its only part."""

    uri: str

    def divide(self, _rules: ListingRules, _ignored: IgnoredFiles) -> Iterator[SourcePart]:
        """Yields itself."""
        yield self

    def refs(self, rules: ListingRules, _: IgnoredFiles) -> Iterator[pa.RecordBatch]:
        """Yields it."""
        fs, path = input_file_system(self.uri)
        info = fs.info(path)
        return ref_batches([FoundFile(self.uri, listed_version(info), info.get("size"))], rules.schema)

    def without_image(self, _: ListingRules) -> str:
        """Says so, though there is one."""
        return f"There is no image at {shown(self.uri)}."
