"""The histogram of the page of an exploration: how far images are from their nearest neighbours."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from schemas.errors import with_count
from transforms.evaluation import ticks

_BARS: Final = 54
_LEFT, _RIGHT, _TOP, _BOTTOM = 56.0, 536.0, 14.0, 150.0
# A logarithmic axis has no place for 0: what is nearer than this is drawn here.
_LEAST: Final = 1e-6
# On an axis of more powers of ten than these, they alone are labelled; else 2 and 5 times them, too.
_MOST_POWERS: Final = 3


@dataclasses.dataclass(frozen=True)
class _Bar:
    x: float
    y: float
    width: float
    height: float
    text: str
    near: bool


@dataclasses.dataclass(frozen=True)
class Histogram:
    """A histogram, in the units of its drawing.

    Attributes:
        bars: Its bars.
        mark: Where the threshold is, if it is above 0.
        ticks: Round distances: where they are, and their texts.
        tallest: The images of the highest bar, which ends at `top`.
        left: Where the horizontal axis begins.
        right: Where it ends.
        top: The upper end of the vertical axis.
        bottom: Where the horizontal axis is.
    """

    bars: Sequence[_Bar]
    mark: float | None
    ticks: Sequence[tuple[float, str]]
    tallest: int
    left: float = _LEFT
    right: float = _RIGHT
    top: float = _TOP
    bottom: float = _BOTTOM


def distance_histogram(nearest: np.ndarray, threshold: float) -> Histogram:
    """Returns how many images are how far from their nearest neighbours, on a logarithmic axis."""
    least = float(max(nearest.min(), _LEAST))
    low = math.log10(min(least, threshold or least) * 0.9)
    high = math.log10(max(float(nearest.max()), threshold, least) * 1.1)
    edges = np.linspace(low, high, _BARS + 1)
    exponents = np.log10(np.maximum(nearest, least))
    counts, close = (np.histogram(shown, edges)[0] for shown in (exponents, exponents[nearest <= threshold]))

    def x(exponent: float) -> float:
        return _LEFT + (_RIGHT - _LEFT) * (exponent - low) / (high - low)

    step = (_RIGHT - _LEFT) / _BARS
    tallest = max(int(counts.max()), 1)
    bars = [
        _Bar(x(edge), _BOTTOM - (_BOTTOM - _TOP) * count / tallest, step - 1, (_BOTTOM - _TOP) * count / tallest,
             f"{with_count(int(count), 'image')} at {10**edge:.2g}", bool(2 * near >= count))
        for edge, count, near in zip(edges[:-1], counts, close, strict=True)
        if count
    ]  # fmt: skip
    labels = [(x(math.log10(value)), f"{value:g}") for value in _round_values(low, high)]
    return Histogram(bars, x(math.log10(threshold)) if threshold > 0 else None, labels, tallest)


def _round_values(low: float, high: float) -> list[float]:
    """Returns round numbers, two at least, between powers of ten, given by their exponents, for a logarithmic axis."""
    factors = (1, 2, 5) if high - low <= _MOST_POWERS else (1,)
    exponents = range(math.floor(low), math.floor(high) + 1)
    values = [float(f"{factor}e{exponent}") for exponent in exponents for factor in factors]
    within = [value for value in values if low <= math.log10(value) <= high]
    return within if len(within) > 1 else ticks(10**low, 10**high)
