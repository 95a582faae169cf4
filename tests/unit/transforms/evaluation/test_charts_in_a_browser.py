"""Charts in a browser: names of any script stand within the frame, and none over another."""

from collections.abc import Iterator
from pathlib import Path

import markupsafe
import numpy as np
import pytest

from tests.support.browser import UNREADABLE, Browser, opened_browser
from transforms.evaluation import charts

STYLE = (Path(charts.__file__).parent / "report.css").read_text()
AXES = charts.Axes("false positive rate", "true positive rate", (0.0, 1.0), (0.0, 1.0))
RISING, FALLING = np.array([0.0, 1.0]), np.array([1.0, 0.0])
NAMES = {
    "short": ("a", "b", "c"),
    "long at the end": ("a", "b", "chihuahua and more"),
    "capitals": ("WWWWWWWWWWWWWWWWWW", "MMMMMMMMMMMMMMMMMM", "ABCDEFGHIJKLMNOPQR"),
    "broad": ("mmmmmmmmmmmmmmmmmm", "@@@@@@@@@@@@@@@@@@", "%%%%%%%%%%%%%%%%%%"),
    "numbers": ("000000000000000000", "123456789012345678", "-9.876543210987654"),
    "Chinese": ("猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫", "漢字仮名交じり文", "犬"),
    "emoji": ("🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊", "👩‍👩‍👧‍👦👩‍👩‍👧", "🇩🇪🇫🇷"),
    "Cyrillic": ("щщщщщщщщщщщщщщщщщщ", "ЖЖЖЖЖЖЖЖЖЖЖЖЖЖЖЖЖЖ", "кот"),
    "Arabic": ("قطقطقطقطقطقطقطقطقط", "كلب", "ضضضضضضضضضضضضضضضض"),
    "Devanagari": ("बिल्लीबिल्लीबिल्ली", "कुत्ता", "श्वानश्वानश्वानश्"),
    "markup": ("<script>alert(1)</", "&amp;&amp;&amp;&am", "</text></svg><b>xx"),
}

# Names in a legend that end beyond what stands behind it.
BEYOND_THE_LEGEND = """[...document.querySelectorAll('svg')].flatMap((chart) => {
  const backing = chart.querySelector('.backing')?.getBoundingClientRect();
  const names = [...chart.querySelectorAll('text.tick')].filter((text) => !text.hasAttribute('text-anchor'));
  return backing ? names.filter((name) => name.getBoundingClientRect().right > backing.right + 1) : [];
}).map((name) => name.textContent)"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with opened_browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def shown(browser: Browser, folder: Path, *drawn: markupsafe.Markup) -> None:
    page = folder / "page.html"
    figures = "".join(f"<figure>{chart}</figure>" for chart in drawn)
    page.write_text(f"<!doctype html><meta charset=utf-8><style>{STYLE}</style><body><main>{figures}</main></body>")
    browser.errors.clear()
    browser.open(page)


@pytest.mark.parametrize("name", NAMES)
def test_names_are_within_the_frame(name: str, browser: Browser, tmp_path: Path) -> None:
    names = NAMES[name]
    area = [f"{each} (area 0.999)" for each in names]
    shown(
        browser,
        tmp_path,
        charts.matrix_chart(np.eye(3, dtype=np.int64), names),
        charts.matrix_chart(np.eye(3, dtype=np.int64), names[::-1]),
        charts.line_chart([charts.Line(each, RISING, RISING) for each in area], AXES),
        charts.line_chart([charts.Line(each, RISING, RISING * 0) for each in area[:1]], AXES),
        charts.line_chart([charts.Line(area[0], RISING, FALLING), charts.Line(area[1], RISING, RISING)], AXES),
        charts.dot_chart([charts.Dot(each, 0.5, (0.1, 0.9)) for each in names], "accuracy", (0.0, 1.0)),
    )
    assert browser.value(UNREADABLE) == []
    assert browser.value(BEYOND_THE_LEGEND) == []
    assert browser.value("document.querySelectorAll('script, b').length") == 0
    assert browser.errors == []


@pytest.mark.parametrize(
    ("least", "greatest"), [(0.0, 1.0), (0.5, 1.0), (0.0, 1e-7), (0.693, 0.6931), (0.0, 700.0), (9e4, 1.1e5)]
)
def test_labels_of_axes_are_within_the_frame(least: float, greatest: float, browser: Browser, tmp_path: Path) -> None:
    values, exponents = np.linspace(least, greatest, 5), np.linspace(-10, -4, 5)
    axes = charts.Axes("log10 of L2", "loss", (-10.0, -4.0), (least, greatest))
    shown(
        browser,
        tmp_path,
        charts.line_chart([charts.Line("a", exponents, values, points=True)], axes),
    )
    assert browser.value(UNREADABLE) == []
    places = browser.value(
        """[...document.querySelectorAll('circle.point')].map((point) => {
          const frame = point.closest('svg').getBoundingClientRect();
          const box = point.getBoundingClientRect();
          const across = box.left >= frame.left && box.right <= frame.right;
          return across && box.top >= frame.top && box.bottom <= frame.bottom;
        })"""
    )
    assert places == [True] * 5
