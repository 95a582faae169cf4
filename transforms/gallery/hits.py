"""The hits of a search as a page."""

import pyarrow as pa

from transforms.evaluation import thumbnail
from transforms.gallery.cards import Card, cards_html


def hits_html(asked: str, hits: pa.Table, summary: str) -> str:
    """Returns the page, with small pictures of the images that can be read; the one asked for is the first.

    Args:
        asked: The image that was searched for; one of no name, as from standard input, has no card.
        hits: Rows with `uri`, `distance`, and `label` and `split` where they are known; the nearest first.
        summary: What is said below the title.
    """
    query = [] if asked in {"", "-"} else [Card(asked, ["query"])]
    cards = [*query, *(Card(row["uri"], _lines(row)) for row in hits.to_pylist())]
    name = asked.rpartition("/")[2] if query else "the picture"
    return cards_html(f"Nearest to {name}", summary, cards, thumbnail)


def _lines(row: dict[str, object]) -> list[str]:
    known = [str(row[name]) for name in ("label", "split") if row.get(name)]
    return [f"distance {row['distance']:.4f}", *known]
