"""The hits of a search as a page that needs nothing beside it."""

import base64
import concurrent.futures
import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa

from transforms.evaluation import render, thumbnail

_FOLDER: Final = Path(__file__).parent
_THREADS: Final = 8


@dataclasses.dataclass(frozen=True)
class _Hit:
    uri: str
    name: str
    lines: Sequence[str]
    thumbnail: str | None


def hits_html(asked: str, hits: pa.Table, summary: str) -> str:
    """Returns the page, with small pictures of the images that can be read.

    Args:
        asked: What was searched for.
        hits: Rows with `uri`, `distance`, and `label` and `split` where they are known; the nearest first.
        summary: What is said below the title.
    """
    import markupsafe

    css = (_FOLDER / "page.css").read_text()
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        thumbnails = list(pool.map(thumbnail, hits["uri"].to_pylist()))
    rows = zip(hits.to_pylist(), thumbnails, strict=True)
    return render(
        "hits.html.j2",
        _FOLDER,
        asked=asked,
        summary=summary,
        css=markupsafe.Markup(css),  # noqa: S704 - it is our own.
        style_hash=base64.b64encode(hashlib.sha256(css.encode()).digest()).decode(),
        hits=[_Hit(row["uri"], row["uri"].rpartition("/")[2], _lines(row), picture) for row, picture in rows],
    )


def _lines(row: dict[str, object]) -> list[str]:
    known = [str(row[name]) for name in ("label", "split") if row.get(name)]
    return [f"distance {row['distance']:.4f}", *known]
