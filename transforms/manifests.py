"""Manifests: lists of URIs as text, CSV or Parquet, in; rows as Arrow batches out. Pure of Beam."""

import csv
import enum
import io
from collections.abc import Iterator
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from schemas.errors import InvalidInput, first_line, nearest_names
from schemas.images import REFS_PER_BATCH
from schemas.storage import canonical_uri, file_system, join, protocol_of

# The columns of a manifest that have a meaning of their own.
REF_COLUMNS: Final = ("uri", "version", "label", "split")

# URIs of the first two forms are canonical as they are, unless they are of the third; the others are looked at singly.
_CLOUD: Final = r"^(s3|gs|abfs|https?)://[^/]"
_LOCAL: Final = r"^file:///[^/]"
_UNTIDY: Final = r"^file:///.*(//|/\.\.?(/|$))"


class ManifestKind(enum.StrEnum):
    """The kinds of manifests, by their extension."""

    TEXT = "txt"
    CSV = "csv"
    PARQUET = "parquet"


def manifest_kind(uri: str) -> ManifestKind | None:
    """Returns the kind of a manifest, or None if the URI's extension is of none."""
    extension = uri.rpartition(".")[2].lower()
    return ManifestKind(extension) if extension in set(ManifestKind) else None


def carried_fields(uri: str, kind: ManifestKind) -> tuple[pa.Field, ...]:
    """Returns the fields of a manifest's further columns, with the types that the store gives them.

    Raises:
        InvalidInput: If it cannot be read, has no column `uri`, or a column that a Delta table cannot hold.
    """
    if kind == ManifestKind.TEXT:
        return ()
    with _open(uri) as file:
        try:
            schema = pq.read_schema(file) if kind == ManifestKind.PARQUET else _csv_schema(file)
        except (pa.ArrowInvalid, UnicodeDecodeError) as error:
            raise InvalidInput(f"The manifest {uri} cannot be read: {first_line(error)}") from error
    if "uri" not in schema.names:
        found = ", ".join(schema.names) or "none"
        raise InvalidInput(f"The manifest {uri} has no column 'uri' (its columns: {found}){_nearest_uri(schema)}")
    return tuple(pa.field(field.name, _storable(uri, field)) for field in schema if field.name not in REF_COLUMNS)


def _nearest_uri(schema: pa.Schema) -> str:
    return nearest_names("uri", schema.names) or "."


def _csv_schema(file: IO[bytes]) -> pa.Schema:
    """A CSV file tells no types: everything is text, tonight and tomorrow night."""
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


def manifest_rows(uri: str, kind: ManifestKind) -> Iterator[pa.RecordBatch]:
    """Yields the rows of a manifest, at most `REFS_PER_BATCH` at a time.

    Raises:
        InvalidInput: If it cannot be read.
    """
    with _open(uri) as file:
        try:
            if kind == ManifestKind.PARQUET:
                yield from pq.ParquetFile(file).iter_batches(REFS_PER_BATCH)
            elif kind == ManifestKind.CSV:
                yield from _csv_batches(file)
            else:
                yield from _text_batches(file)
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


def _text_batches(file: IO[bytes]) -> Iterator[pa.RecordBatch]:
    lines = (line.rstrip("\r\n") for line in io.TextIOWrapper(file, "utf-8-sig", newline="\n"))
    yield from batched(({"uri": line} for line in lines if line.strip()), pa.schema([("uri", pa.string())]))


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
    if protocol_of(uri) != "file" or uri.startswith(("/", "file:", "local:")):
        return canonical_uri(uri)
    return canonical_uri(join(folder, uri))
