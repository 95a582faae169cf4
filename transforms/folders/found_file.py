"""`FoundFile`: an image file that a listing has found."""

import os
from typing import Final, NamedTuple

NOT_UTF_8: Final = "The name of the file, or of a folder above it, is not UTF-8; rename it."


class FoundFile(NamedTuple):
    """An image file that a listing has found.

    Attributes:
        uri: Where it is, in canonical form.
        version: What changes when its bytes change; empty where nothing is known of it, None where it can be looked up.
        size: Its bytes, where the listing has them.
        problem: Why it cannot be read, where that is known.
        place: Where its bytes are in its archive, where it is a member of one.
    """

    uri: str
    version: str | None
    size: int | None
    problem: str | None = None
    place: str | None = None


def local_file(path: str, version: str, size: int | None) -> FoundFile:
    """Returns a file of this machine; one whose path is not UTF-8 has it escaped, and is known to be unreadable."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return FoundFile(f"file://{escaped(path)}", version, size, NOT_UTF_8)
    return FoundFile(f"file://{path}", version, size)


def escaped(name: str) -> str:
    r"""Returns a file's name with the bytes of it that are not UTF-8 as `\xe9`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
