"""The blocks that reports are built of, as HTML."""

import html
from collections.abc import Sequence


def section(title: str, content: str, note: str = "") -> str:
    """Returns a section: its title, a note in HTML, and its content."""
    told = f'<p class="note">{note}</p>' if note else ""
    return f"<section><h2>{html.escape(title)}</h2>{told}{content}</section>"


def table(heads: Sequence[str], rows: Sequence[str]) -> str:
    """Returns a table that scrolls on its own where it is too wide; rows in HTML."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in heads)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def figures(*charts: str) -> str:
    """Returns charts side by side."""
    return f'<div class="charts">{"".join(f"<figure>{chart}</figure>" for chart in charts)}</div>'


def number(value: float | None) -> str:
    """Returns a figure as text."""
    return "–" if value is None else f"{value:.4f}"
