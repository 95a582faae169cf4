"""Manifests: lists of URIs as text, CSV or Parquet, in; rows as Arrow batches out. Pure of Beam."""

import codecs
import contextlib
import csv
import dataclasses
import enum
import io
from collections.abc import Iterator, Sequence
from typing import IO, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from schemas.errors import ImageError, InvalidInput, first_line, nearest_names
from schemas.images import REFS_PER_BATCH
from schemas.storage import canonical_uri, file_system, image_errors, join, open_parquet, protocol_of

# The columns of a manifest that have a meaning of their own.
REF_COLUMNS: Final = ("uri", "version", "label", "split")

# URIs of the first two forms are canonical as they are, unless they are of the third; the others are looked at singly.
_CLOUD: Final = r"^(s3|gs|abfs|https?)://[^/]"
_LOCAL: Final = r"^file:///[^/]"
_UNTIDY: Final = r"^file:///.*(//|/\.\.?(/|$))"

# Enough to be worth opening the file for.
ROWS_PER_SECTION: Final = 2**17
BYTES_PER_SECTION: Final = 2**24


class ManifestKind(enum.StrEnum):
    """The kinds of manifests, by their extension."""

    TEXT = "txt"
    CSV = "csv"
    PARQUET = "parquet"


def manifest_kind(uri: str) -> ManifestKind | None:
    """Returns the kind of a manifest, or None if the URI's extension is of none."""
    extension = uri.rpartition(".")[2].lower()
    return ManifestKind(extension) if extension in set(ManifestKind) else None


def read_carried_fields(uri: str, kind: ManifestKind) -> tuple[pa.Field, ...]:
    """Returns the fields of a manifest's further columns, with the types that the store gives them.

    Raises:
        InvalidInput: If it cannot be read, has no column `uri`, or a column that a Delta table cannot hold.
    """
    if kind == ManifestKind.TEXT:
        return ()
    with _explained(uri):
        schema = _parquet_schema(uri) if kind == ManifestKind.PARQUET else _csv_header(uri)
    if "uri" not in schema.names:
        found = ", ".join(schema.names) or "none"
        raise InvalidInput(f"The manifest {uri} has no column 'uri' (its columns: {found}){_nearest_uri(schema)}")
    return tuple(pa.field(field.name, _storable(uri, field)) for field in schema if field.name not in REF_COLUMNS)


def _nearest_uri(schema: pa.Schema) -> str:
    return nearest_names("uri", schema.names) or "."


def _parquet_schema(uri: str) -> pa.Schema:
    with open_parquet(uri) as (file, _):
        return file.schema_arrow


def _csv_header(uri: str) -> pa.Schema:
    with _open(uri) as file:
        return _csv_schema(file)


def _csv_schema(file: IO[bytes]) -> pa.Schema:
    """A CSV file has no types: everything is text, in every run."""
    text = io.TextIOWrapper(file, "utf-8-sig", newline="")
    header = next(csv.reader(text), [])
    text.detach()  # It would close the file.
    return pa.schema([(name, pa.string()) for name in header])


def _storable(uri: str, field: pa.Field) -> pa.DataType:
    """Returns the type that a Delta table gives to a manifest's column."""
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind):
        return pa.string()
    if pa.types.is_integer(kind):
        return pa.int64()
    if pa.types.is_floating(kind):
        return pa.float64()
    if pa.types.is_boolean(kind) or pa.types.is_date32(kind):
        return kind
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", tz="UTC")
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(pa.field("element", _storable(uri, kind.value_field)))
    raise InvalidInput(f"The manifest {uri} has a column '{field.name}' of type {kind}, which the store cannot carry.")


def _open(uri: str) -> IO[bytes]:
    fs, path = file_system(uri)
    file: IO[bytes] = fs.open(path, "rb")
    return file


@dataclasses.dataclass(frozen=True)
class Section:
    """A section of a manifest that is read by itself.

    Attributes:
        uri: The manifest.
        kind: Its kind.
        start: Its first row group in a Parquet file, else its first byte.
        end: The row group or byte behind its last. To a section of text belong the lines that begin in it.
    """

    uri: str
    kind: ManifestKind
    start: int
    end: int


def sections(
    uri: str,
    kind: ManifestKind,
    rows_per_section: int = ROWS_PER_SECTION,
    bytes_per_section: int = BYTES_PER_SECTION,
) -> Iterator[Section]:
    """Divides a manifest; a CSV file is one section.

    Args:
        uri: The manifest.
        kind: Its kind.
        rows_per_section: Row groups of a Parquet file are taken together until they have so many rows.
        bytes_per_section: The bytes of a section of text.

    Raises:
        InvalidInput: If it cannot be read.
    """
    if kind == ManifestKind.PARQUET:
        with _explained(uri), open_parquet(uri) as (file, _):
            rows = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        yield from (Section(uri, kind, start, end) for start, end in _row_groups(rows, rows_per_section))
        return
    with _open(uri) as file:
        size = file.seek(0, io.SEEK_END)
    step = bytes_per_section if kind == ManifestKind.TEXT else max(1, size)
    yield from (Section(uri, kind, start, min(start + step, size)) for start in range(0, size, step))


def _row_groups(rows: Sequence[int], rows_per_section: int) -> Iterator[tuple[int, int]]:
    start = together = 0
    for group, count in enumerate(rows, 1):
        together += count
        if together >= rows_per_section or group == len(rows):
            yield start, group
            start, together = group, 0


def manifest_rows(section: Section) -> Iterator[pa.RecordBatch]:
    """Yields the rows of a section of a manifest in batches.

    Raises:
        InvalidInput: If it cannot be read.
    """
    if section.kind == ManifestKind.PARQUET:
        groups = range(section.start, section.end)
        with _explained(section.uri), open_parquet(section.uri) as (file, threads):
            yield from file.iter_batches(REFS_PER_BATCH, row_groups=groups, use_threads=threads)
        return
    with _open(section.uri) as file, _explained(section.uri):
        if section.kind == ManifestKind.CSV:
            yield from _csv_batches(file)
        else:
            yield from _text_batches(file, section)


@contextlib.contextmanager
def _explained(uri: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise InvalidInput(f"The manifest {uri} cannot be read: {first_line(error)}") from error


def _csv_batches(file: IO[bytes]) -> Iterator[pa.RecordBatch]:
    names = _csv_schema(file).names
    file.seek(0)
    texts = pa_csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    lines = pa_csv.ParseOptions(newlines_in_values=True)
    with pa_csv.open_csv(file, parse_options=lines, convert_options=texts) as reader:
        for batch in reader:
            for start in range(0, batch.num_rows, REFS_PER_BATCH):
                yield batch.slice(start, REFS_PER_BATCH)


def _text_batches(file: IO[bytes], section: Section) -> Iterator[pa.RecordBatch]:
    """Yields the lines that begin in a section and are not blank."""
    file.seek(max(0, section.start - 1))
    if section.start:
        file.readline()  # The end of a line that began before; at least the line break itself.
    text = file.read(max(0, section.end - file.tell()))
    text += b"" if text.endswith(b"\n") or not text else file.readline()
    if not section.start:
        text = text.removeprefix(codecs.BOM_UTF8)
    lines = pc.utf8_rtrim(_lines(text), "\r\n")
    lines = lines.filter(pc.not_equal(pc.utf8_trim_whitespace(lines), ""))
    for start in range(0, len(lines), REFS_PER_BATCH):
        yield pa.RecordBatch.from_arrays([lines.slice(start, REFS_PER_BATCH)], ["uri"])


def _lines(text: bytes) -> pa.StringArray:
    """Returns the lines of a text, each with its break."""
    ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n")) + 1
    offsets = np.unique(np.concatenate([[0], ends, [len(text)]])).astype(np.int32)
    lines = pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(text))
    lines.validate(full=True)
    return lines


def batched(rows: Iterator[dict[str, Any]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Gathers rows into batches of `REFS_PER_BATCH`; columns that a row lacks are null."""
    pending: list[dict[str, Any]] = []
    for row in rows:
        pending.append(row)
        if len(pending) == REFS_PER_BATCH:
            yield pa.RecordBatch.from_pylist(pending, schema)
            pending.clear()
    if pending:
        yield pa.RecordBatch.from_pylist(pending, schema)


def canonical_uris(uris: pa.Array, manifest_uri: str) -> pa.Array:
    """Makes URIs canonical; a relative path is one beside its manifest."""
    local = pc.and_not(pc.match_substring_regex(uris, _LOCAL), pc.match_substring_regex(uris, _UNTIDY))
    others = pc.invert(pc.or_(pc.match_substring_regex(uris, _CLOUD), local))
    if not pc.any(others).as_py():
        return uris
    folder = manifest_uri.rpartition("/")[0]
    absolute = [_absolute(uri, folder) for uri in pc.filter(uris, others).to_pylist()]
    return pc.replace_with_mask(uris, others, pa.array(absolute, pa.string()))


def _absolute(uri: str, folder: str) -> str:
    here = protocol_of(uri) == "file" and not uri.startswith(("/", "file:", "local:"))
    try:
        with image_errors():
            return canonical_uri(join(folder, uri) if here else uri) if uri else uri
    except ImageError:
        return uri  # Fetching the image will say what is wrong with it.
