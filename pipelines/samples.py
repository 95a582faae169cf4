"""Sample pictures: drawn here, so that the first command works offline and on nobody's photographs."""

from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

CLASSES: Final = ("discs", "stripes", "squares")
PICTURES_BY_SPLIT: Final = {"train": 28, "validation": 10, "test": 10}

_SIDE: Final = 160
_SEED: Final = 2017


def draw_samples(folder: Path) -> int:
    """Draws labelled pictures as `<folder>/<split>/<class>/<number>.jpg`, unless they are there.

    Colours, sizes, places and noise vary; what a class has in common is its shapes.

    Args:
        folder: Where they go.

    Returns:
        How many there are: 3 classes × 48.
    """
    rng = np.random.default_rng(_SEED)
    drawn = 0
    for split, pictures in PICTURES_BY_SPLIT.items():
        for name in CLASSES:
            for number in range(pictures):
                path = folder / split / name / f"{number:03}.jpg"
                picture = _draw(name, rng)
                if not path.exists():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    picture.save(path, quality=90)
                drawn += 1
    return drawn


def _draw(name: str, rng: np.random.Generator) -> Image.Image:
    background, ink = rng.integers(0, 256, (2, 3))
    ink = np.where(np.abs(ink - background) < 80, 255 - background, ink)
    image = Image.new("RGB", (_SIDE, _SIDE), tuple(int(value) for value in background))
    colour = tuple(int(value) for value in ink)
    draw = ImageDraw.Draw(image)
    if name == "stripes":
        _draw_stripes(draw, colour, rng)
    else:
        _draw_shapes(draw, name, colour, rng)
    noise = rng.normal(0, 12, (_SIDE, _SIDE, 3))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


def _draw_stripes(draw: ImageDraw.ImageDraw, colour: tuple[int, ...], rng: np.random.Generator) -> None:
    step, slant = int(rng.integers(14, 26)), int(rng.integers(-60, 61))
    for x in range(-_SIDE, 2 * _SIDE, step):
        draw.line((x, 0, x + slant, _SIDE), fill=colour, width=step // 2)


def _draw_shapes(draw: ImageDraw.ImageDraw, name: str, colour: tuple[int, ...], rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(6, 11))):
        x, y = rng.integers(0, _SIDE, 2)
        radius = int(rng.integers(12, 26))
        box = (int(x) - radius, int(y) - radius, int(x) + radius, int(y) + radius)
        if name == "discs":
            draw.ellipse(box, fill=colour)
        else:
            draw.rectangle(box, fill=colour)
