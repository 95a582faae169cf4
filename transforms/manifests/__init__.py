"""Manifests: tables of images as CSV, JSON Lines, Parquet or plain lists, in; rows as Arrow batches out."""

from transforms.manifests.columns import (
    REF_COLUMNS,
    URI,
    Column,
    ManifestOptions,
    carried_fields_of,
    cast_to,
    is_list,
    with_items,
)
from transforms.manifests.delimited import trimmed
from transforms.manifests.format import (
    MANIFEST_EXTENSIONS,
    ManifestFormat,
    NamedFormat,
    file_name,
    named_format,
    refuse_other_tables,
)
from transforms.manifests.json_lines import text_of
from transforms.manifests.manifest import (
    Manifest,
    Partition,
    Section,
    explained,
    look_at_manifest,
    open_manifest,
    with_chosen_columns,
    without_encoding_option,
)
from transforms.manifests.parquet_rows import ROWS_PER_SECTION
from transforms.manifests.takedown_lists import listed_uris
from transforms.manifests.text_lists import BYTES_PER_SECTION
from transforms.manifests.uris import UriRules, bare_uris, canonical_uris, changed_urls, folder_of

__all__ = [
    "BYTES_PER_SECTION",
    "MANIFEST_EXTENSIONS",
    "REF_COLUMNS",
    "ROWS_PER_SECTION",
    "URI",
    "Column",
    "Manifest",
    "ManifestFormat",
    "ManifestOptions",
    "NamedFormat",
    "Partition",
    "Section",
    "UriRules",
    "bare_uris",
    "canonical_uris",
    "carried_fields_of",
    "cast_to",
    "changed_urls",
    "explained",
    "file_name",
    "folder_of",
    "is_list",
    "listed_uris",
    "look_at_manifest",
    "named_format",
    "open_manifest",
    "refuse_other_tables",
    "text_of",
    "trimmed",
    "with_chosen_columns",
    "with_items",
    "without_encoding_option",
]
