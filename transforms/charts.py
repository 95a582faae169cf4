"""Charts: small diagrams as SVG text, drawn by pure functions. Colours come from the style sheet of the page."""

import dataclasses
import html
import math
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

_WIDTH: Final = 460
_HEIGHT: Final = 320
_LEFT: Final = 58
_RIGHT: Final = 16
_TOP: Final = 14
_BOTTOM: Final = 46
_CELL: Final = 56
_MATRIX_BOTTOM: Final = 24

# Line colours that the style sheet knows: `.line-0` to `.line-9`.
COLOURS: Final = 10


@dataclasses.dataclass(frozen=True)
class Line:
    """A line in a chart.

    Attributes:
        name: What the legend calls it.
        x: float [n].
        y: float [n].
        points: Whether each point is marked.
    """

    name: str
    x: Sequence[float] | np.ndarray
    y: Sequence[float] | np.ndarray
    points: bool = False


@dataclasses.dataclass(frozen=True)
class Axes:
    """The frame of a chart.

    Attributes:
        x_label: What stands under it.
        y_label: What stands left of it.
        x_range: The least and the greatest x.
        y_range: The least and the greatest y.
    """

    x_label: str
    y_label: str
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def x(self, value: float) -> float:
        """Returns the pixel of an x."""
        least, greatest = self.x_range
        return _LEFT + (value - least) / (greatest - least) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        """Returns the pixel of a y."""
        least, greatest = self.y_range
        return _HEIGHT - _BOTTOM - (value - least) / (greatest - least) * (_HEIGHT - _TOP - _BOTTOM)


def line_chart(
    lines: Sequence[Line], axes: Axes, *, diagonal: bool = False, mark_x: float | None = None, legend: str = "bottom"
) -> str:
    """Draws lines.

    Args:
        lines: The lines; further than the tenth, colours repeat.
        axes: The frame.
        diagonal: Whether the line x = y is drawn, dashed.
        mark_x: Where a dashed vertical line stands.
        legend: `top` or `bottom`: the corner on the right that holds it.

    Returns:
        An `<svg>` element.
    """
    parts = list(_frame(axes))
    if diagonal:
        parts.append(
            _dashed(axes.x(axes.x_range[0]), axes.y(axes.y_range[0]), axes.x(axes.x_range[1]), axes.y(axes.y_range[1]))
        )
    if mark_x is not None:
        parts.append(_dashed(axes.x(mark_x), axes.y(axes.y_range[0]), axes.x(mark_x), axes.y(axes.y_range[1])))
    for number, line in enumerate(lines):
        colour = f"line-{number % COLOURS}"
        points = [(axes.x(x), axes.y(y)) for x, y in zip(line.x, line.y, strict=True)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline class="line {colour}" points="{path}"/>')
        if line.points:
            parts += [f'<circle class="point {colour}" cx="{x:.1f}" cy="{y:.1f}" r="3.2"/>' for x, y in points]
    parts += _legend([line.name for line in lines], legend)
    return _svg(_WIDTH, _HEIGHT, axes.y_label, parts)


def _svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    head = f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img" aria-label="{html.escape(title)}">'
    return head + "".join(parts) + "</svg>"


def _dashed(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="dashed" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _frame(axes: Axes) -> Iterator[str]:
    bottom, left = _HEIGHT - _BOTTOM, _LEFT
    for value in ticks(*axes.y_range):
        y = axes.y(value)
        yield f'<line class="grid" x1="{left}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}"/>'
        yield f'<text class="tick" x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
    for value in ticks(*axes.x_range):
        x = axes.x(value)
        yield f'<line class="axis" x1="{x:.1f}" y1="{bottom}" x2="{x:.1f}" y2="{bottom + 4}"/>'
        yield f'<text class="tick" x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{value:g}</text>'
    yield f'<line class="axis" x1="{left}" y1="{bottom}" x2="{_WIDTH - _RIGHT}" y2="{bottom}"/>'
    middle = (left + _WIDTH - _RIGHT) / 2
    under = html.escape(axes.x_label)
    yield f'<text class="label" x="{middle:g}" y="{_HEIGHT - 8}" text-anchor="middle">{under}</text>'
    centre = (_TOP + bottom) / 2
    turned = f'transform="rotate(-90 14 {centre:g})"'
    yield f'<text class="label" x="14" y="{centre:g}" text-anchor="middle" {turned}>{html.escape(axes.y_label)}</text>'


def _legend(names: Sequence[str], corner: str) -> list[str]:
    longest = max((len(name) for name in names), default=0)
    x = _WIDTH - _RIGHT - 6.4 * longest - 30
    y = _TOP + 16 if corner == "top" else _HEIGHT - _BOTTOM - 18 * len(names) + 6
    height = 18 * len(names) + 4
    parts = [f'<rect class="backing" x="{x - 4:.0f}" y="{y - 16:.0f}" width="{_WIDTH - x:.0f}" height="{height}"/>']
    for number, name in enumerate(names):
        row = y + 18 * number
        parts.append(
            f'<line class="line line-{number % COLOURS}" x1="{x:.0f}" y1="{row - 4}" x2="{x + 18:.0f}" y2="{row - 4}"/>'
            f'<text class="tick" x="{x + 24:.0f}" y="{row}">{html.escape(name)}</text>'
        )
    return parts


def ticks(least: float, greatest: float, about: int = 5) -> list[float]:
    """Returns round numbers between two bounds, about so many: steps of 1, 2 or 5 times a power of ten."""
    rough = (greatest - least) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(least / step - 1e-9)
    last = math.floor(greatest / step + 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def matrix_chart(matrix: np.ndarray, names: Sequence[str]) -> str:
    """Draws a confusion matrix: rows are true classes, columns predicted ones, shades the share of the row.

    Args:
        matrix: int64 [n, n].
        names: The classes.

    Returns:
        An `<svg>` element.
    """
    shown = [name if len(name) <= 14 else name[:13] + "…" for name in names]
    widest = 7 * max(len(name) for name in shown)
    left, top = widest + 44, widest * 0.75 + 44
    width, height = left + _CELL * len(names) + 24, top + _CELL * len(names) + _MATRIX_BOTTOM
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    across, down = left + _CELL * len(names) / 2, top + _CELL * len(names) / 2
    turned = f'transform="rotate(-90 14 {down:g})"'
    parts = [
        f'<text class="label" x="{across:g}" y="16" text-anchor="middle">predicted</text>',
        f'<text class="label" x="14" y="{down:g}" text-anchor="middle" {turned}>true</text>',
    ]
    for row, name in enumerate(shown):
        middle = top + _CELL * (row + 0.5) + 4
        column = left + _CELL * (row + 0.5)
        parts.append(f'<text class="tick" x="{left - 8:g}" y="{middle:g}" text-anchor="end">{html.escape(name)}</text>')
        parts.append(
            f'<text class="tick" x="{column:g}" y="{top - 8:g}" '
            f'transform="rotate(-40 {column:g} {top - 8:g})">{html.escape(name)}</text>'
        )
        for at in range(len(names)):
            kind = "right" if row == at else "wrong"
            parts.append(
                _cell(left + _CELL * at, top + _CELL * row, kind, int(matrix[row, at]), float(shares[row, at]))
            )
    return _svg(width, height, "confusion matrix", parts)


def _cell(x: float, y: float, kind: str, count: int, share: float) -> str:
    # From two thirds on a shade is so dark that the number on it has to be light.
    number = "number light" if share > 0.66 else "number"
    return (
        f'<rect class="cell {kind}" x="{x + 1:g}" y="{y + 1:g}" width="{_CELL - 2}" height="{_CELL - 2}" '
        f'fill-opacity="{0.04 + 0.9 * share:.3f}"/>'
        f'<text class="{number}" x="{x + _CELL / 2:g}" y="{y + _CELL / 2 - 2:g}" text-anchor="middle">{count:,}</text>'
        f'<text class="{number} small" x="{x + _CELL / 2:g}" y="{y + _CELL / 2 + 14:g}" text-anchor="middle">'
        f"{share:.1%}</text>"
    )
