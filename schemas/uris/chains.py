"""Chained URIs, as fsspec writes them: `zip://cats/0.jpg::file:///pets.zip` is a member of an archive.

A member's name is that under which it would be unpacked: with `/` between folders, whatever the packer wrote, without a
`/` before it, and never outside of the archive.
"""

import re
from typing import Final, NamedTuple

# Files that hold images which have URIs of their own; `transforms/archives` reads them.
MEMBER_PROTOCOLS: Final = frozenset({"parquet", "tar", "tfrecord", "zip"})

# fsspec reads a "::" as a chain of file systems. Only these ever stand at the head of one; in any other URI "::" is
# part of a name.
_CHAIN_HEADS: Final = MEMBER_PROTOCOLS | {
    "libarchive",
    "simplecache",
    "filecache",
    "blockcache",
    "reference",
    "dir",
}
# What follows the "::" that ends a name: another "::" before it is part of the name.
_NEXT_LINK: Final = re.compile(r"::(?=[a-zA-Z][a-zA-Z0-9+.-]*://|(?:simple|file|block)cache::)")
_UNTIDY: Final = re.compile(r"\\|^/|/$|//|(?:^|/)\.\.?(?:/|$)")


class MemberUri(NamedTuple):
    """The URI of a member of an archive.

    Attributes:
        protocol: What kind of archive it is.
        name: The member, as it would be unpacked; a folder in the archive, a glob, or empty, where inputs are named.
        archive_uri: The archive.
    """

    protocol: str
    name: str
    archive_uri: str

    def __str__(self) -> str:
        return f"{self.protocol}://{self.name}::{self.archive_uri}"


def is_chained(uri: str) -> bool:
    """Whether a URI is a chain of file systems."""
    head, separator, _ = uri.partition("::")
    return bool(separator) and head.partition("://")[0].lower() in _CHAIN_HEADS


def split_chain(uri: str) -> tuple[str, str]:
    """Returns the first link of a chain, and the URI of the file that it is in.

    >>> split_chain("zip://a::b.jpg::file:///c.zip")
    ('zip://a::b.jpg', 'file:///c.zip')
    """
    found = _NEXT_LINK.search(uri)
    if found:
        return uri[: found.start()], uri[found.end() :]
    head, _, rest = uri.rpartition("::")
    return head, rest


def member_uri(uri: str) -> MemberUri | None:
    """Returns the parts of a member's URI, or None if it is none, or one of an archive within an archive."""
    if not is_chained(uri):
        return None
    head, archive = split_chain(uri)
    protocol, _, name = head.partition("://")
    if protocol.lower() not in MEMBER_PROTOCOLS or archive.partition("://")[0].lower() in MEMBER_PROTOCOLS:
        return None
    return MemberUri(protocol.lower(), tidy_name(name), archive)


def tidy_name(name: str) -> str:
    r"""Returns a member's name as it would be unpacked.

    >>> tidy_name("cats\\0.jpg"), tidy_name("/./a//b.jpg"), tidy_name("../../etc/c.jpg")
    ('cats/0.jpg', 'a/b.jpg', 'etc/c.jpg')
    """
    if not _UNTIDY.search(name):
        return name
    kept: list[str] = []
    for part in name.replace("\\", "/").split("/"):
        if part == "..":
            del kept[-1:]
        elif part not in {"", "."}:
            kept.append(part)
    return "/".join(kept)
