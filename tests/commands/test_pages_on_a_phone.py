"""The pages that commands write can be read in a browser, on a wide screen and on a phone, light and dark."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines import inspect as inspect_command
from pipelines import predict as predict_command
from pipelines import search as search_command
from pipelines.jobs import draw_samples
from tests.conftest import extract, train
from tests.support.browser import UNREADABLE, Browser, opened_browser

BASE = (
    "--conv_base=MobileNet", "--conv_base_arg=alpha=0.25", "--weights=none", "--input_shape=96,96,3",
    "--layers=conv_pw_3_relu",
)  # fmt: skip
PAGES = ("model/report.html", "predictions/report.html", "predictions/least_sure.html", "hits.html", "night.html")

# Texts whose contrast with the page is lower than WCAG asks for (4.5 to 1).
FAINT = """(() => {
  const light = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map((part) => part / 255)
      .map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const back = light(getComputedStyle(document.body).backgroundColor);
  const found = new Set();
  for (const each of document.querySelectorAll('body *')) {
    if (each.closest('svg') || ![...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
    const front = light(getComputedStyle(each).color);
    const contrast = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
    if (contrast < 4.5) found.add(`${each.textContent.slice(0, 30)} has ${contrast.toFixed(2)}`);
  }
  return [...found];
})()"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every page but the exploration's, of sample pictures."""
    made = tmp_path_factory.mktemp("pages")
    draw_samples(made / "photos")
    store, model = f"{made}/store", f"{made}/model"
    extract(f"--input={made}/photos", "--labels_from=parent", f"--output={store}", *BASE)
    train(f"--features={store}", f"--output={model}")
    assert predict_command.main([f"--model={model}", f"--features={store}", f"--output={made}/predictions"]) == 0
    asked = f"--image={made}/photos/test/discs/000.jpg"
    assert search_command.main([store, asked, f"--output={made}/hits.html"]) == 0
    assert inspect_command.main([store, "--runs", f"--html={made}/night.html"]) == 0
    return made


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with opened_browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_can_be_read(name: str, width: int, folder: Path, browser: Browser) -> None:
    for dark in (False, True):
        browser.open(folder / name, width, 800, dark=dark)
        assert browser.value("document.documentElement.scrollWidth") <= width
        assert browser.value(UNREADABLE) == []
        assert browser.value(FAINT) == []
        assert browser.value("[...document.querySelectorAll('svg[role=img]:not([aria-label])')].length") == 0
        assert browser.errors == []
