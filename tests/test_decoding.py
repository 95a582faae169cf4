"""Pictures as Keras makes them; everything else has a stable code."""

import io
import struct
import zlib
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from schemas.errors import FailureCode, ImageError
from transforms.decoding import DecodingRules, decode_image

RULES = DecodingRules(height=32, width=48)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    sink = io.BytesIO()
    image.save(sink, kind, **options)
    return sink.getvalue()


def gradient(mode: str = "RGB") -> Image.Image:
    y, x = np.mgrid[:60, :80]
    return Image.fromarray(np.stack([x * 3, y * 4, x + y], -1).astype(np.uint8)).convert(mode)


def keras_pixels(data: bytes, interpolation: str = "bilinear") -> np.ndarray:
    return np.asarray(keras.utils.load_img(io.BytesIO(data), target_size=(32, 48), interpolation=interpolation))


def code_of(data: bytes, rules: DecodingRules = RULES) -> FailureCode:
    with pytest.raises(ImageError) as caught:
        decode_image(data, rules)
    return caught.value.code


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest", "bicubic", "hamming", "box", "lanczos"])
def test_real_photographs_equal_keras_bit_for_bit(interpolation: str, shared: Path) -> None:
    rules = DecodingRules(height=32, width=48, interpolation=interpolation)
    for path in sorted((shared / "images/dogs_vs_cats/test/dogs").iterdir())[:20]:
        data = path.read_bytes()
        np.testing.assert_array_equal(decode_image(data, rules).pixels, keras_pixels(data, interpolation))


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("RGB", "JPEG"), ("CMYK", "JPEG"), ("L", "JPEG"), ("RGB", "PNG"), ("P", "PNG"), ("RGBA", "PNG"), ("LA", "PNG"),
     ("1", "PNG"), ("RGB", "WEBP"), ("RGBA", "WEBP"), ("P", "GIF"), ("RGB", "BMP"), ("RGB", "TIFF"), ("CMYK", "TIFF")],
)  # fmt: skip
def test_every_mode_and_format_equals_keras(mode: str, kind: str) -> None:
    data = encoded(gradient(mode), kind)
    picture = decode_image(data, RULES)
    assert picture.pixels.shape == (32, 48, 3)
    assert picture.pixels.dtype == np.uint8
    assert (picture.width, picture.height) == (80, 60)
    np.testing.assert_array_equal(picture.pixels, keras_pixels(data))


def test_hostile_files_that_keras_reads_give_the_same_pixels(shared: Path) -> None:
    """All of the corpus in the formats that we take, 16-bit greys aside, which Keras clips to white."""
    rules = DecodingRules(height=32, width=48, apply_exif_orientation=False)
    compared = 0
    for path in sorted((shared / "images/hostile").rglob("*")):
        if not path.is_file():
            continue
        data = path.read_bytes()
        try:
            pixels = decode_image(data, rules).pixels
        except ImageError:
            continue
        with Image.open(io.BytesIO(data)) as image:
            if image.mode.startswith("I"):
                continue
        np.testing.assert_array_equal(pixels, keras_pixels(data), err_msg=str(path))
        compared += 1
    assert compared > 900


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(gradient(), "PNG", exif=exif)
    upright = decode_image(data, DecodingRules(height=60, width=80))
    turned = orientation >= 5
    assert (upright.width, upright.height) == ((60, 80) if turned else (80, 60))
    operations = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
        8: lambda a: np.rot90(a, 1),
    }
    expected = operations[orientation](np.asarray(gradient()))
    whole = decode_image(data, DecodingRules(height=expected.shape[0], width=expected.shape[1]))
    np.testing.assert_array_equal(whole.pixels, expected)
    ignored = decode_image(data, DecodingRules(height=60, width=80, apply_exif_orientation=False))
    np.testing.assert_array_equal(ignored.pixels, np.asarray(gradient()))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(kind: str) -> None:
    greys = np.linspace(0, 65535, 32 * 48).round().astype(np.uint16).reshape(32, 48)
    pixels = decode_image(encoded(Image.fromarray(greys), kind), RULES).pixels
    np.testing.assert_array_equal(pixels, np.repeat((greys / 257).round().astype(np.uint8)[..., None], 3, -1))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_counts(kind: str) -> None:
    first, second = Image.new("RGB", (48, 32), "red"), Image.new("RGB", (48, 32), "blue")
    data = encoded(first, kind, save_all=True, append_images=[second], **({"lossless": True} if kind == "WEBP" else {}))
    np.testing.assert_array_equal(decode_image(data, RULES).pixels[0, 0], [255, 0, 0])


JPEG = encoded(gradient(), "JPEG")
PNG = encoded(gradient(), "PNG")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", FailureCode.EMPTY_FILE),
        (b"<html>404</html>", FailureCode.NOT_AN_IMAGE),
        (bytes(1000), FailureCode.NOT_AN_IMAGE),
        (JPEG[: len(JPEG) // 2], FailureCode.TRUNCATED),
        (PNG[: len(PNG) // 2], FailureCode.TRUNCATED),
        (encoded(gradient(), "PPM"), FailureCode.UNSUPPORTED_FORMAT),
        (encoded(gradient("L").convert("F"), "TIFF"), FailureCode.UNSUPPORTED_PIXELS),
        (PNG[:60] + bytes(20) + PNG[80:], FailureCode.DECODER_ERROR),
    ],
)
def test_bad_files_have_a_code(data: bytes, code: FailureCode) -> None:
    assert code_of(data) == code


def test_formats_are_a_choice() -> None:
    only_png = DecodingRules(height=32, width=48, formats=("PNG",))
    assert code_of(JPEG, only_png) == FailureCode.UNSUPPORTED_FORMAT
    with_ppm = DecodingRules(height=32, width=48, formats=("PPM",))
    assert decode_image(encoded(gradient(), "PPM"), with_ppm).width == 80


def test_pixels_are_counted_before_anything_is_decoded() -> None:
    """A PNG that claims 30,000 × 30,000 pixels and holds none: decoding it would ask for 2.7 GB, then say truncated."""
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(header)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    bomb += struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    assert code_of(bomb) == FailureCode.TOO_MANY_PIXELS
    small = DecodingRules(height=32, width=48, max_pixels=80 * 60 - 1)
    assert code_of(JPEG, small) == FailureCode.TOO_MANY_PIXELS
    assert decode_image(JPEG, DecodingRules(height=32, width=48, max_pixels=80 * 60)).width == 80


def test_too_little_memory_is_no_bad_image(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image.Image, "resize", exhausted)
    with pytest.raises(MemoryError):
        decode_image(JPEG, RULES)


def test_a_broken_exif_block_does_not_cost_the_picture() -> None:
    data = encoded(gradient(), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    np.testing.assert_array_equal(decode_image(data, RULES).pixels, keras_pixels(data))
