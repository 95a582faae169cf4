"""Archives: files that hold many images as members, which are listed and read without unpacking anything to disk."""

from transforms.archives.archive import ArchiveFile, ArchiveKind, DamagedArchive, Member
from transforms.archives.naming import ARCHIVE_EXTENSIONS, archive_protocol, refuse_other_archives
from transforms.archives.reading import archive_members, find_member, read_member

__all__ = [
    "ARCHIVE_EXTENSIONS",
    "ArchiveFile",
    "ArchiveKind",
    "DamagedArchive",
    "Member",
    "archive_members",
    "archive_protocol",
    "find_member",
    "read_member",
    "refuse_other_archives",
]
