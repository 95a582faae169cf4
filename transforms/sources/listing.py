"""Listing: sources in, Arrow batches of image refs out, a part at a time. Pure of Beam.

A source is divided without being read whole: folders into the folders in them, Parquet manifests into row groups, lists
of URIs into ranges of bytes. Other manifests are read from their beginning, for only there is known which line breaks
are quoted.
"""

import contextlib
from collections.abc import Iterator

import pyarrow as pa

from schemas.errors import ImageError
from schemas.storage import image_errors
from transforms.folders import IgnoredFiles
from transforms.source_kinds import ListingRules, Source, SourcePart, parent_annotations
from transforms.sources.signed_uris import without_signatures


def divide(source: Source, rules: ListingRules, ignored: IgnoredFiles) -> Iterator[SourcePart]:
    """Divides a source into parts; see `Source.divide`.

    Raises:
        InvalidInput: If it cannot be read.
        OSError: If a folder cannot be listed, whatever its file system raises for that.
    """
    with _os_errors():
        yield from source.divide(rules, ignored)


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
    with _os_errors():
        yield from map(without_signatures, _labelled(part.refs(rules, ignored), rules))


@contextlib.contextmanager
def _os_errors() -> Iterator[None]:
    """Raises what a file system raises, of whatever package it is, as an `OSError`."""
    try:
        with image_errors():
            yield
    except ImageError as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from None
        raise OSError(f"The input cannot be listed. {error.message}") from error


def list_source(source: Source, rules: ListingRules, ignored: IgnoredFiles) -> Iterator[pa.RecordBatch]:
    """Lists the images of a source, one part after the other; see `Source.divide` and `list_part`."""
    for part in divide(source, rules, ignored):
        yield from list_part(part, rules, ignored)


def _labelled(batches: Iterator[pa.RecordBatch], rules: ListingRules) -> Iterator[pa.RecordBatch]:
    return map(parent_annotations, batches) if rules.labels_from_parent else batches
