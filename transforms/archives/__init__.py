"""Archives: files that hold many images as members, which are listed and read without unpacking anything to disk."""

from transforms.archives.archive import ArchiveFile, ArchiveKind, Member
from transforms.archives.naming import ARCHIVE_EXTENSIONS, archive_protocol, refuse_other_archives
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

__all__ = [
    "ARCHIVE_EXTENSIONS",
    "ArchiveFile",
    "ArchiveKind",
    "Member",
    "Scalar",
    "UnreadableField",
    "archive_members",
    "archive_protocol",
    "find_member",
    "in_type",
    "is_class",
    "read_member",
    "refuse_other_archives",
    "sample_columns",
    "sample_fields",
    "sample_key",
    "stands_beside",
]
