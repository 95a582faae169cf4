"""Reports: what stands in them comes from users and files, and is text."""

import jinja2
import numpy as np
import pytest

from transforms.evaluation.charts import Axes, Line, line_chart, matrix_chart
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


def test_html_that_was_rendered_is_put_in_as_it_is() -> None:
    chart = matrix_chart(np.array([[2000, 0], [1, 1]]), ["cat", "dog"])
    assert ">2,000</text>" in chart
    assert ">50.0%</text>" in chart
    assert chart.startswith("<svg ")
    assert chart.__html__() == chart


def test_a_value_that_a_template_lacks_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        render("report.html.j2", card=None)
