"""Lines of tables that commands print, and numbers in them.

Rich's tables take a tenth of a second to import, and cut or wrap what is wider than the terminal.
"""

from collections.abc import Sequence

from schemas.errors import printable, with_count


def padded_line(cells: Sequence[object], widths: Sequence[int]) -> str:
    """Returns a line of a table; whole numbers are grouped by thousands, others have one decimal.

    Args:
        cells: One a column.
        widths: The characters of each column; of one whose texts stand on the left, negative.

    >>> padded_line(["2026-01-31", 12345, 1.25, "ok"], [-12, 8, 6, 4])
    '2026-01-31    12,345   1.2  ok'
    """
    texts = [_cell_text(cell) for cell in cells]
    return "".join(
        text.ljust(-width) if width < 0 else text.rjust(width) for text, width in zip(texts, widths, strict=True)
    )


def size_text(size: int) -> str:
    """Returns bytes in a unit that leaves at least one digit before the point.

    >>> size_text(999), size_text(18_432), size_text(2_500_000_000)
    ('999 bytes', '18.4 kB', '2.5 GB')
    """
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:,.1f} {unit}"
    return with_count(size, "byte")


def _cell_text(cell: object) -> str:
    if isinstance(cell, int):
        return f"{cell:,}"
    return f"{cell:.1f}" if isinstance(cell, float) else printable(str(cell))
