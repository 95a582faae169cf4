"""Charts: small diagrams as SVG elements. Colours come from the style sheet of the page."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

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
    lines: Sequence[Line], axes: Axes, *, diagonal: bool = False, mark_x: float | None = None, legend: str = "bottom"
) -> "markupsafe.Markup":
    """Draws lines.

    Args:
        lines: The lines; further than the tenth, colours repeat.
        axes: The frame.
        diagonal: Whether a dashed line is drawn from the lower left to the upper right corner.
        mark_x: Where a dashed vertical line stands.
        legend: `top` or `bottom`: the corner on the right that holds it.

    Returns:
        An `<svg>` element.
    """
    longest = max((len(line.name) for line in lines), default=0)
    legend_x = round(_WIDTH - _RIGHT - 6.4 * longest - 30)
    legend_y = _TOP + 16 if legend == "top" else _HEIGHT - _BOTTOM - 18 * len(lines) + 6
    return render(
        "line_chart.html.j2",
        lines=[(line, [(axes.x(x), axes.y(y)) for x, y in zip(line.x, line.y, strict=True)]) for line in lines],
        bands=[[(axes.x(x), axes.y(y)) for x, y in line.outline()] for line in lines],
        axes=axes,
        x_ticks=ticks(*axes.x_range),
        y_ticks=ticks(*axes.y_range),
        diagonal=diagonal,
        mark_x=mark_x,
        legend_corner=(legend_x, legend_y),
        colours=COLOURS,
        width=_WIDTH,
        height=_HEIGHT,
        left=_LEFT,
        right=_WIDTH - _RIGHT,
        top=_TOP,
        bottom=_HEIGHT - _BOTTOM,
    )


def ticks(least: float, greatest: float, about: int = 5) -> list[float]:
    """Returns round numbers between two bounds, about so many: steps of 1, 2 or 5 times a power of ten."""
    rough = (greatest - least) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(least / step - 1e-9)
    last = math.floor(greatest / step + 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def matrix_chart(matrix: np.ndarray, names: Sequence[str]) -> "markupsafe.Markup":
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
    return render(
        "matrix_chart.html.j2",
        names=shown,
        counts=matrix.tolist(),
        shares=(matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)).tolist(),
        cell=_CELL,
        left=left,
        top=top,
        width=left + _CELL * len(names) + 24,
        height=top + _CELL * len(names) + _MATRIX_BOTTOM,
    )
