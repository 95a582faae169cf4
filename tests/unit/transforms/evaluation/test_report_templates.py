"""Reports: what stands in them comes from users and files, and is text."""

import math
import re
import xml.etree.ElementTree as ET

import jinja2
import numpy as np
import pytest

from transforms.evaluation.charts import Axes, Dot, Line, dot_chart, line_chart, matrix_chart, ticks
from transforms.evaluation.report import _rounded
from transforms.evaluation.templates import render

HOSTILE = "<script>'\"&</script>"
ESCAPED = "&lt;script&gt;&#39;&#34;&amp;&lt;/script&gt;"


def test_names_in_charts_are_escaped_once() -> None:
    axes = Axes(HOSTILE, HOSTILE, (0.0, 1.0), (0.0, 1.0))
    chart = line_chart([Line(HOSTILE, [0, 1], [0, 1])], axes)
    # Both labels, the title of the chart, and the legend.
    assert (chart.count(ESCAPED), chart.count("<script")) == (4, 0)
    short = HOSTILE[:14]
    matrix = matrix_chart(np.eye(2, dtype=np.int64), [short, "b"])
    assert (matrix.count("&lt;script&gt;"), matrix.count("<script")) == (2, 0)


FALLING = (np.array([0, 0.5, 1]), np.array([1, 0.5, 0]))
RISING = (np.array([0, 0.5, 1]), np.array([0, 0.5, 1]))
UP_IN_THE_END = (np.array([0, 0.9, 1]), np.array([0.5, 0, 1]))
VALLEY = (np.array([0, 0.5, 1]), np.array([1, 0, 1]))


@pytest.mark.parametrize(
    ("shapes", "is_inside"),
    [([FALLING], True), ([RISING], True), ([UP_IN_THE_END], True), ([VALLEY], False), ([FALLING, RISING], False)],
)
def test_a_legend_covers_no_line(shapes: list[tuple[np.ndarray, np.ndarray]], is_inside: bool) -> None:
    """Where lines go through all four corners, it stands below them."""
    axes = Axes("x", "y", (0.0, 1.0), (0.0, 1.0))
    lines = [Line(f"validation, 50,000 rows {number}", x, y) for number, (x, y) in enumerate(shapes)]
    chart = ET.fromstring(str(line_chart(lines, axes)))
    box = next(rect for rect in chart.iter("rect") if rect.get("class") == "backing")
    left, top, width, height = (float(box.attrib[name]) for name in ("x", "y", "width", "height"))
    for x, y in shapes:
        along = np.linspace(0, 1, 500)
        drawn_x, drawn_y = axes.x(along), axes.y(np.interp(along, x, y))
        inside = (left < drawn_x) & (drawn_x < left + width) & (top < drawn_y) & (drawn_y < top + height)
        assert not inside.any()
    *_, full_height = map(float, chart.attrib["viewBox"].split())
    assert top + height <= full_height
    assert (top < axes.y(0)) == is_inside


def test_a_chart_of_dots_has_a_row_each_and_a_line_through_what_has_an_interval() -> None:
    chart = str(dot_chart([Dot(HOSTILE, 0.9, (0.8, 0.95)), Dot("b", 0.5)], "accuracy", (0.4, 1.0)))
    assert (chart.count(ESCAPED), chart.count("<script")) == (1, 0)
    places = [tuple(map(float, found)) for found in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', chart)]
    (first_x, first_y), (second_x, second_y) = places
    assert first_x > second_x
    assert first_y < second_y
    ((start, end),) = re.findall(r'<line class="line line-0" x1="([\d.]+)" y1="[\d.]+" x2="([\d.]+)"', chart)
    assert float(start) < first_x < float(end)


def test_html_that_was_rendered_is_put_in_as_it_is() -> None:
    chart = matrix_chart(np.array([[2000, 0], [1, 1]]), ["cat", "dog"])
    assert ">2,000</text>" in chart
    assert ">50.0%</text>" in chart
    assert chart.startswith("<svg ")
    assert chart.__html__() == chart


def test_a_value_that_a_template_lacks_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        render("report.html.j2", card=None)


def legend_box(chart: str) -> tuple[float, float, float]:
    """The left and the right end of a legend, and its upper side."""
    box = next(rect for rect in ET.fromstring(chart).iter("rect") if rect.get("class") == "backing")
    left, width, top = (float(box.attrib[name]) for name in ("x", "width", "y"))
    return left, left + width, top


def test_a_legend_covers_no_dashed_line() -> None:
    axes = Axes("x", "y", (0.0, 1.0), (0.0, 1.0))
    lines = [Line("folds, 84 rows", *FALLING)]
    left, right, _ = legend_box(line_chart(lines, axes))
    mark = ((left + right) / 2 - axes.x(0)) / (axes.x(1) - axes.x(0))
    moved_left, moved_right, top = legend_box(line_chart(lines, axes, mark_x=mark))
    assert top > axes.y(0) or not moved_left < axes.x(mark) < moved_right


def test_bounds_on_round_numbers_are_not_beyond_them() -> None:
    assert _rounded(0.869, 1.0) == pytest.approx((0.85, 1.0))
    assert _rounded(0.0, 0.3) == pytest.approx((0.0, 0.3))


@pytest.mark.parametrize(
    ("least", "greatest"),
    [(0.0, 0.0), (1.0, 1.0), (0.693147, 0.693148), (0.693, 0.6931), (1e-9, 3e-9), (0.0, 1e-7), (-5.0, -5.0),
     (1e17, 1e17), (100_000.0, 100_001.0), (3.0, 1e12), (0.0, 1.0), (0.9996, 1.0)],
)  # fmt: skip
def test_an_axis_has_labels_that_differ_whatever_its_values(least: float, greatest: float) -> None:
    low, high = _rounded(least, greatest)
    assert low <= least * (1 + 1e-12 * np.sign(least))
    assert high >= greatest * (1 - 1e-12 * np.sign(greatest))
    labels = [f"{value:g}" for value in ticks(low, high)]
    assert len(labels) >= 3
    assert len(set(labels)) == len(labels)


def test_an_axis_ends_where_no_value_can_be() -> None:
    assert _rounded(1.0, 1.0, (0.0, 1.0)) == (0.5, 1.0)
    assert _rounded(0.0, 0.0, (0.0, math.inf)) == (0.0, 0.5)


@pytest.mark.parametrize("scale", [1e-300, 1e-12, 1e-3, 1.0, 7e5, 1e300])
def test_ticks_are_round_numbers_between_the_bounds(scale: float) -> None:
    for least, greatest in ((0.0, 1.0), (-1.0, 1.0), (0.27, 0.33), (2.0, 9.9)):
        found = ticks(least * scale, greatest * scale)
        assert 3 <= len(found) <= 11
        assert min(found) >= least * scale * (1 - 1e-9 * np.sign(least))
        assert max(found) <= greatest * scale * (1 + 1e-9)
        np.testing.assert_allclose(np.diff(found), found[1] - found[0], rtol=1e-6)
        assert f"{found[1] - found[0]:.3e}"[:5] in {"1.000", "2.000", "5.000"}
