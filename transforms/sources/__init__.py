"""Where images come from: folders, globs, files and manifests, listed as image refs, and opened."""

from transforms.folders import FollowLinks, IgnoredFiles
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
    parent_annotations,
)
from transforms.sources.finding import carried_columns, find_sources
from transforms.sources.first_look import take_first_look
from transforms.sources.listing import list_source
from transforms.sources.stat import look_up_versions

__all__ = [
    "EXTENSIONS",
    "ArchiveSource",
    "FolderSource",
    "FollowLinks",
    "IgnoredFiles",
    "ListingRules",
    "ManifestOptions",
    "ManifestSource",
    "Source",
    "annotated_columns",
    "bare_labels",
    "canonical_uris",
    "carried_columns",
    "find_sources",
    "list_source",
    "listed_uris",
    "look_up_versions",
    "parent_annotations",
    "take_first_look",
]
