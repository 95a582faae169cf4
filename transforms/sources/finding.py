"""Finding out what inputs are, without listing them whole."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from urllib.parse import unquote

import fsspec
import pyarrow as pa
from fsspec.core import has_magic

from schemas.annotations import LABELS
from schemas.errors import ImageError, InputNotFound, InvalidInput, shown, shown_names
from schemas.storage import (
    MemberUri,
    canonical_uri,
    image_errors,
    input_file_system,
    is_chained,
    is_in_a_bucket,
    is_on_the_web,
    member_uri,
    uri_builder,
    use_storage,
    without_query,
)
from transforms.archives import archive_protocol, archive_protocol_of, is_tfrecord, refuse_other_archives
from transforms.manifests import (
    ManifestFormat,
    ManifestOptions,
    NamedFormat,
    Partition,
    UriRules,
    file_name,
    folder_of,
    look_at_manifest,
    named_format,
    refuse_other_tables,
    with_chosen_columns,
)
from transforms.source_kinds import (
    EXTENSIONS,
    FileSource,
    FolderSource,
    GlobSource,
    ListingRules,
    ManifestSource,
    Source,
    image_table,
    with_tables,
)
from transforms.sources.archives import archive_source, archives_at, archives_in, begins_with_archive, with_columns
from transforms.sources.braces import expanded
from transforms.sources.data_sets import (
    PARQUET,
    data_sets_in,
    is_named_as_records,
    record_source,
    records_in,
)
from transforms.sources.first_look import why_unreachable

_HEAD_BYTES: Final = 2**12
_PARQUET_BEGINS: Final = b"PAR1"
_DONE: Final = "_SUCCESS"
_HIVE_NULL: Final = "__HIVE_DEFAULT_PARTITION__"


def find_sources(
    uris: Iterable[str], options: ManifestOptions | None = None, rules: ListingRules | None = None
) -> list[Source]:
    """Looks at inputs.

    Args:
        uris: The inputs; of braces in their names each alternative is one.
        options: How manifests among them are read.
        rules: Which files of a folder are images: one without any is looked through for archives.

    Raises:
        InputNotFound: If there is nothing at one.
        InvalidInput: If one cannot be read, or is a manifest that lacks a column that is wanted, or has one that
            cannot be carried along.
    """
    given = options or ManifestOptions()
    listing = rules or ListingRules()
    use_storage(listing.storage)
    return [source for uri in uris for source in _find_sources(uri, given, listing)]


def _find_sources(uri: str, options: ManifestOptions, rules: ListingRules) -> Sequence[Source]:
    try:
        with image_errors():
            found = [source for named in expanded(uri) for source in _sources_at(named, options, rules)]
            return list(with_columns(found, rules))
    except ImageError as error:
        raise InvalidInput(f"The input {shown(uri)} cannot be read. {shown(error.message, 200)}") from error


def _sources_at(uri: str, options: ManifestOptions, rules: ListingRules) -> Sequence[Source]:
    if is_chained(uri) and (named := member_uri(canonical_uri(uri))):
        return archives_at(named)
    fs, path = input_file_system(uri)
    # A server has no folders: asking it for one reads the file.
    on_the_web = is_on_the_web(uri)
    if not (on_the_web and _is_named_as_file(uri)) and fs.isdir(path):
        parts = [] if on_the_web else list(_part_files(uri, fs, path, options))
        return parts or _folder_sources(canonical_uri(uri), options, rules)
    if fs.isfile(path):
        return [_file_source(uri, fs, path, options)]
    if not has_magic(without_query(path)):
        # Where even the bucket is missing, it is no date without images, but a mistake.
        reason = why_unreachable(uri) if is_in_a_bucket(uri) else None
        if reason is not None:
            raise InvalidInput(f"The input {shown(uri)} cannot be read. {reason}")
        raise InputNotFound(f"There is no input at {shown(uri)}.")
    return _glob_sources(uri, fs, path, options, rules)


def _is_named_as_file(uri: str) -> bool:
    """Whether a URL has the name of a file that is an input, whatever it is."""
    if without_query(uri).endswith("/"):
        return False
    is_known = named_format(uri) is not None or archive_protocol(uri) is not None or is_named_as_records(uri)
    return is_known or file_name(uri).rpartition(".")[2].lower() in EXTENSIONS


def _folder_sources(uri: str, options: ManifestOptions, rules: ListingRules) -> Sequence[Source]:
    """Takes a folder for its pictures, or if there are none for the archives in it, else for the data sets."""
    folder = FolderSource(uri)
    if folder.has_image(rules):
        return [with_tables(dataclasses.replace(folder, seen=True), options, rules)]
    return archives_in(folder, rules) or data_sets_in(folder, options, rules) or [folder]


def _part_files(uri: str, fs: fsspec.AbstractFileSystem, path: str, options: ManifestOptions) -> Iterator[Source]:
    """Yields the part files of a folder that is a manifest: one with a manifest's name, or as Spark leaves it."""
    if named_format(uri) is None and not fs.isfile(f"{path}/{_DONE}"):
        return
    folder = folder_of(canonical_uri(uri))
    to_uri = uri_builder(uri, fs)
    for found, form, partition in _below(fs, path):
        yield _manifest_source(to_uri(found), form, options, folder, partition)


def _below(
    fs: fsspec.AbstractFileSystem, folder: str, partition: Partition = ()
) -> Iterator[tuple[str, NamedFormat, Partition]]:
    """Yields the paths of part files, their formats, and what the folders that they are in are named for."""
    for info in sorted(fs.ls(folder, detail=True), key=lambda info: str(info["name"])):
        name = info["name"].rstrip("/").rpartition("/")[2]
        form = named_format(name)
        if info["type"] == "directory":
            column, is_named, value = name.partition("=")
            if is_named:
                told = None if value == _HIVE_NULL else unquote(value)
                yield from _below(fs, info["name"], (*partition, (column, told)))
        elif form is not None and not name.startswith(("_", ".")) and info["size"]:
            yield info["name"], form, partition


def _is_utf_8(head: bytes) -> bool:
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return len(head) == _HEAD_BYTES and error.start > len(head) - 4  # The last character may be cut off.
    return True


def _glob_sources(
    uri: str, fs: fsspec.AbstractFileSystem, path: str, options: ManifestOptions, rules: ListingRules
) -> Sequence[Source]:
    form = named_format(uri)
    if form is None:
        files = GlobSource(canonical_uri(uri))
        name = path.rpartition("/")[2]
        may_be_archives = "." not in name and begins_with_archive(files, rules)
        if may_be_archives or archive_protocol(uri):
            return archives_in(files, rules) or [files]
        return (records_in(files, options, rules) if "." not in name or "tfrec" in name.lower() else ()) or [files]
    to_uri = uri_builder(uri, fs)
    return [_manifest_source(to_uri(found), form, options) for found in sorted(fs.glob(path))]


def _file_source(uri: str, fs: fsspec.AbstractFileSystem, path: str, options: ManifestOptions) -> Source:
    """Takes a file for what its name says that it is; one whose name says nothing, for what it begins as."""
    protocol, form, is_records = archive_protocol(uri), named_format(uri), is_named_as_records(uri)
    if not (protocol or form or is_records):
        refuse_other_archives(uri)
        refuse_other_tables(uri)
        if _has_no_extension(file_name(uri)):
            head = fs.cat_file(path, end=_HEAD_BYTES)
            protocol, form, is_records = archive_protocol_of(head), _format_of(head), is_tfrecord(head)
    if protocol is not None:
        return archive_source(MemberUri(protocol, "", canonical_uri(uri)))
    if is_records:
        return record_source(canonical_uri(uri), options)
    return FileSource(canonical_uri(uri)) if form is None else _manifest_source(canonical_uri(uri), form, options)


def _has_no_extension(name: str) -> bool:
    stem, dot, extension = name.rpartition(".")
    return not (stem and dot) and extension.lower() not in EXTENSIONS


def _format_of(head: bytes) -> NamedFormat | None:
    """Returns the format of a manifest by how it begins; text is a list of URIs."""
    if head.startswith(_PARQUET_BEGINS):
        return PARQUET
    is_text = b"\0" not in head and head.strip() and _is_utf_8(head)
    return NamedFormat(ManifestFormat.TEXT) if is_text else None


def _manifest_source(
    uri: str, form: NamedFormat, options: ManifestOptions, folder: str | None = None, partition: Partition = ()
) -> Source:
    manifest = look_at_manifest(uri, form, options)
    table = image_table(manifest, options) if form == PARQUET else None
    if table is not None:
        return table
    rules = UriRules(uri, folder or folder_of(uri), options.uri_prefix, options.uri_suffix)
    return ManifestSource(uri, with_chosen_columns(manifest, options, partition), rules)


def carried_columns(sources: Sequence[Source], carry: Sequence[str] | None = None) -> tuple[pa.Field, ...]:
    """Returns the fields of all columns that sources carry along; whole numbers and others are other numbers.

    Args:
        sources: The sources.
        carry: Those that are taken, if they were named; each of them has to be there.

    Raises:
        InvalidInput: If two sources give a column different types, or none of them has one that was named.
    """
    fields: dict[str, pa.Field] = {}
    for field in (field for source in sources for field in source.carried):
        if carry is not None and field.name not in {*carry, LABELS}:
            continue
        other = fields.setdefault(field.name, field)
        if {field.type, other.type} == {pa.int64(), pa.float64()}:
            fields[field.name] = pa.field(field.name, pa.float64())
        elif other.type != field.type:
            raise InvalidInput(
                f"The manifests disagree on column '{shown(field.name, 40)}': {other.type} and {field.type}; write one "
                "of them with the type of the other, or leave it out with --carry."
            )
    _check_named(carry or (), sources)
    return tuple(fields.values())


def _check_named(carry: Sequence[str], sources: Sequence[Source]) -> None:
    there = list(dict.fromkeys(name for source in sources for name in _names(source)))
    missing = [name for name in carry if name not in there]
    if missing and there:
        raise InvalidInput(
            f"--carry names {shown_names(missing)}, which no manifest has; they have {shown_names(there)}."
        )


def _names(source: Source) -> Sequence[str]:
    in_tables = [name for manifest in source.manifests for name in manifest.names]
    return in_tables or [field.name for field in source.carried]
