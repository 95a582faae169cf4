"""Sample pictures: drawn here, so that the first command works offline and without photographs."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from PIL import Image, ImageDraw

CLASSES: Final = ("discs", "squares", "stripes")
PICTURES_BY_SPLIT: Final = {"train": 28, "validation": 10, "test": 10}

Colour: TypeAlias = tuple[int, ...]

_SIDE: Final = 160
_SEED: Final = 2017


def draw_samples(folder: Path) -> int:
    """Draws labelled pictures as `<folder>/<split>/<class>/<number>.jpg`, unless they are there.

    Colours, sizes, places and noise vary; what the pictures of a class have in common is a few large discs, many small
    squares, or stripes.

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
    background = rng.integers(150, 226, 3)
    ink = rng.integers(20, 96, 3)
    image = Image.new("RGB", (_SIDE, _SIDE), tuple(background.tolist()))
    _DRAW[name](ImageDraw.Draw(image), tuple(ink.tolist()), rng)
    noise = rng.normal(0, 8, (_SIDE, _SIDE, 3))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


def _draw_discs(draw: ImageDraw.ImageDraw, ink: Colour, rng: np.random.Generator) -> None:
    for x, y in rng.integers(0, _SIDE, (int(rng.integers(4, 8)), 2)).tolist():
        draw.circle((x, y), int(rng.integers(18, 34)), fill=ink)


def _draw_squares(draw: ImageDraw.ImageDraw, ink: Colour, rng: np.random.Generator) -> None:
    for x, y in rng.integers(0, _SIDE, (int(rng.integers(16, 30)), 2)).tolist():
        side = int(rng.integers(10, 20))
        draw.rectangle((x, y, x + side, y + side), fill=ink)


def _draw_stripes(draw: ImageDraw.ImageDraw, ink: Colour, rng: np.random.Generator) -> None:
    step, slant = int(rng.integers(12, 22)), int(rng.integers(-40, 41))
    for x in range(-_SIDE, 2 * _SIDE, step):
        draw.line((x, 0, x + slant, _SIDE), fill=ink, width=step // 2)


_DRAW: Final[Mapping[str, Callable[[ImageDraw.ImageDraw, Colour, np.random.Generator], None]]] = {
    "discs": _draw_discs,
    "squares": _draw_squares,
    "stripes": _draw_stripes,
}
