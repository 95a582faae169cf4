"""What a source is: one small class a kind of input, divided into parts, whose images are listed as refs."""

from transforms.source_kinds.annotations import annotated_columns, bare_labels, parent_annotations
from transforms.source_kinds.archives import ArchiveSource
from transforms.source_kinds.folders import FolderSource, GlobSource
from transforms.source_kinds.image_folder import with_tables
from transforms.source_kinds.image_tables import ImageTableSource, image_table, split_of_file
from transforms.source_kinds.manifest_source import FirstImages, ManifestSource
from transforms.source_kinds.single_files import FileSource
from transforms.source_kinds.source import EXTENSIONS, ListingRules, Source, SourcePart
from transforms.source_kinds.tfrecords import TFRecordSource

__all__ = [
    "EXTENSIONS",
    "ArchiveSource",
    "FileSource",
    "FirstImages",
    "FolderSource",
    "GlobSource",
    "ImageTableSource",
    "ListingRules",
    "ManifestSource",
    "Source",
    "SourcePart",
    "TFRecordSource",
    "annotated_columns",
    "bare_labels",
    "image_table",
    "parent_annotations",
    "split_of_file",
    "with_tables",
]
