"""Listing: sources in, Arrow batches of image refs out, a part at a time. Pure of Beam.

A source is divided without being read whole: folders into the folders in them, Parquet manifests into row groups, lists
of URIs into ranges of bytes. Other manifests are read from their beginning, for only there is known which line breaks
are quoted.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from schemas.classifiers import SPLITS
from transforms.folders import IgnoredFiles
from transforms.sources.source import ListingRules, Source, SourcePart

_PARENT: Final = r"(?:^|/)(?P<split>[^/]*)/(?P<label>[^/]+)/[^/]+$"


def list_part(part: SourcePart, rules: ListingRules, ignored: IgnoredFiles) -> Iterator[pa.RecordBatch]:
    """Lists the images of a part.

    Args:
        part: The part.
        rules: How its source is read.
        ignored: Where the files are counted that are ignored.

    Yields:
        Batches of refs; `version` is null where it has yet to be looked up.

    Raises:
        InvalidInput: If a manifest or a folder cannot be read.
        OSError: If a folder cannot be listed: a listing with holes would pass for the whole.
    """
    yield from _labelled(part.refs(rules, ignored), rules)


def list_source(source: Source, rules: ListingRules, ignored: IgnoredFiles) -> Iterator[pa.RecordBatch]:
    """Lists the images of a source, one part after the other; see `Source.divide` and `list_part`."""
    for part in source.divide(rules, ignored):
        yield from list_part(part, rules, ignored)


def has_image(sources: Iterable[Source], rules: ListingRules) -> bool:
    """Whether the sources hold at least one image; stops at the first.

    Raises:
        InvalidInput: If a manifest or a folder cannot be read.
        OSError: If a folder cannot be listed.
    """
    return any(source.has_image(rules) for source in sources)


def _labelled(batches: Iterator[pa.RecordBatch], rules: ListingRules) -> Iterator[pa.RecordBatch]:
    return map(_labels_from_parent, batches) if rules.labels_from_parent else batches


def _labels_from_parent(batch: pa.RecordBatch) -> pa.RecordBatch:
    found = pc.extract_regex(batch.column("uri"), _PARENT)
    label, split = pc.struct_field(found, "label"), pc.struct_field(found, "split")
    is_known = pc.is_in(split, value_set=pa.array([part.word for part in SPLITS]))
    known_split = pc.if_else(is_known, split, pa.scalar(None, pa.string()))
    for name, values in (("label", label), ("split", known_split)):
        index = batch.schema.get_field_index(name)
        batch = batch.set_column(index, batch.schema.field(index), pc.coalesce(batch.column(index), values))
    return batch
