"""Archives told by their names."""

from typing import Final

from schemas.errors import InvalidInput, shown
from schemas.storage import without_query

# The protocol of each ending. What is in a `.tar` decides whether it is compressed, not its name.
_ENDINGS: Final = {".zip": "zip", ".tar": "tar", ".tar.gz": "tar", ".tgz": "tar"}

# The last extensions of them all, for listings of folders.
ARCHIVE_EXTENSIONS: Final = ("zip", "tar", "gz", "tgz")

_NOT_READ: Final = (".7z", ".rar", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz", ".tar.zst", ".tzst", ".tar.lz4")


def archive_protocol(uri: str) -> str | None:
    """Returns the protocol of the members of what is named like an archive; None if it is not.

    >>> archive_protocol("shard-000.TAR.GZ"), archive_protocol("https://host/a.zip?sig=b"), archive_protocol("a.gz")
    ('tar', 'zip', None)
    """
    name = without_query(uri).lower()
    return next((protocol for ending, protocol in _ENDINGS.items() if name.endswith(ending)), None)


def archive_protocol_of(head: bytes) -> str | None:
    """Returns the protocol of the members of what begins as an archive, uncompressed; None if it does not."""
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        return "zip"
    return "tar" if head[257:262] == b"ustar" else None


def refuse_other_archives(uri: str) -> None:
    """Refuses a file whose name says that it is an archive of a kind that is not read.

    Raises:
        InvalidInput: If it is.
    """
    if without_query(uri).lower().endswith(_NOT_READ):
        raise InvalidInput(
            f"The input {shown(uri)} is an archive of a kind that is not read; write it as .zip, .tar or .tar.gz."
        )
