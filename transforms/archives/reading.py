"""Reading archives, whatever their kind: what they hold, and members by their URIs or by their places.

Directories of the archives that members were last asked of by their URIs alone are kept, by the version of the archive:
an archive that was written anew is read anew.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from schemas.errors import DamagedArchive, FailureCode, ImageError
from schemas.storage import MemberUri
from transforms.archives.archive import ArchiveFile, ArchiveKind, Member, Wanted, nothing
from transforms.archives.last_used import LastUsed
from transforms.archives.parquet_images import ParquetImages
from transforms.archives.tar_archives import TarArchives
from transforms.archives.tfrecords import TFRecords
from transforms.archives.zip_archives import ZipArchives

_KINDS: Final[Mapping[str, ArchiveKind]] = {
    "parquet": ParquetImages(),
    "tar": TarArchives(),
    "tfrecord": TFRecords(),
    "zip": ZipArchives(),
}

# A directory takes some 300 bytes a member.
_DIRECTORIES_KEPT: Final = 4


def archive_members(protocol: str, archive_uri: str, wants: Wanted = nothing) -> Iterator[Member]:
    """Yields the members of an archive that are files, in its order.

    Args:
        protocol: What kind of archive it is: one of `MEMBER_PROTOCOLS`.
        archive_uri: Where it is.
        wants: Which small members are read on the way; see `ArchiveKind.members`.

    Raises:
        DamagedArchive: Where it cannot be read, after the members that can be.
        OSError: What its file system raises if it is not there, or the storage is at fault.
    """
    archive = ArchiveFile(archive_uri)
    yield from _KINDS[protocol].members(archive, archive.version(), wants)


def find_member(uri: MemberUri) -> Member:
    """Returns a member by its URI alone, by the directory of its archive.

    Raises:
        ImageError: If the archive has no such member.
        DamagedArchive: If its directory cannot be read so far.
        OSError: What its file system raises if it is not there, or the storage is at fault.
    """
    directory = _directory_of(uri)
    member = directory.members.get(uri.name)
    if member is None:
        if directory.damage is not None:
            raise DamagedArchive(directory.damage.code, directory.damage.message)
        raise ImageError(FailureCode.NOT_FOUND, f"The archive has no member {uri.name}.")
    return member


def read_member(uri: MemberUri, place: str | None, max_bytes: int) -> bytes:
    """Reads a member.

    Args:
        uri: The member.
        place: Where it is, if its listing has that.
        max_bytes: The most bytes that it may have.

    Raises:
        ImageError: If there is none, if it has more bytes, or is damaged.
        DamagedArchive: If its directory is needed, and cannot be read so far.
        OSError: What its file system raises if it is not there, or the storage is at fault.
    """
    if place is None:
        member = find_member(uri)
        if member.place is None:
            raise ImageError(FailureCode.INVALID_URI, member.problem or "It is a pipe or a device.")
        place = member.place
    return _KINDS[uri.protocol].read(ArchiveFile(uri.archive_uri), place, max_bytes)


class _Directory:
    """What an archive holds.

    Attributes:
        members: By their names; of several of the same name the last, as unpacking would leave it.
        damage: What is wrong with the rest of the archive, if something is.
    """

    def __init__(self, members: Iterator[Member]) -> None:
        self.members: dict[str, Member] = {}
        self.damage: DamagedArchive | None = None
        try:
            for member in members:
                self.members[member.name] = member
        except DamagedArchive as error:
            self.damage = error


_DIRECTORIES: Final = LastUsed[tuple[str, str, str], _Directory](_DIRECTORIES_KEPT)


def _directory_of(uri: MemberUri) -> _Directory:
    """Returns the directory of a member's archive, as the archive is now."""
    archive = ArchiveFile(uri.archive_uri)
    version = archive.version()
    key = uri.protocol, uri.archive_uri, version
    return _DIRECTORIES.get(key, lambda: _Directory(_KINDS[uri.protocol].members(archive, version)))
