"""Listing: sources in, Arrow batches of image refs out, a part at a time. Pure of Beam.

A source is divided without being read whole: folders into the folders in them, Parquet manifests into row groups, text
manifests into ranges of bytes. A CSV manifest is read whole, for which line breaks are quoted is only
known from its beginning.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from fsspec.implementations.local import LocalFileSystem

from schemas.errors import ImageError, InvalidInput
from schemas.images import SIZE, image_version
from schemas.storage import file_system, image_errors, uri_builder
from transforms.shuffle import pack, unpack
from transforms.sources.annotations import manifest_annotations, parent_annotations
from transforms.sources.manifests import (
    REF_COLUMNS,
    ManifestKind,
    Section,
    batched,
    canonical_uris,
    manifest_rows,
    sections,
)
from transforms.sources.source import IgnoredFiles, ListingRules, Source, SourceKind


@dataclasses.dataclass(frozen=True)
class SourcePart:
    """A part of a source, to be listed by itself.

    Attributes:
        source: The source.
        where: A folder of it, by its path in the file system, with all in it; a section of a manifest; packed refs that
            were met while the source was divided; or None for the whole.
    """

    source: Source
    where: str | Section | bytes | None = None


def divide(source: Source, rules: ListingRules, ignored: IgnoredFiles) -> Iterator[SourcePart]:
    """Divides a source into parts.

    Args:
        source: The source.
        rules: How it is read.
        ignored: Where the files without an image's extension are counted.

    Raises:
        InvalidInput: If a manifest cannot be read.
        OSError: If a folder cannot be listed: a listing with holes would pass for the whole.
    """
    if source.kind == SourceKind.FOLDER:
        folders: list[str] = []
        with _os_errors(source.uri):
            met = _divide_folder(source, rules, ignored, folders)
            yield from (SourcePart(source, pack(refs)) for refs in batched(met, rules.schema))
        yield from (SourcePart(source, folder) for folder in folders)
    elif source.kind == SourceKind.FILES:
        yield SourcePart(source)
    else:
        for section in sections(source.uri, source.kind, rules.rows_per_section, rules.bytes_per_section):
            if section.kind == ManifestKind.CSV and rules.stat_manifests:
                # Looking for versions takes far longer than reading, and is no work for a single worker.
                yield from (SourcePart(source, pack(_to_refs(rows, source, rules))) for rows in manifest_rows(section))
            else:
                yield SourcePart(source, section)


def _divide_folder(
    source: Source, rules: ListingRules, ignored: IgnoredFiles, folders: list[str]
) -> Iterator[dict[str, Any]]:
    """Goes down level by level until there are enough folders, which `folders` then holds; yields the files above."""
    fs, path = file_system(source.uri)
    folders.append(path)
    while folders and len(folders) < rules.folders_listed_together:
        level = folders.copy()
        folders.clear()
        for folder in level:
            for _, inner, files in fs.walk(folder, maxdepth=1, detail=True, on_error="raise"):
                fs.invalidate_cache(folder)  # Cloud file systems keep every listing, a kilobyte a file.
                folders += [info["name"].rstrip("/") for _, info in sorted(inner.items())]
                yield from _images(files, source, rules, ignored)


def list_part(part: SourcePart, rules: ListingRules, ignored: IgnoredFiles) -> Iterator[pa.RecordBatch]:
    """Lists the images of a part.

    Args:
        part: The part.
        rules: How its source is read.
        ignored: Where the files without an image's extension are counted.

    Yields:
        Batches of refs; `version` is null where it has yet to be looked up.

    Raises:
        InvalidInput: If a manifest cannot be read.
        OSError: If a folder cannot be listed.
    """
    source, where = part.source, part.where
    if isinstance(where, Section):
        batches: Iterator[pa.RecordBatch] = (_to_refs(rows, source, rules) for rows in manifest_rows(where))
    elif isinstance(where, bytes):
        batches = iter([unpack(where)])
    elif where is not None:
        batches = batched(_walk(where, source, rules, ignored), rules.schema)
    else:
        batches = batched(_glob(source), rules.schema)
    with _os_errors(source.uri):
        yield from _labelled(batches, rules)


@contextlib.contextmanager
def _os_errors(uri: str) -> Iterator[None]:
    """Raises what a file system raises, of whatever package it is, as an `OSError`."""
    try:
        with image_errors():
            yield
    except ImageError as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from None
        raise OSError(f"{uri} cannot be listed. {error.message}") from error


def list_source(source: Source, rules: ListingRules, ignored: IgnoredFiles) -> Iterator[pa.RecordBatch]:
    """Lists the images of a source, one part after the other; see `divide` and `list_part`."""
    for part in divide(source, rules, ignored):
        yield from list_part(part, rules, ignored)


def has_image(sources: Iterable[Source], rules: ListingRules) -> bool:
    """Whether the sources hold at least one image; stops at the first.

    Raises:
        InvalidInput: If a manifest cannot be read, or a folder cannot be listed.
    """
    return any(_looked_into(source, rules) for source in sources)


def _looked_into(source: Source, rules: ListingRules) -> bool:
    try:
        with image_errors():
            return _has_image(source, rules)
    except ImageError as error:
        raise InvalidInput(f"The input {source.uri} cannot be read. {error.message}") from error


def _has_image(source: Source, rules: ListingRules) -> bool:
    fs, path = file_system(source.uri)
    if source.kind == SourceKind.FOLDER and isinstance(fs, LocalFileSystem):
        # Names are enough: to ask for the size and time of every file first would be most of a second listing.
        return any(_is_image(entry.name, rules) for entry in _files_below(path))
    return any(batch.num_rows for batch in list_source(source, rules, IgnoredFiles()))


def _files_below(folder: str) -> Iterator["os.DirEntry[str]"]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _files_below(entry.path)
            else:
                yield entry


def _is_image(name: str, rules: ListingRules) -> bool:
    return name.rpartition(".")[2].lower() in rules.extensions


def _walk(folder: str, source: Source, rules: ListingRules, ignored: IgnoredFiles) -> Iterator[dict[str, Any]]:
    fs, _ = file_system(source.uri)
    for path, _, files in fs.walk(folder, detail=True, on_error="raise"):
        fs.invalidate_cache(path)
        yield from _images(files, source, rules, ignored)


def _images(
    files: Mapping[str, Mapping[str, Any]], source: Source, rules: ListingRules, ignored: IgnoredFiles
) -> Iterator[dict[str, Any]]:
    """Yields the images among the files of a folder, by name."""
    to_uri = uri_builder(source.uri, file_system(source.uri)[0])
    for name, info in sorted(files.items()):
        if _is_image(name, rules):
            yield _ref(to_uri(info["name"]), info)
        elif name:
            ignored.files += 1


def _glob(source: Source) -> Iterator[dict[str, Any]]:
    fs, path = file_system(source.uri)
    to_uri = uri_builder(source.uri, fs)
    found = {path: fs.info(path)} if fs.isfile(path) else fs.glob(path, detail=True)
    for name, info in sorted(found.items()):
        if info["type"] == "file":
            yield _ref(to_uri(name), info)


def _ref(uri: str, info: Mapping[str, Any]) -> dict[str, Any]:
    # A listing of names alone, as that of a web server, leaves the version to be looked up.
    known = image_version(info) or (None if info.get("size") is None else "")
    return {"uri": uri, "version": known, SIZE: info.get("size")}


def _to_refs(rows: pa.RecordBatch, source: Source, rules: ListingRules) -> pa.RecordBatch:
    """Brings rows of a manifest into the schema of refs; what a manifest lacks is null."""
    uris = pc.fill_null(rows.column("uri").cast(pa.string()), "")
    columns = []
    for field in rules.schema:
        if field.name == "uri":
            columns.append(canonical_uris(uris, source.uri))
        elif field.name in rows.schema.names and (field.name in REF_COLUMNS or field in source.carried):
            columns.append(rows.column(field.name).cast(field.type))
        else:
            columns.append(pa.nulls(rows.num_rows, field.type))
    if "version" not in rows.schema.names and not rules.stat_manifests:
        columns[rules.schema.get_field_index("version")] = pa.array([""] * rows.num_rows, pa.string())
    refs = pa.RecordBatch.from_arrays(columns, schema=rules.schema)
    return manifest_annotations(refs, rows.schema.names, source.uri)


def _labelled(batches: Iterator[pa.RecordBatch], rules: ListingRules) -> Iterator[pa.RecordBatch]:
    return map(parent_annotations, batches) if rules.labels_from_parent else batches
