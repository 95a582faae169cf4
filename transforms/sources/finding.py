"""Finding out what inputs are, without listing them whole."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import fsspec
import pyarrow as pa
from fsspec.core import has_magic

from schemas.errors import ImageError, InputNotFound, InvalidInput, shown, shown_names
from schemas.storage import canonical_uri, file_system, image_errors, is_on_the_web, uri_builder
from transforms.manifests import (
    Manifest,
    ManifestFormat,
    ManifestOptions,
    NamedFormat,
    UriRules,
    folder_of,
    named_format,
    open_manifest,
    refuse_other_tables,
)
from transforms.sources.folders import FolderSource, GlobSource
from transforms.sources.manifest_source import ManifestSource
from transforms.sources.single_files import FileSource
from transforms.sources.source import EXTENSIONS, Source

_HEAD_BYTES: Final = 2**12
_DONE: Final = "_SUCCESS"


def find_sources(uris: Iterable[str], options: ManifestOptions | None = None) -> list[Source]:
    """Looks at inputs.

    Args:
        uris: The inputs.
        options: How manifests among them are read.

    Raises:
        InputNotFound: If there is nothing at one.
        InvalidInput: If one cannot be read, or is a manifest that lacks a column that is wanted, or has one that
            cannot be carried along.
    """
    given = options or ManifestOptions()
    return [source for uri in uris for source in _find_sources(uri, given)]


def _find_sources(uri: str, options: ManifestOptions) -> Sequence[Source]:
    try:
        with image_errors():
            found = _sources_at(uri, options)
    except ImageError as error:
        raise InvalidInput(f"The input {shown(uri)} cannot be read. {shown(error.message, 200)}") from error
    if found is None:
        raise InputNotFound(f"There is no input at {shown(uri)}.")
    return found


def _sources_at(uri: str, options: ManifestOptions) -> Sequence[Source] | None:
    form = named_format(uri)
    fs, path = file_system(uri)
    # A server has no folders: asking it for one reads the file.
    on_the_web = is_on_the_web(uri)
    if not (form and on_the_web) and fs.isdir(path):
        parts = [] if on_the_web else list(_part_files(uri, fs, path, options))
        return parts or [FolderSource(canonical_uri(uri))]
    if fs.isfile(path):
        return [_file_source(uri, form or _guessed_format(uri, fs, path), options)]
    return _glob_sources(uri, fs, path, options) if has_magic(path) else None


def _part_files(uri: str, fs: fsspec.AbstractFileSystem, path: str, options: ManifestOptions) -> Iterator[Source]:
    """Yields the part files of a folder that is a manifest: one with a manifest's name, or as Spark leaves it."""
    if named_format(uri) is None and not fs.exists(f"{path}/{_DONE}"):
        return
    folder = canonical_uri(uri)
    to_uri = uri_builder(uri, fs)
    for info in sorted(fs.ls(path, detail=True), key=lambda info: str(info["name"])):
        name = info["name"].rstrip("/").rpartition("/")[2]
        form = named_format(name)
        if info["type"] == "directory" and "=" in name:
            raise InvalidInput(
                f"The manifest {shown(uri)} is divided into folders such as {shown(name, 60)}, whose values are not "
                "read; write it without partitions."
            )
        if form is not None and not name.startswith(("_", ".")) and info["size"]:
            yield _manifest_source(to_uri(info["name"]), form, options, folder_of(folder))


def _guessed_format(uri: str, fs: fsspec.AbstractFileSystem, path: str) -> NamedFormat | None:
    """Takes a file without an extension that is text for a list of URIs; one of another kind is an image.

    Raises:
        InvalidInput: If its name says that it is a table in a format that is not read.
    """
    refuse_other_tables(uri)
    stem, dot, extension = path.rpartition("/")[2].rpartition(".")
    if (stem and dot) or extension.lower() in EXTENSIONS:
        return None
    head = fs.cat_file(path, 0, _HEAD_BYTES)
    is_text = b"\0" not in head and head.strip() and _is_utf_8(head)
    return NamedFormat(ManifestFormat.TEXT) if is_text else None


def _is_utf_8(head: bytes) -> bool:
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return len(head) == _HEAD_BYTES and error.start > len(head) - 4  # The last character may be cut off.
    return True


def _glob_sources(uri: str, fs: fsspec.AbstractFileSystem, path: str, options: ManifestOptions) -> Sequence[Source]:
    form = named_format(uri)
    if form is None:
        return [GlobSource(canonical_uri(uri))]
    to_uri = uri_builder(uri, fs)
    return [_manifest_source(to_uri(found), form, options) for found in sorted(fs.glob(path))]


def _file_source(uri: str, form: NamedFormat | None, options: ManifestOptions) -> Source:
    if form is None:
        return FileSource(canonical_uri(uri))
    return _manifest_source(canonical_uri(uri), form, options)


def _manifest_source(uri: str, form: NamedFormat, options: ManifestOptions, folder: str | None = None) -> Source:
    manifest = open_manifest(uri, form, options)
    rules = UriRules(uri, folder or folder_of(uri), options.uri_prefix, options.uri_suffix)
    return ManifestSource(uri, manifest, rules)


def carried_columns(sources: Sequence[Source], carry: Sequence[str] | None = None) -> tuple[pa.Field, ...]:
    """Returns the fields of all columns that sources carry along; whole numbers and others are other numbers.

    Args:
        sources: The sources.
        carry: The columns that have to be among them, if they were named.

    Raises:
        InvalidInput: If two sources give a column different types, or none of them has one that was named.
    """
    fields: dict[str, pa.Field] = {}
    for field in (field for source in sources for field in source.carried):
        other = fields.setdefault(field.name, field)
        if {field.type, other.type} == {pa.int64(), pa.float64()}:
            fields[field.name] = pa.field(field.name, pa.float64())
        elif other.type != field.type:
            raise InvalidInput(
                f"The manifests disagree on column '{shown(field.name, 40)}': {other.type} and {field.type}; write one "
                "of them with the type of the other, or leave it out with --carry."
            )
    _check_named(carry or (), [source.manifest for source in sources if isinstance(source, ManifestSource)])
    return tuple(fields.values())


def _check_named(carry: Sequence[str], manifests: Sequence[Manifest]) -> None:
    there = list(dict.fromkeys(name for manifest in manifests for name in manifest.names))
    missing = [name for name in carry if name not in there]
    if missing and manifests:
        raise InvalidInput(
            f"--carry names {shown_names(missing)}, which no manifest has; they have {shown_names(there)}."
        )
