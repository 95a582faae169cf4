"""Where images come from: folders, globs, files and manifests, listed as image refs, and opened."""

from transforms.folders import IgnoredFiles
from transforms.manifests import ManifestOptions, canonical_uris, listed_uris
from transforms.source_kinds import (
    EXTENSIONS,
    ArchiveSource,
    FolderSource,
    ListingRules,
    ManifestSource,
    Source,
    annotated_columns,
    bare_labels,
    check_first_images,
    parent_annotations,
)
from transforms.sources.finding import carried_columns, find_sources
from transforms.sources.listing import has_image, list_source
from transforms.sources.reachability import check_reachable
from transforms.sources.stat import look_up_versions

__all__ = [
    "EXTENSIONS",
    "ArchiveSource",
    "FolderSource",
    "IgnoredFiles",
    "ListingRules",
    "ManifestOptions",
    "ManifestSource",
    "Source",
    "annotated_columns",
    "bare_labels",
    "canonical_uris",
    "carried_columns",
    "check_first_images",
    "check_reachable",
    "find_sources",
    "has_image",
    "list_source",
    "listed_uris",
    "look_up_versions",
    "parent_annotations",
]
