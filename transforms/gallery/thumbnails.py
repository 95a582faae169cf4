"""Thumbnails: small pictures of images, on sheets, read and decoded as an extraction does; and what they look like.

A picture is squeezed into a square, as a conv base is given it, and a page draws it out again to its width and height.
"""

import dataclasses
import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Self

import numpy as np
import pyarrow as pa
from PIL import Image

from schemas.images import refs_of_uris
from transforms.decoding import DecodingLimits, DecodingRules
from transforms.images import BadImage, Batch, LoadingPools, LoadingRules, load_batches
from transforms.runtime import Meter, available_cores

SIDE: Final = 96
COLUMNS: Final = 16

_PER_SHEET: Final = COLUMNS * COLUMNS
_QUALITY: Final = 70
# ITU-R BT.601.
_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)


@dataclasses.dataclass(frozen=True, eq=False)
class Thumbnails:
    """Small pictures of images.

    Attributes:
        places: int32 [n], the place of each image's picture on the sheets: sheet · 256 + row · 16 + column; -1 where it
            has none.
        brightness: float32 [n], the mean luma, 0 to 255; NaN where there is no picture.
        sharpness: float32 [n], the standard deviation of the Laplacian of the luma; NaN where there is no picture.
        sheets: How many there are.
    """

    places: np.ndarray
    brightness: np.ndarray
    sharpness: np.ndarray
    sheets: int

    def first(self, images: int) -> Self:
        """Returns those of the first images."""
        return dataclasses.replace(
            self,
            places=self.places[:images],
            brightness=self.brightness[:images],
            sharpness=self.sharpness[:images],
        )


def sheet_name(sheet: int) -> str:
    """Returns the name of the file of a sheet."""
    return f"sheet-{sheet:04}.webp"


def draw_thumbnails(
    uris: Sequence[str],
    wanted: np.ndarray,
    *,
    limits: DecodingLimits,
    max_bytes: int,
    write: Callable[[int, bytes], None],
    on_done: Callable[[int], None] = lambda _: None,
) -> Thumbnails:
    """Reads images once and draws them on sheets.

    Args:
        uris: Images [n].
        wanted: int64 [m], those that get a picture; what cannot be read or decoded any more gets none.
        limits: Which files are taken.
        max_bytes: The most bytes of a file.
        write: Told the number and the WebP of each sheet, in order.
        on_done: Told how many further images are done.
    """
    places = np.full(len(uris), -1, np.int32)
    brightness, sharpness = (np.full(len(uris), np.nan, np.float32) for _ in range(2))
    sheets = 0
    for batch in _loaded([uris[row] for row in wanted], limits, max_bytes):
        rows = wanted[batch.rows]
        places[rows] = sheets * _PER_SHEET + np.arange(len(rows))
        lumas = batch.pixels[: len(rows)] @ _LUMA
        brightness[rows] = lumas.mean(axis=(1, 2))
        sharpness[rows] = _laplacians(lumas).std(axis=(1, 2))
        write(sheets, _sheet(batch.pixels, len(rows)))
        on_done(len(rows))
        sheets += 1
    return Thumbnails(places, brightness, sharpness, sheets)


def _loaded(uris: Sequence[str], limits: DecodingLimits, max_bytes: int) -> Iterator[Batch]:
    if not uris:
        return
    # Pillow warns of every oddity in a file.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    cores = available_cores()
    refs = refs_of_uris(pa.array(uris, pa.string()))
    rules = LoadingRules(DecodingRules(SIDE, SIDE, decode="scaled", limits=limits), max_bytes, _PER_SHEET)
    bad: list[BadImage] = []
    yield from load_batches(refs, rules, LoadingPools.start(cores, cores), bad, Meter())


def _laplacians(lumas: np.ndarray) -> np.ndarray:
    inner = lumas[:, 1:-1, 1:-1]
    around = lumas[:, :-2, 1:-1] + lumas[:, 2:, 1:-1] + lumas[:, 1:-1, :-2] + lumas[:, 1:-1, 2:]
    laplacians: np.ndarray = around - 4 * inner
    return laplacians


def _sheet(pixels: np.ndarray, pictures: int) -> bytes:
    """Returns pictures, uint8 [256, SIDE, SIDE, 3], in rows as WebP; a last sheet is only as high as it is filled."""
    rows = -(-pictures // COLUMNS)
    grid = pixels[: rows * COLUMNS].reshape(rows, COLUMNS, SIDE, SIDE, 3).transpose(0, 2, 1, 3, 4)
    file = io.BytesIO()
    Image.fromarray(grid.reshape(rows * SIDE, COLUMNS * SIDE, 3)).save(file, "WEBP", quality=_QUALITY, method=2)
    return file.getvalue()
