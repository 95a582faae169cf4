"""Which image files are decoded, what one may cost, and how its bytes become pixels."""

import dataclasses
from typing import Final

from PIL import Image

from schemas.errors import nearest_names
from schemas.spec import FeatureSpec
from transforms.decoding.image_files import AVIF, HEIF
from transforms.preprocessing import Placement, placed

FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", AVIF, HEIF)
MAX_PIXELS: Final = 100_000_000
MAX_SIDE: Final = 65_535  # What a JPEG can have.
MAX_BYTES: Final = 100_000_000
# A hundred million pixels take a second or two, and 400 MB as Pillow holds them, 800 while they are turned upright.
DECODE_TIMEOUT: Final = 5
DECODE_MEMORY: Final = 1_000_000_000


@dataclasses.dataclass(frozen=True)
class DecodingLimits:
    """Which image files are taken, and what decoding one may cost.

    Attributes:
        formats: The names of the Pillow formats that are taken.
        max_pixels: The most pixels (width × height) that are decoded; checked before decoding.
        max_side: The most pixels of a side; checked before decoding.
        timeout: Seconds of processor time that decoding a picture may take, in a decoder process.
        memory: Bytes of memory that decoding a picture may take, in a decoder process.
    """

    formats: tuple[str, ...] = FORMATS
    max_pixels: int = MAX_PIXELS
    max_side: int = MAX_SIDE
    timeout: int = DECODE_TIMEOUT
    memory: int = DECODE_MEMORY


@dataclasses.dataclass(frozen=True)
class DecodingRules:
    """How bytes become pixels.

    Attributes:
        height: Pixels of the result.
        width: Pixels of the result.
        interpolation: The name of a Pillow resampling filter.
        apply_exif_orientation: Whether pictures are turned upright.
        resize: `"stretch"`, `"crop"` or `"pad"`, and the ratio of a crop; see `FeatureSpec`.
        crop_ratio: See there.
        decode: `"exact"`, or `"scaled"`: the JPEG decoder may scale, to `SCALED_MARGIN` times the result or more.
        truncated: `"fail"`, or `"keep"`: of a file that ends too soon the pixels that are there are taken, the others
            are grey or black, as Pillow leaves them.
        limits: Which files are taken, and what one may cost.
    """

    height: int
    width: int
    interpolation: str = "bilinear"
    apply_exif_orientation: bool = True
    decode: str = "exact"
    truncated: str = "fail"
    limits: DecodingLimits = DecodingLimits()
    resize: str = "stretch"
    crop_ratio: float = 1.0

    @classmethod
    def of_spec(cls, spec: FeatureSpec, limits: DecodingLimits) -> "DecodingRules":
        """Returns the rules by which the features of a resolved spec are made."""
        height, width, _ = spec.resolved_input_shape
        return cls(
            height=height,
            width=width,
            interpolation=spec.interpolation,
            apply_exif_orientation=spec.exif_orientation == "apply",
            decode=spec.decode,
            truncated=spec.truncated,
            limits=limits,
            resize=spec.resize,
            crop_ratio=spec.crop_ratio,
        )

    def placement(self, width: int, height: int) -> Placement:
        """Returns how an upright picture of a size is put into the result."""
        return placed((width, height), (self.width, self.height), self.resize, self.crop_ratio)


def format_by_name(name: str) -> str:
    """Returns Pillow's name of a format, by that name or an extension of its files, in any case.

    >>> format_by_name("jpg")
    'JPEG'

    Raises:
        ValueError: If there is no such format; its message names those that look like it.
    """
    asked = name.upper().lstrip(".")
    if asked in FORMATS:
        return asked
    by_extension = {".heic": HEIF, ".heics": HEIF, ".hif": HEIF, **Image.registered_extensions()}
    found = by_extension.get(f".{asked.lower()}", asked)
    if found in Image.OPEN or found in FORMATS:
        return found
    raise ValueError(f"'{name}' is no format that Pillow reads{nearest_names(name, [*FORMATS, *Image.OPEN])}")
