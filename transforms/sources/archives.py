"""Finding archives: where one is named, or a glob or a folder of them."""

import dataclasses
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Final, TypeGuard

import pyarrow as pa
import pyarrow.compute as pc
from fsspec.core import has_magic

from schemas.errors import InputNotFound, InvalidInput, shown
from schemas.images import PROBLEM
from schemas.storage import MemberUri, input_file_system, uri_builder
from transforms.archives import ARCHIVE_EXTENSIONS, archive_protocol, record_columns, sample_columns
from transforms.folders import IgnoredFiles
from transforms.manifests import named_format
from transforms.source_kinds import ArchiveSource, FolderSource, GlobSource, ListingRules, Source, TFRecordSource

_NUMBER: Final = re.compile(r"\d+")


def archive_source(named: MemberUri) -> ArchiveSource:
    """Returns an archive, or what of it is named, as a source."""
    return ArchiveSource(str(named) if named.name else named.archive_uri, named)


def archives_at(named: MemberUri) -> Sequence[ArchiveSource]:
    """Returns the archives of what is named in their members' own form, as in `zip://*.jpg::file:///a.zip`.

    Raises:
        InputNotFound: If there are none.
        InvalidInput: If it is a manifest in an archive.
    """
    if named_format(named.name) is not None and not has_magic(named.name):
        raise InvalidInput(f"The manifest {shown(str(named))} is in an archive, where none is read; unpack it.")
    fs, path = input_file_system(named.archive_uri)
    if fs.isfile(path):
        return [archive_source(named)]
    found = fs.glob(path) if has_magic(path) else []
    if not found:
        raise InputNotFound(f"There is no archive at {shown(named.archive_uri)}.")
    to_uri = uri_builder(named.archive_uri, fs)
    return [archive_source(named._replace(archive_uri=to_uri(name))) for name in sorted(found)]


def archives_in(files: FolderSource | GlobSource, rules: ListingRules) -> Sequence[ArchiveSource]:
    """Returns the archives of a folder, by name, or those of a glob that takes nothing else."""
    named = [(archive_protocol(uri), uri) for uri in sorted(_uris(files, rules))]
    if isinstance(files, GlobSource) and not all(protocol for protocol, _ in named):
        return []  # It takes pictures too.
    return [archive_source(MemberUri(protocol, "", uri)) for protocol, uri in named if protocol]


def begins_with_archive(files: GlobSource, rules: ListingRules) -> bool:
    """Whether the first file that a glob takes is named like an archive."""
    return any(map(archive_protocol, itertools.islice(_uris(files, rules), 1)))


def with_columns(sources: Sequence[Source], rules: ListingRules) -> Iterator[Source]:
    """Yields the sources of an input, tar archives and files of records with the columns of what these say of pictures.

    Shards of a data set have the columns of its first one: they are told to be one by their names without the numbers.

    Raises:
        InvalidInput: If the first one lacks a column that was named.
        OSError: What a file system raises if an archive cannot be read.
    """
    columns: dict[str, tuple[pa.Field, ...]] = {}
    for source in sources:
        if not _has_columns(source):
            yield source
            continue
        data_set = _NUMBER.sub("", source.uri)
        if data_set not in columns:
            columns[data_set] = _columns_of(source, rules)
        yield dataclasses.replace(source, columns=columns[data_set])


def _has_columns(source: Source) -> TypeGuard[ArchiveSource | TFRecordSource]:
    is_tar = isinstance(source, ArchiveSource) and source.named.protocol == "tar"
    return is_tar or isinstance(source, TFRecordSource)


def _columns_of(source: ArchiveSource | TFRecordSource, rules: ListingRules) -> tuple[pa.Field, ...]:
    if isinstance(source, TFRecordSource):
        return record_columns(source.uri, source.features)
    return sample_columns(*source.named[::2], rules.extensions)


def _uris(files: FolderSource | GlobSource, rules: ListingRules) -> Iterator[str]:
    listing = dataclasses.replace(rules, extensions=ARCHIVE_EXTENSIONS)
    ignored = IgnoredFiles()
    for part in files.divide(listing, ignored):
        for batch in part.refs(listing, ignored):
            yield from batch.filter(pc.is_null(batch.column(PROBLEM))).column("uri").to_pylist()
