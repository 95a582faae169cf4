"""The pictures of the benchmarks: the user's own, 12-megapixel ones made of them, and any number of different files."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

MEGAPIXEL_SIZE: Final = (4000, 3000)
_TILES_PER_SIDE: Final = 8
_TILES: Final = 256
_QUALITY: Final = 92
_JPEG_START: Final = b"\xff\xd8"


def find_pictures(folder: Path) -> tuple[str, ...]:
    """Returns the JPEGs under a folder as absolute paths, well mixed, always in the same order."""
    paths = sorted(str(path.resolve()) for path in folder.rglob("*.jpg"))
    random.Random(0).shuffle(paths)
    return tuple(paths)


def megapixel_pictures(sources: Sequence[str], count: int, folder: Path) -> tuple[str, ...]:
    """Makes 12-megapixel JPEGs, mosaics of 64 real pictures, and returns their paths; those that are there are kept.

    A mosaic of pictures near their own size is as rich in detail as a photograph; an enlarged picture would be smooth,
    half the bytes, and faster to decode.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:04}.jpg" for number in range(count)]
    missing = [path for path in paths if not path.exists()]
    if missing:
        width, height = (side // _TILES_PER_SIDE for side in MEGAPIXEL_SIZE)
        tiles = []
        for source in sources[:_TILES]:
            with Image.open(source) as image:
                tiles.append(np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)))
        for path in missing:
            draw = random.Random(path.name)
            rows = [np.hstack(draw.choices(tiles, k=_TILES_PER_SIDE)) for _ in range(_TILES_PER_SIDE)]
            Image.fromarray(np.vstack(rows)).save(path, quality=_QUALITY)
    return tuple(map(str, paths))


def different_pictures(sources: Sequence[str], count: int, folder: Path) -> tuple[str, ...]:
    """Makes files of the same pixels and other bytes, and returns their paths; those that are there are kept.

    A comment after the first two bytes of a JPEG changes its SHA-256, so that no two of them are duplicates.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:06}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        if not path.exists():
            path.write_bytes(with_comment(Path(sources[number % len(sources)]).read_bytes(), str(number)))
    return tuple(map(str, paths))


def with_comment(jpeg: bytes, comment: str) -> bytes:
    """Returns a JPEG with a comment segment (marker FFFE, ISO/IEC 10918-1, B.2.4.5) and the same pixels.

    Raises:
        ValueError: If the bytes do not begin as a JPEG does.
    """
    if not jpeg.startswith(_JPEG_START):
        raise ValueError("The bytes do not begin as a JPEG does.")
    text = comment.encode()
    return _JPEG_START + b"\xff\xfe" + (2 + len(text)).to_bytes(2, "big") + text + jpeg[2:]


def write_list(paths: Sequence[str], file: Path) -> Path:
    """Writes paths as a text manifest, one a line, and returns it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{path}\n" for path in paths))
    return file
