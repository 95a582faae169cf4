"""Draws the pictures of the documentation: sample pictures, and augmented copies of one.

python -m docs.pictures docs/images
"""

import hashlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from pipelines.jobs import CLASSES, draw_samples
from schemas.augmentation import Augmentation
from transforms.images import augmented

_COLUMNS: Final = 6
_GAP: Final = 8


def main(arguments: Sequence[str]) -> None:
    """Writes the pictures into the folder that the only argument names."""
    folder = Path(arguments[0])
    with tempfile.TemporaryDirectory() as temporary:
        samples = Path(temporary)
        draw_samples(samples)
        train = [[samples / f"train/{name}/{number:03}.jpg" for number in range(_COLUMNS)] for name in CLASSES]
        grid([[Image.open(path) for path in row] for row in train]).save(folder / "samples.png", optimize=True)
        grid([augmented_copies(train[1][0], _COLUMNS)]).save(folder / "augmented.png", optimize=True)


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
