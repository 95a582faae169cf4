"""Draws the pictures of the documentation: sample pictures, augmented copies of one, a report, and maps.

    python -m docs.pictures docs/images
    python -m docs.pictures docs/images --photographs=STORE

The store is that of the tutorial of dogs and cats; no photograph is on its picture. Pages are drawn by Chromium.
"""

import argparse
import contextlib
import hashlib
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from pipelines import explore, extract
from pipelines import train as train_command
from pipelines.jobs import CLASSES, draw_samples
from schemas.augmentation import Augmentation
from tests.support.browser import Browser, opened_browser
from transforms.images import augmented

_COLUMNS: Final = 6
_GAP: Final = 8
_WINDOW: Final = (1100, 770)
_REPORT_WINDOW: Final = (1100, 810)
_PLACE_OF: Final = """(() => {
  const { images, map } = window.page;
  const image = Array.from({ length: images.count }, (_, at) => at).find((at) => images.uri(at).endsWith(%s));
  const [x, y] = map.placeOf(image);
  const box = document.getElementById("marks").getBoundingClientRect();
  return [box.left + x, box.top + y];
})()"""


def main(arguments: Sequence[str]) -> None:
    """Writes the pictures into a folder."""
    command = argparse.ArgumentParser(allow_abbrev=False)
    command.add_argument("folder", type=Path)
    command.add_argument("--photographs", type=Path, metavar="STORE")
    given = command.parse_args(arguments)
    folder = given.folder.absolute()
    with tempfile.TemporaryDirectory() as temporary:
        samples = Path(temporary, "samples")
        draw_samples(samples)
        train = [[samples / f"train/{name}/{number:03}.jpg" for number in range(_COLUMNS)] for name in CLASSES]
        grid([[Image.open(path) for path in row] for row in train]).save(folder / "samples.png", optimize=True)
        grid([augmented_copies(train[1][0], _COLUMNS)]).save(folder / "augmented.png", optimize=True)
        with contextlib.chdir(temporary):
            extract.main(["--runner=DirectRunner"])
            train_command.main(["--features=feature-store", "--output=model"])
        draw_report(Path(temporary, "model", "report.html"), folder / "report.png")
        draw_map(Path(temporary, "feature-store"), folder / "explore.png", "train/discs/008.jpg")
    if given.photographs:
        draw_map(given.photographs, folder / "dogs-and-cats.png", "dog.980.jpg", "--thumbnails=0")


def draw_report(page: Path, picture: Path) -> None:
    """Takes a picture of the beginning of a report."""
    with tempfile.TemporaryDirectory() as temporary, opened_browser(Path(temporary, "browser")) as browser:
        browser.open(page, *_REPORT_WINDOW)
        save_screen(browser, picture)


def save_screen(browser: Browser, picture: Path) -> None:
    """Writes what a browser shows as a PNG, in 128 colours."""
    browser.value("document.documentElement.style.scrollbarWidth = 'none'")
    with tempfile.TemporaryDirectory() as temporary:
        browser.screenshot(Path(temporary, "screen.png"))
        with Image.open(Path(temporary, "screen.png")) as screen:
            screen.convert("RGB").quantize(128, method=Image.Quantize.FASTOCTREE).save(picture, optimize=True)


def draw_map(store: Path, picture: Path, pointed_at: str, *options: str) -> None:
    """Explores a store, and takes a picture of the map while one of its images is pointed at.

    Args:
        store: The store.
        picture: Where it goes.
        pointed_at: How the URI of the image ends.
        options: Of `pipelines.explore`.
    """
    with tempfile.TemporaryDirectory() as temporary, opened_browser(Path(temporary, "browser")) as browser:
        page = Path(temporary, "page")
        with contextlib.chdir(store.parent):
            explore.main([store.name, f"--output={page}", *options])
        browser.open(page / "index.html", *_WINDOW)
        browser.move(*browser.value(_PLACE_OF % json.dumps(pointed_at)))
        browser.wait("!document.getElementById('hover').hidden")
        browser.wait("Array.from(document.images).every((image) => image.complete)")
        save_screen(browser, picture)


def augmented_copies(path: Path, count: int) -> list[Image.Image]:
    """Returns a picture and its first `count` - 1 augmented copies."""
    pixels = np.asarray(Image.open(path).convert("RGB"))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return [Image.fromarray(augmented(pixels, Augmentation(), sha256, index)) for index in range(count)]


def grid(rows: Sequence[Sequence[Image.Image]]) -> Image.Image:
    """Returns pictures of one size in rows, with transparent gaps, in 64 colours."""
    width, height = (side + _GAP for side in rows[0][0].size)
    sheet = Image.new("RGBA", (width * len(rows[0]) - _GAP, height * len(rows) - _GAP))
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            sheet.paste(picture.convert("RGB"), (x * width, y * height))
    return sheet.quantize(64, method=Image.Quantize.FASTOCTREE)


if __name__ == "__main__":
    main(sys.argv[1:])
