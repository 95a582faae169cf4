"""Where images come from: folders, globs and manifests, listed as image refs."""

from transforms.sources.annotations import annotated_columns, bare_labels, parent_annotations
from transforms.sources.listing import has_image, list_source
from transforms.sources.manifests import canonical_uris
from transforms.sources.reachability import check_reachable
from transforms.sources.source import EXTENSIONS, IgnoredFiles, ListingRules, Source, carried_columns, find_sources
from transforms.sources.stat import look_up_versions
from transforms.sources.takedown_lists import listed_uris

__all__ = [
    "EXTENSIONS",
    "IgnoredFiles",
    "ListingRules",
    "Source",
    "annotated_columns",
    "bare_labels",
    "canonical_uris",
    "carried_columns",
    "check_reachable",
    "find_sources",
    "has_image",
    "list_source",
    "listed_uris",
    "look_up_versions",
    "parent_annotations",
]
