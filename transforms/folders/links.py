"""Links in a folder: where they may lead.

Whoever may write into a folder may put a link into it to any file of the machine. So a link is followed where a data
set keeps what it links: in the input's folder, or beside it, in the folder above. What leads elsewhere is a row in
`failures`, and an option follows it.
"""

import enum
import os
from typing import Final

from schemas.images import not_allowed


class FollowLinks(enum.StrEnum):
    """Where the links in a folder may lead: below the input's folder, or that above it, or anywhere."""

    INSIDE = "inside"
    BESIDE = "beside"
    ANYWHERE = "anywhere"


LEADS_OUT: Final = not_allowed(
    "It is a link that leads out of the input's folder and what lies beside it; --follow_links=anywhere follows it."
)


class Links:
    """The links below a folder."""

    def __init__(self, root: str, follow: FollowLinks) -> None:
        """Looks at where they may lead.

        Args:
            root: The input's folder.
            follow: How far.
        """
        real = os.path.realpath(root)
        self._follow = follow
        self._within = _above(real) if follow == FollowLinks.BESIDE else real

    def lead_out(self, entry: "os.DirEntry[str]") -> bool:
        """Whether an entry of a folder is a link that leads to where it is not followed."""
        if self._follow == FollowLinks.ANYWHERE or not entry.is_symlink():
            return False
        real = os.path.realpath(entry.path)
        return real != self._within and not real.startswith(f"{self._within.rstrip('/')}/")


def _above(folder: str) -> str:
    """Returns the folder above one, unless that would be the whole machine, or all that a user has."""
    above = os.path.dirname(folder)  # noqa: PTH120 (as text)
    return folder if above in {"/", os.path.realpath(os.path.expanduser("~"))} else above  # noqa: PTH111
