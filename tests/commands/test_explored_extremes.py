"""The page of an exploration in a browser, of what is all equal, single, infinite, huge or tiny."""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipelines import explore as command
from tests.conftest import store_of_features
from tests.support.browser import UNREADABLE, Browser, opened_browser

COLUMNS = {
    "infinite": [math.inf, -math.inf, math.nan, 0.0, 1.0, 2.0],
    "huge": [3e38, -3e38, 1e38, 0.0, 1.0, 2.0],
    "tiny": [1e-30, 2e-30, 3e-30, 0.0, -1e-30, 1e-38],
    "equal": [5.0] * 6,
    "zero": [0] * 6,
    "one": [7.25, None, None, None, None, None],
    "nothing_finite": [math.inf, math.inf, math.nan, None, -math.inf, math.nan],
}
# Angles of vectors in a plane, whose cosine distances are 1 - cos.
ANGLES = {
    "identical": [0.0] * 6,
    "two": [0.0, 0.8],
    "opposite": [0.0, math.pi],
    "equidistant": [0.0, 0.8, 1.6, 2.4, 3.2, 4.0],
    "tiny": [0.0, 0.001, 0.002, 0.003, 0.004, 0.005],
    "narrow": [0.0, 0.02, 0.04, 0.06, 0.08, 0.1],
    "zero_to_two": [0.0, 0.0, math.pi],
    "powers": [0.0, 0.001, 0.1, 0.5, 1.7, 4.0],
}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with opened_browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def explored(folder: Path, features: np.ndarray, *options: str, **columns: list[object]) -> Path:
    store = store_of_features(folder / "store", features, **columns)
    arguments = [store.uri, f"--output={folder}/explore", "--thumbnails=0", "--projection=pca", *options]
    assert command.main(arguments) == 0
    return folder / "explore" / "index.html"


def test_numbers_of_any_size_colour_the_map(browser: Browser, tmp_path: Path) -> None:
    page = explored(tmp_path, np.eye(6, dtype=np.float32), **COLUMNS)
    browser.errors.clear()
    browser.open(page)
    names = browser.value("[...document.getElementById('colour').options].map((option) => option.text)")
    assert set(COLUMNS) < set(names)
    for name, values in COLUMNS.items():
        browser.value(
            f"""(() => {{
              const select = document.getElementById('colour');
              select.value = String([...select.options].findIndex((option) => option.text === {json.dumps(name)}));
              select.onchange();
            }})()"""
        )
        shown = browser.value("Array.from({length: 6}, (_, at) => window.page.colours.shows(at))")
        assert shown == [True] * 6
        least, *_, most = browser.value(
            "[...document.querySelectorAll('#legend span')].map((span) => span.textContent)"
        )
        finite = [value for value in values if value is not None and math.isfinite(value)] or [0, 1]
        assert float(least) == pytest.approx(min(finite), rel=0.005)
        assert float(most) == pytest.approx(max(finite), rel=0.005)
    assert browser.errors == []
    browser.value("window.page.open(0)")
    facts = browser.value("document.querySelector('#details dl').innerText")
    assert re.search(r"infinite\s+Infinity\s+huge\s+3e\+38\s+tiny\s+1e-30\s+equal\s+5\s+zero\s+0\s+one\s+7.25\s", facts)


@pytest.mark.parametrize("threshold", [None, 0, 1e-9, 2])
@pytest.mark.parametrize("name", ANGLES)
def test_distances_of_any_size_are_drawn(name: str, threshold: float | None, browser: Browser, tmp_path: Path) -> None:
    angles = np.array(ANGLES[name])
    options = [] if threshold is None else [f"--duplicate_distance={threshold}"]
    page = explored(tmp_path, np.stack([np.cos(angles), np.sin(angles)], axis=1), *options)
    browser.errors.clear()
    browser.open(page)
    browser.value("document.querySelector('[data-tab=duplicates]').click()")
    assert browser.value(UNREADABLE) == []
    bars = browser.value(
        """[...document.querySelectorAll('#duplicates rect')].map((bar) => {
          const box = bar.getBoundingClientRect();
          const frame = bar.closest('svg').getBoundingClientRect();
          return [bar.textContent, box.width, box.height, box.left - frame.left, frame.right - box.right];
        })"""
    )
    counts = [int(text.split()[0]) for text, *_ in bars]
    assert sum(counts) == len(angles)
    tallest = max(height for _, _, height, _, _ in bars)
    for count, (_, width, height, left, right) in zip(counts, bars, strict=True):
        assert height == pytest.approx(tallest * count / max(counts), abs=0.2)
        assert width > 0
        assert min(left, right) > 0
    assert browser.errors == []


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("short(null)", "–"),
        ("short(NaN)", "–"),
        ("short(0)", "0"),
        ("short(-0)", "0"),
        ("short(1234567)", "1230000"),
        ("short(0.1 + 0.2)", "0.3"),
        ("short(1.5e-12)", "1.5e-12"),
        ("short(3.4e38)", "3.4e+38"),
        ("measured(0)", "0"),
        ("measured(1)", "1.00"),
        ("measured(2)", "2.00"),
        ("measured(1.19e-7)", "1.19e-7"),
        ("counted(1, 'image', 'images')", "1 image"),
        ("counted(0, 'image', 'images')", "0 images"),
        ("counted(1234567, 'image', 'images')", "1,234,567 images"),
        ("bounds([])", [0, 1]),
        ("bounds([NaN, NaN])", [0, 1]),
        ("bounds([Infinity, -Infinity])", [0, 1]),
        ("bounds([3])", [3, 3]),
        ("bounds([NaN, -2, Infinity, 7])", [-2, 7]),
        ("scaled(-1)", [68, 1, 84]),
        ("scaled(0)", [68, 1, 84]),
        ("scaled(0.5)", [33, 145, 140]),
        ("scaled(1)", [253, 231, 37]),
        ("scaled(Infinity)", [253, 231, 37]),
        ("overlap(0, 1)", 1),
        ("overlap(-1, 1)", 0),
        ("overlap(0.25, 5)", 0.75),
        ("[...scattered(5)].sort()", [0, 1, 2, 3, 4]),
        ("scattered(0).length", 0),
        ("isInside([[0, 0], [2, 0], [2, 2], [0, 2]], [1, 1])", True),
        ("isInside([[0, 0], [2, 0], [2, 2], [0, 2]], [3, 1])", False),
        ("address('file:///a b/%41#?.jpg')", "file:///a%20b/%2541%23%3F.jpg"),
        ("address('https://host/a%20b')", "https://host/a%20b"),
    ],
)
def test_what_the_script_says_of_numbers(expression: str, value: object, browser: Browser, plain: Path) -> None:
    if not browser.value("!!window.page"):
        browser.open(plain)
    assert browser.value(expression) == value


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return explored(tmp_path_factory.mktemp("plain"), np.eye(3, dtype=np.float32))
