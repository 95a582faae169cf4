"""Charts: small diagrams as SVG elements. Colours come from the style sheet of the page."""

import dataclasses
import itertools
import math
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from transforms.evaluation.templates import render

if TYPE_CHECKING:
    import markupsafe

_WIDTH: Final = 460
_HEIGHT: Final = 320
_LEFT: Final = 58
_RIGHT: Final = 16
_TOP: Final = 14
_BOTTOM: Final = 46
_CELL: Final = 56
_MATRIX_BOTTOM: Final = 24
_LEGEND_ROW: Final = 18
# Pixels of characters of 12 pixels' height, about those of DejaVu Sans, than which few fonts are wider.
_NARROW: Final = dict.fromkeys("fijlrtI.,:;|!()[]/'- ", 5.0)
_BROAD: Final = dict.fromkeys("mwMW@%…", 12.0)
_LOWER_CASE, _UPPER_CASE, _OTHER_SCRIPTS, _FULL_WIDTH = 7.7, 10.0, 14.0, 15.5
_LATIN: Final = 0x250
# Of the names of columns, which rise at 40 degrees.
_ACROSS: Final = math.cos(math.radians(40))
# As many points of each side of a line are looked at to see whether a legend would cover it.
_POINTS_OF_SIDE: Final = 16
_DOT_ROW: Final = 24
_DOT_WIDTH: Final = 300

_Pixels: TypeAlias = Sequence[tuple[float, float]]

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
        band: float [n] each, the least and the greatest y that belong to each x; None where there are no others.
    """

    name: str
    x: Sequence[float] | np.ndarray
    y: Sequence[float] | np.ndarray
    points: bool = False
    band: tuple[Sequence[float], Sequence[float]] | None = None

    def outline(self) -> list[tuple[float, float]]:
        """Returns the corners of the band, along its upper side and back along its lower one."""
        if self.band is None:
            return []
        least, greatest = self.band
        return [*zip(self.x, greatest, strict=True), *reversed(list(zip(self.x, least, strict=True)))]


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
    lines: Sequence[Line], axes: Axes, *, diagonal: bool = False, mark_x: float | None = None
) -> "markupsafe.Markup":
    """Draws lines. The legend stands in a corner where it covers none of them, or below where there is none.

    Args:
        lines: The lines; further than the tenth, colours repeat.
        axes: The frame.
        diagonal: Whether a dashed line is drawn from the lower left to the upper right corner.
        mark_x: Where a dashed vertical line stands.

    Returns:
        An `<svg>` element.
    """
    drawn = [[(axes.x(x), axes.y(y)) for x, y in zip(line.x, line.y, strict=True)] for line in lines]
    bands = [[(axes.x(x), axes.y(y)) for x, y in line.outline()] for line in lines]
    longest = max((text_width(line.name) for line in lines), default=0.0)
    size = round(longest + 28), _LEGEND_ROW * len(lines)
    marks = [] if mark_x is None else [[(axes.x(mark_x), axes.y(y)) for y in axes.y_range]]
    corner = _free_corner([*drawn, *bands, *marks], *size)
    return render(
        "line_chart.html.j2",
        lines=list(zip(lines, drawn, strict=True)),
        bands=bands,
        axes=axes,
        x_ticks=ticks(*axes.x_range),
        y_ticks=ticks(*axes.y_range),
        diagonal=diagonal,
        mark_x=mark_x,
        legend_corner=corner or (_LEFT, _HEIGHT + _LEGEND_ROW),
        legend_width=size[0],
        colours=COLOURS,
        width=_WIDTH,
        height=_HEIGHT,
        full_height=_HEIGHT if corner else _HEIGHT + size[1] + 8,
        left=_LEFT,
        right=_WIDTH - _RIGHT,
        top=_TOP,
        bottom=_HEIGHT - _BOTTOM,
    )


def _free_corner(lines: Sequence[_Pixels], width: int, height: int) -> tuple[int, int] | None:
    """Returns where a legend of this size begins that covers no line: the left end and the base of its first row."""
    points = np.concatenate([np.empty((0, 2)), *map(_dense, lines)])
    right, lowest = _WIDTH - _RIGHT - width, _HEIGHT - _BOTTOM - height - 8
    for x, y in itertools.product((right, _LEFT + 8), (lowest, _TOP + 2)):
        covered = (np.abs(points - (x + width / 2, y + height / 2)) < (width / 2 + 8, height / 2 + 6)).all(axis=1)
        if not covered.any():
            return x, y + 14
    return None


def _dense(line: _Pixels) -> np.ndarray:
    """Returns points all along a line, float64 [m, 2]."""
    corners = np.asarray(line, np.float64).reshape(-1, 2)
    between = np.linspace(0, 1, _POINTS_OF_SIDE)[:, None, None]
    sides: np.ndarray = (corners[:-1] + between * np.diff(corners, axis=0)).reshape(-1, 2)
    return np.concatenate([corners, sides])


@dataclasses.dataclass(frozen=True)
class Dot:
    """A row of a chart of dots.

    Attributes:
        name: What stands left of it.
        value: Where its dot is.
        interval: The ends of a line through it; None where there is none.
    """

    name: str
    value: float
    interval: tuple[float, float] | None = None


def dot_chart(dots: Sequence[Dot], label: str, bounds: tuple[float, float]) -> "markupsafe.Markup":
    """Draws values with their intervals, a row each, the first at the top.

    Args:
        dots: The values.
        label: What they are.
        bounds: The least and the greatest value of the frame.

    Returns:
        An `<svg>` element.
    """
    left = round(max((text_width(dot.name) for dot in dots), default=0.0)) + 12
    bottom = _TOP + _DOT_ROW * len(dots)
    scale = _DOT_WIDTH / (bounds[1] - bounds[0])
    return render(
        "dot_chart.html.j2",
        dots=[(dot, _TOP + _DOT_ROW * (row + 0.5)) for row, dot in enumerate(dots)],
        label=label,
        ticks=ticks(*bounds),
        x=lambda value: left + (value - bounds[0]) * scale,
        left=left,
        right=left + _DOT_WIDTH,
        top=_TOP,
        bottom=bottom,
        width=left + _DOT_WIDTH + _RIGHT,
        height=bottom + _BOTTOM,
    )


def ticks(least: float, greatest: float, about: int = 5) -> list[float]:
    """Returns round numbers between two bounds, about so many: steps of 1, 2 or 5 times a power of ten."""
    rough = (greatest - least) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(least / step - 1e-9)
    last = math.floor(greatest / step + 1e-9)
    # Without what floats add to decimals.
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


def text_width(text: str) -> float:
    """Returns about how many pixels a text of 12 pixels' height takes, and seldom fewer than it does."""
    return sum(map(_character_width, text))


def _character_width(character: str) -> float:
    known = _NARROW.get(character) or _BROAD.get(character)
    if known:
        return known
    if ord(character) >= _LATIN:
        return _FULL_WIDTH if unicodedata.east_asian_width(character) in {"W", "F"} else _OTHER_SCRIPTS
    return _UPPER_CASE if character.isupper() or character in "+=<>~#&" else _LOWER_CASE


def matrix_chart(matrix: np.ndarray, names: Sequence[str]) -> "markupsafe.Markup":
    """Draws a confusion matrix: rows are true classes, columns predicted ones, shades the share of the row.

    Args:
        matrix: int64 [n, n].
        names: The classes.

    Returns:
        An `<svg>` element.
    """
    shown = [name if len(name) <= 14 else name[:13] + "…" for name in names]
    widths = [text_width(name) for name in shown]
    left, top = max(widths) + 36, max(widths) * 0.75 + 44
    ends = [_CELL * (column + 0.5) + _ACROSS * width for column, width in enumerate(widths)]
    return render(
        "matrix_chart.html.j2",
        names=shown,
        counts=matrix.tolist(),
        shares=(matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)).tolist(),
        cell=_CELL,
        left=left,
        top=top,
        width=left + max(_CELL * len(names) + 24, max(ends) + 8),
        height=top + _CELL * len(names) + _MATRIX_BOTTOM,
    )
