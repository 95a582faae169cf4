"""What a source is: one small class a kind of input, divided into parts, whose images are listed as refs."""

from transforms.source_kinds.annotations import annotated_columns, bare_labels, parent_annotations
from transforms.source_kinds.archives import ArchiveSource
from transforms.source_kinds.folders import FolderSource, GlobSource
from transforms.source_kinds.image_folder import with_tables
from transforms.source_kinds.manifest_source import FirstImages, ManifestSource
from transforms.source_kinds.single_files import FileSource
from transforms.source_kinds.source import EXTENSIONS, ListingRules, Source, SourcePart

__all__ = [
    "EXTENSIONS",
    "ArchiveSource",
    "FileSource",
    "FirstImages",
    "FolderSource",
    "GlobSource",
    "ListingRules",
    "ManifestSource",
    "Source",
    "SourcePart",
    "annotated_columns",
    "bare_labels",
    "parent_annotations",
    "with_tables",
]
