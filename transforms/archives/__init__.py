"""Archives: files that hold many images as members, which are listed and read without unpacking anything to disk."""

from transforms.archives.archive import ArchiveFile, ArchiveKind, Member
from transforms.archives.fields import Fields, Scalar, UnreadableField, in_types
from transforms.archives.naming import ARCHIVE_EXTENSIONS, archive_protocol, archive_protocol_of, refuse_other_archives
from transforms.archives.parquet_images import (
    PATH,
    Cell,
    cell_name,
    features_of,
    has_bytes,
    holds_paths,
    image_column,
    image_lists,
)
from transforms.archives.reading import archive_members, find_member, read_member
from transforms.archives.samples import (
    is_class,
    sample_columns,
    sample_fields,
    sample_key,
    stands_beside,
)
from transforms.archives.tfrecords import (
    HEADER_BYTES,
    ExampleImage,
    RecordFeatures,
    example_images,
    is_tfrecord,
    record_columns,
)

__all__ = [
    "ARCHIVE_EXTENSIONS",
    "HEADER_BYTES",
    "PATH",
    "ArchiveFile",
    "ArchiveKind",
    "Cell",
    "ExampleImage",
    "Fields",
    "Member",
    "RecordFeatures",
    "Scalar",
    "UnreadableField",
    "archive_members",
    "archive_protocol",
    "archive_protocol_of",
    "cell_name",
    "example_images",
    "features_of",
    "find_member",
    "has_bytes",
    "holds_paths",
    "image_column",
    "image_lists",
    "in_types",
    "is_class",
    "is_tfrecord",
    "read_member",
    "record_columns",
    "refuse_other_archives",
    "sample_columns",
    "sample_fields",
    "sample_key",
    "stands_beside",
]
