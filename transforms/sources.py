"""Sources: folders, globs and manifests in, Arrow batches of image refs out. Pure of Beam."""

import concurrent.futures
import dataclasses
import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
from fsspec.core import has_magic

from schemas.errors import InputNotFound, InvalidInput, first_line
from schemas.images import SIZE, image_version, ref_schema
from schemas.storage import canonical_uri, file_system, uri_builder
from transforms.manifests import (
    REF_COLUMNS,
    ManifestKind,
    batched,
    canonical_uris,
    carried_fields,
    manifest_kind,
    manifest_rows,
)

EXTENSIONS: Final = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff")
SPLITS: Final = ("train", "validation", "test")

_STAT_THREADS: Final = 32

_PARENT: Final = r"(?:^|/)(?P<split>[^/]*)/(?P<label>[^/]+)/[^/]+$"


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


@dataclasses.dataclass(frozen=True)
class ListingRules:
    """How a source is read.

    Attributes:
        extensions: The extensions, in lower case and without a dot, of the files that a folder's images have.
        labels_from_parent: Whether an image without a label takes the name of its folder, and the folder above it as
            the split, if that is named train, validation or test.
        stat_manifests: Whether images of a manifest without a `version` column are looked up for their version.
        carried: The fields of all columns that are carried along, over all sources.
    """

    extensions: tuple[str, ...] = EXTENSIONS
    labels_from_parent: bool = False
    stat_manifests: bool = True
    carried: tuple[pa.Field, ...] = ()

    @property
    def schema(self) -> pa.Schema:
        """The schema of the refs."""
        return ref_schema(pa.schema(self.carried))


@dataclasses.dataclass
class LeftAside:
    """How many files of a folder were left aside, for want of an image's extension; counted while it is listed."""

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
        fs, path = file_system(uri)
        if fs.isdir(path):
            return [Source(canonical_uri(uri), SourceKind.FOLDER)]
        if fs.isfile(path):
            return [_file_source(uri)]
        if has_magic(path):
            return _glob_sources(uri, fs, path)
    except (OSError, ValueError, ImportError) as error:
        raise InvalidInput(f"The input {uri} cannot be read: {first_line(error)}") from error
    raise InputNotFound(f"There is no input at {uri}.")


def _glob_sources(uri: str, fs: fsspec.AbstractFileSystem, path: str) -> list[Source]:
    if manifest_kind(uri) is None:
        return [Source(canonical_uri(uri), SourceKind.FILES)]
    to_uri = uri_builder(uri, fs)
    return [_file_source(to_uri(found)) for found in sorted(fs.glob(path))]


def _file_source(uri: str) -> Source:
    kind = manifest_kind(uri)
    if kind is None:
        return Source(canonical_uri(uri), SourceKind.FILES)
    return Source(canonical_uri(uri), kind, carried_fields(uri, kind))


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


def has_image(sources: Sequence[Source], rules: ListingRules) -> bool:
    """Whether the sources hold at least one image; stops at the first."""
    return any(batch.num_rows for source in sources for batch in list_source(source, rules, LeftAside()))


def list_source(source: Source, rules: ListingRules, left_aside: LeftAside) -> Iterator[pa.RecordBatch]:
    """Lists the images of a source.

    Args:
        source: The source.
        rules: How it is read.
        left_aside: Where the files without an image's extension are counted.

    Yields:
        Batches of at most `REFS_PER_BATCH` refs; `version` is null where it has yet to be looked up.

    Raises:
        InvalidInput: If a manifest has a row without a URI, or cannot be read.
        OSError: If a folder cannot be listed: a listing with holes would pass for the whole.
    """
    if source.kind == SourceKind.FOLDER:
        batches = batched(_walk(source, rules, left_aside), rules.schema)
    elif source.kind == SourceKind.FILES:
        batches = batched(_glob(source), rules.schema)
    else:
        batches = (_to_refs(rows, source, rules) for rows in manifest_rows(source.uri, source.kind))
    yield from (_labels_from_parent(batch) for batch in batches) if rules.labels_from_parent else batches


def _walk(source: Source, rules: ListingRules, left_aside: LeftAside) -> Iterator[dict[str, Any]]:
    fs, path = file_system(source.uri)
    to_uri = uri_builder(source.uri, fs)
    for _, _, files in fs.walk(path, detail=True, on_error="raise"):
        for name, info in sorted(files.items()):
            if name.rpartition(".")[2].lower() in rules.extensions:
                yield _ref(to_uri(info["name"]), info)
            elif name:
                left_aside.files += 1


def _glob(source: Source) -> Iterator[dict[str, Any]]:
    fs, path = file_system(source.uri)
    to_uri = uri_builder(source.uri, fs)
    found = {path: fs.info(path)} if fs.isfile(path) else fs.glob(path, detail=True)
    for name, info in sorted(found.items()):
        if info["type"] == "file":
            yield _ref(to_uri(name), info)


def _ref(uri: str, info: Mapping[str, Any]) -> dict[str, Any]:
    return {"uri": uri, "version": image_version(info), SIZE: info.get("size")}


def _to_refs(rows: pa.RecordBatch, source: Source, rules: ListingRules) -> pa.RecordBatch:
    """Brings rows of a manifest into the schema of refs; what a manifest lacks is null."""
    uris = rows.column("uri").cast(pa.string())
    if uris.null_count:
        raise InvalidInput(f"The manifest {source.uri} has {uris.null_count} rows without a uri.")
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
    return pa.RecordBatch.from_arrays(columns, schema=rules.schema)


def _labels_from_parent(batch: pa.RecordBatch) -> pa.RecordBatch:
    found = pc.extract_regex(batch.column("uri"), _PARENT)
    label, split = pc.struct_field(found, "label"), pc.struct_field(found, "split")
    known_split = pc.if_else(pc.is_in(split, value_set=pa.array(SPLITS)), split, pa.scalar(None, pa.string()))
    for name, values in (("label", label), ("split", known_split)):
        index = batch.schema.get_field_index(name)
        batch = batch.set_column(index, batch.schema.field(index), pc.coalesce(batch.column(index), values))
    return batch


def look_up_versions(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Fills in the version and size of the images whose version is null, from their file systems.

    An image that is not there gets an empty version; fetching it will say so.

    Raises:
        OSError: If the storage does not answer.
    """
    missing = pc.is_null(batch.column("version"))
    if not pc.any(missing).as_py():
        return batch
    uris = pc.filter(batch.column("uri"), missing).to_pylist()
    with concurrent.futures.ThreadPoolExecutor(_STAT_THREADS) as pool:
        infos = list(pool.map(_info, uris))
    found = {
        "version": pa.array([image_version(info) for info in infos], pa.string()),
        SIZE: pa.array([info.get("size") for info in infos], pa.int64()),
    }
    for name, values in found.items():
        index = batch.schema.get_field_index(name)
        filled = pc.replace_with_mask(batch.column(index), missing, values)
        batch = batch.set_column(index, batch.schema.field(index), filled)
    return batch


def _info(uri: str) -> Mapping[str, Any]:
    fs, path = file_system(uri)
    try:
        info: Mapping[str, Any] = fs.info(path)
    except (FileNotFoundError, PermissionError, NotADirectoryError):
        return {}
    return info
