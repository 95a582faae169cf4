"""The histogram of nearest distances: bars, marks and ticks are where the axis says, at its edges too."""

import math

import numpy as np
import pytest

from transforms.gallery.histogram import Histogram, distance_histogram

DISTANCES = {
    "one": [0.3],
    "all equal": [0.3] * 100,
    "all equal to a round number": [0.5] * 7,
    "all zero": [0.0] * 12,
    "zero and one other": [0.0, 2.0],
    "as far as can be": [2.0] * 3,
    "tiny": [1.2e-7, 2.4e-7, 3.6e-7],
    "below one power of ten": [0.21, 0.25, 0.4],
    "of seven powers of ten": np.geomspace(1e-7, 2, 500).tolist(),
    "usual": np.random.default_rng(0).lognormal(-1.5, 0.4, 10_000).clip(0, 2).tolist(),
}
THRESHOLDS = (0.0, 1e-9, 1e-6, 0.05, 0.3, 2.0)


def axis_of(drawn: Histogram) -> tuple[float, float]:
    """The pixels of a power of ten, and of the distance 1, by the first and the last tick."""
    (first_x, first), (last_x, last) = drawn.ticks[0], drawn.ticks[-1]
    per_power = (last_x - first_x) / math.log10(float(last) / float(first))
    return per_power, last_x - per_power * math.log10(float(last))


@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("name", DISTANCES)
def test_every_image_is_in_a_bar_where_the_ticks_say(name: str, threshold: float) -> None:
    nearest = np.array(DISTANCES[name], np.float32)
    drawn = distance_histogram(nearest, threshold)
    assert len(drawn.ticks) >= 2
    assert len({text for _, text in drawn.ticks}) == len(drawn.ticks)
    per_power, of_one = axis_of(drawn)
    for x, text in drawn.ticks:
        assert x == pytest.approx(of_one + per_power * math.log10(float(text)), abs=0.02)
        assert drawn.left <= x <= drawn.right
    assert np.diff([x for x, _ in drawn.ticks]).min() > 24  # Else texts would be over each other.
    places = of_one + per_power * np.log10(np.maximum(nearest.astype(np.float64), max(nearest.min(), 1e-6)))
    counts = [int(bar.text.split()[0].replace(",", "")) for bar in drawn.bars]
    assert sum(counts) == len(nearest)
    assert max(counts) == drawn.tallest
    for bar, count in zip(drawn.bars, counts, strict=True):
        assert bar.text.startswith("1 image at " if count == 1 else f"{count:,} images at ")
        assert drawn.left - 0.1 <= bar.x <= bar.x + bar.width <= drawn.right
        assert bar.height == pytest.approx((drawn.bottom - drawn.top) * count / drawn.tallest)
        assert bar.y + bar.height == pytest.approx(drawn.bottom)
        within = (bar.x - 0.1 <= places) & (places <= bar.x + bar.width + 1.1)
        surely = (bar.x + 0.1 <= places) & (places <= bar.x + bar.width + 0.9)
        assert surely.sum() <= count <= within.sum()
        close = within & (nearest <= np.float32(threshold))
        assert bar.near == (close.sum() * 2 >= count) or 0 < close.sum() < within.sum()


@pytest.mark.parametrize("name", DISTANCES)
def test_the_mark_is_at_the_threshold(name: str) -> None:
    nearest = np.array(DISTANCES[name], np.float32)
    for threshold in THRESHOLDS[1:]:
        drawn = distance_histogram(nearest, threshold)
        per_power, of_one = axis_of(drawn)
        assert drawn.mark == pytest.approx(of_one + per_power * math.log10(threshold), abs=0.1)
        assert drawn.mark is not None
        assert drawn.left <= drawn.mark <= drawn.right
    assert distance_histogram(nearest, 0.0).mark is None


def test_what_is_nearer_than_the_axis_begins_is_near() -> None:
    """Identical images are near-duplicates whatever the threshold is, and 0 has no place of its own."""
    for threshold in (0.0, 1e-9):
        bars = distance_histogram(np.array([0, 0, 0.1], np.float32), threshold).bars
        assert [(bar.text.partition(" at")[0], bar.near) for bar in bars] == [("2 images", True), ("1 image", False)]


def test_round_numbers_stand_under_a_narrow_axis() -> None:
    texts = [text for _, text in distance_histogram(np.full(9, 0.3, np.float32), 0.0).ticks]
    assert texts == ["0.28", "0.3", "0.32"]
    texts = [text for _, text in distance_histogram(np.array([0.001, 2], np.float32), 0.05).ticks]
    assert texts == ["0.001", "0.01", "0.1", "1"]
