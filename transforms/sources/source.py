"""Sources: what the inputs are, and how they are read. Pure of Beam; nothing here reads a whole input."""

import dataclasses
import enum
from collections.abc import Iterable
from typing import Final

import fsspec
import pyarrow as pa
from fsspec.core import has_magic

from schemas.errors import ImageError, InputNotFound, InvalidInput
from schemas.images import ref_schema
from schemas.storage import canonical_uri, file_system, image_errors, uri_builder
from transforms.sources.manifests import (
    BYTES_PER_SECTION,
    ROWS_PER_SECTION,
    ManifestKind,
    manifest_kind,
    read_carried_fields,
)

# Enough for every worker, few enough to be found by one.
FOLDERS_LISTED_TOGETHER: Final = 64
EXTENSIONS: Final = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff")


class SourceKind(enum.StrEnum):
    """What an `--input` is, if it is no manifest."""

    FOLDER = "folder"
    FILES = "files"


@dataclasses.dataclass(frozen=True)
class Source:
    """One `--input`, looked at but not read.

    Attributes:
        uri: The folder, glob, file or manifest, in canonical form.
        kind: What it is.
        carried: The fields of the further columns of a manifest, with the types that the store gives them.
    """

    uri: str
    kind: SourceKind | ManifestKind
    carried: tuple[pa.Field, ...] = ()

    @property
    def annotations(self) -> tuple[str, ...]:
        """The columns of annotations that it may have."""
        may_say = self.kind not in {SourceKind.FOLDER, SourceKind.FILES, ManifestKind.TEXT}
        return (*(("label", "split") if may_say else ()), *(field.name for field in self.carried))


@dataclasses.dataclass(frozen=True)
class ListingRules:
    """How a source is read.

    Attributes:
        extensions: The extensions, in lower case and without a dot, of the files that a folder's images have.
        labels_from_parent: Whether an image without a label takes the name of its folder, and the folder above it as
            the split, if that has a split's name; see `annotations.parent_annotations`.
        stat_manifests: Whether images of a manifest without a `version` column are looked up for their version.
        carried: The fields of all columns that are carried along, over all sources.
        folders_listed_together: Folders are divided level by level until there are so many, which workers then share.
        rows_per_section: Row groups of a Parquet manifest are taken together until they have so many rows.
        bytes_per_section: The bytes of a list of URIs that are read together.
    """

    extensions: tuple[str, ...] = EXTENSIONS
    labels_from_parent: bool = False
    stat_manifests: bool = True
    carried: tuple[pa.Field, ...] = ()
    folders_listed_together: int = FOLDERS_LISTED_TOGETHER
    rows_per_section: int = ROWS_PER_SECTION
    bytes_per_section: int = BYTES_PER_SECTION

    @property
    def schema(self) -> pa.Schema:
        """The schema of the refs."""
        return ref_schema(pa.schema(self.carried))


@dataclasses.dataclass
class IgnoredFiles:
    """How many files of a folder are ignored, for they lack an image's extension; counted while it is listed."""

    files: int = 0


def find_sources(uris: Iterable[str]) -> list[Source]:
    """Looks at inputs, without listing them whole.

    Raises:
        InputNotFound: If there is nothing at one.
        InvalidInput: If one cannot be read, or is a manifest without a column `uri`.
    """
    return [source for uri in uris for source in _find_sources(uri)]


def _find_sources(uri: str) -> list[Source]:
    try:
        with image_errors():
            found = _sources_at(uri)
    except ImageError as error:
        raise InvalidInput(f"The input {uri} cannot be read. {error.message}") from error
    if found is None:
        raise InputNotFound(f"There is no input at {uri}.")
    return found


def _sources_at(uri: str) -> list[Source] | None:
    fs, path = file_system(uri)
    if fs.isdir(path):
        return [Source(canonical_uri(uri), SourceKind.FOLDER)]
    if fs.isfile(path):
        return [_file_source(uri)]
    return _glob_sources(uri, fs, path) if has_magic(path) else None


def _glob_sources(uri: str, fs: fsspec.AbstractFileSystem, path: str) -> list[Source]:
    if manifest_kind(uri) is None:
        return [Source(canonical_uri(uri), SourceKind.FILES)]
    to_uri = uri_builder(uri, fs)
    return [_file_source(to_uri(found)) for found in sorted(fs.glob(path))]


def _file_source(uri: str) -> Source:
    kind = manifest_kind(uri)
    if kind is None:
        return Source(canonical_uri(uri), SourceKind.FILES)
    return Source(canonical_uri(uri), kind, read_carried_fields(uri, kind))


def carried_columns(sources: Iterable[Source]) -> tuple[pa.Field, ...]:
    """Returns the fields of all columns that sources carry along.

    Raises:
        InvalidInput: If two sources give a column different types.
    """
    fields: dict[str, pa.Field] = {}
    for source in sources:
        for field in source.carried:
            other = fields.setdefault(field.name, field)
            if other.type != field.type:
                raise InvalidInput(f"The manifests disagree on column '{field.name}': {other.type} and {field.type}.")
    return tuple(fields.values())
