"""The formats of manifests, told by their names."""

import enum
from typing import Final, NamedTuple

from schemas.errors import InvalidInput, shown
from schemas.storage import without_query


class ManifestFormat(enum.StrEnum):
    """How a manifest is written."""

    TEXT = "text"
    CSV = "csv"
    JSON_LINES = "json lines"
    PARQUET = "parquet"


class NamedFormat(NamedTuple):
    """What the name of a manifest says of it.

    Attributes:
        format: How it is written.
        compression: The codec around it, by Arrow's name, or None.
    """

    format: ManifestFormat
    compression: str | None = None


_FORMATS: Final = {
    "txt": ManifestFormat.TEXT,
    "csv": ManifestFormat.CSV,
    "tsv": ManifestFormat.CSV,
    "jsonl": ManifestFormat.JSON_LINES,
    "ndjson": ManifestFormat.JSON_LINES,
    "parquet": ManifestFormat.PARQUET,
    "parq": ManifestFormat.PARQUET,
}
_COMPRESSIONS: Final = {"gz": "gzip", "zst": "zstd", "bz2": "bz2"}

MANIFEST_EXTENSIONS: Final = tuple(_FORMATS)

# Tables that are none of ours, and what becomes one.
_REMEDIES: Final = {
    "json": "write one object a line, as .jsonl",
    **dict.fromkeys(("xls", "xlsx", "ods"), "save the sheet as .csv"),
    **dict.fromkeys(("arrow", "avro", "feather", "orc", "pickle", "pkl"), "write it as .parquet"),
    **dict.fromkeys(("xml", "yaml", "yml"), "write it as .csv or .jsonl"),
}


def file_name(uri: str) -> str:
    """Returns the last segment of a URI, that of a URL without its query.

    >>> file_name("https://host/a/m.csv?signature=x/y"), file_name("/a/what?.csv")
    ('m.csv', 'what?.csv')
    """
    return without_query(uri).rstrip("/").rpartition("/")[2]


def named_format(uri: str) -> NamedFormat | None:
    """Returns what a manifest's name says of it, or None if it is not the name of a manifest.

    >>> named_format("images.csv.gz")
    NamedFormat(format=<ManifestFormat.CSV: 'csv'>, compression='gzip')
    """
    stem, _, extension = file_name(uri).lower().rpartition(".")
    compression = _COMPRESSIONS.get(extension)
    if compression is not None:
        extension = stem.rpartition(".")[2]
    found = _FORMATS.get(extension)
    return None if found is None else NamedFormat(found, compression)


def refuse_other_tables(uri: str) -> None:
    """Refuses a file whose name says that it is a table in a format that is not read.

    Raises:
        InvalidInput: If it is.
    """
    remedy = _REMEDIES.get(file_name(uri).lower().rpartition(".")[2])
    if remedy is not None:
        raise InvalidInput(f"The input {shown(uri)} is in a format that is not read as a manifest; {remedy}.")
