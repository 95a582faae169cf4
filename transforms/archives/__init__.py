"""Archives: files that hold many images as members, which are listed and read without unpacking anything to disk."""

from transforms.archives.archive import ArchiveFile, ArchiveKind, Member
from transforms.archives.naming import ARCHIVE_EXTENSIONS, archive_protocol, refuse_other_archives
from transforms.archives.parquet_images import PATH, Cell, cell_name, features_of, has_bytes, image_column
from transforms.archives.reading import archive_members, find_member, read_member
from transforms.archives.samples import (
    Scalar,
    UnreadableField,
    in_type,
    is_class,
    sample_columns,
    sample_fields,
    sample_key,
    stands_beside,
)
from transforms.archives.tfrecords import HEADER_BYTES, ExampleImage, example_images, is_tfrecord

__all__ = [
    "ARCHIVE_EXTENSIONS",
    "HEADER_BYTES",
    "PATH",
    "ArchiveFile",
    "ArchiveKind",
    "Cell",
    "ExampleImage",
    "Member",
    "Scalar",
    "UnreadableField",
    "archive_members",
    "archive_protocol",
    "cell_name",
    "example_images",
    "features_of",
    "find_member",
    "has_bytes",
    "image_column",
    "in_type",
    "is_class",
    "is_tfrecord",
    "read_member",
    "refuse_other_archives",
    "sample_columns",
    "sample_fields",
    "sample_key",
    "stands_beside",
]
