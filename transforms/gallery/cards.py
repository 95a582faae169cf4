"""Pages of cards, each a picture and some lines, that need nothing beside them."""

import base64
import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from transforms.evaluation import render, small_pictures

_FOLDER: Final = Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Card:
    """A card.

    Attributes:
        uri: The image.
        lines: What is said of it.
    """

    uri: str
    lines: Sequence[str]

    @property
    def name(self) -> str:
        """The name of its file."""
        return self.uri.rpartition("/")[2] or self.uri


def cards_html(title: str, summary: str, cards: Sequence[Card], picture_of: Callable[[str], str | None]) -> str:
    """Returns the page.

    Args:
        title: What the cards are.
        summary: What is said below the title.
        cards: The cards, in their order.
        picture_of: Returns the small picture of an image as a JPEG in base64, or None if it cannot be read.
    """
    import markupsafe

    css = (_FOLDER / "page.css").read_text()
    pictures = small_pictures([card.uri for card in cards], picture_of)
    return render(
        "cards.html.j2",
        _FOLDER,
        title=title,
        summary=summary,
        css=markupsafe.Markup(css),  # noqa: S704 - it is our own.
        style_hash=base64.b64encode(hashlib.sha256(css.encode()).digest()).decode(),
        cards=list(zip(cards, pictures, strict=True)),
    )
