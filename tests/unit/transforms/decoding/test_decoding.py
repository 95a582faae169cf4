"""Pictures as Keras makes them; everything else has a stable code."""

import ctypes
import dataclasses
import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image, ImageOps

from schemas.errors import FailureCode, ImageError
from schemas.spec import FeatureSpec
from tests.conftest import REPOSITORY
from transforms.conv_bases import OpenVINOEngine
from transforms.conv_bases.publishing import prepare_conv_base
from transforms.decoding import DecodingLimits, DecodingRules, decode_image
from transforms.decoding.decoding import Picture

RULES = DecodingRules(height=32, width=48)
# What turns the pixels of a file with an EXIF orientation upright.
TURNED_UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


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
        try:
            with Image.open(io.BytesIO(data)) as image:
                if image.mode.startswith("I"):
                    continue
            expected = keras_pixels(data)
        except (OSError, SyntaxError, ValueError):
            continue  # Keras refuses it for what stands beside its pixels.
        np.testing.assert_array_equal(pixels, expected, err_msg=str(path))
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
    expected = TURNED_UPRIGHT[orientation](np.asarray(gradient()))
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
    only_png = DecodingRules(height=32, width=48, limits=DecodingLimits(formats=("PNG",)))
    assert code_of(JPEG, only_png) == FailureCode.UNSUPPORTED_FORMAT
    with_ppm = DecodingRules(height=32, width=48, limits=DecodingLimits(formats=("PPM",)))
    assert decode_image(encoded(gradient(), "PPM"), with_ppm).width == 80


def test_pixels_are_counted_before_anything_is_decoded() -> None:
    """A PNG that claims 30,000 × 30,000 pixels and holds none: decoding it would ask for 2.7 GB, then say truncated."""
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(header)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    bomb += struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    assert code_of(bomb) == FailureCode.TOO_MANY_PIXELS
    small = DecodingRules(height=32, width=48, limits=DecodingLimits(max_pixels=80 * 60 - 1))
    assert code_of(JPEG, small) == FailureCode.TOO_MANY_PIXELS
    assert decode_image(JPEG, DecodingRules(height=32, width=48, limits=DecodingLimits(max_pixels=80 * 60))).width == 80


def test_too_little_memory_is_no_bad_image(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image.Image, "resize", exhausted)
    with pytest.raises(MemoryError):
        decode_image(JPEG, RULES)


def test_a_broken_exif_block_does_not_cost_the_picture() -> None:
    data = encoded(gradient(), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    np.testing.assert_array_equal(decode_image(data, RULES).pixels, keras_pixels(data))


def mosaic(shared: Path, columns: int = 6, rows: int = 4) -> Image.Image:
    """A large picture with the detail of photographs: as many of them, side by side."""
    whole = Image.new("RGB", (500 * columns, 375 * rows))
    paths = sorted((shared / "images/dogs_vs_cats/test/dogs").iterdir())
    for tile, path in enumerate(paths[: columns * rows]):
        with Image.open(path) as photograph:
            place = (500 * (tile % columns), 375 * (tile // columns))
            whole.paste(photograph.resize((500, 375)), place)
    return whole


def both_ways(data: bytes, rules: DecodingRules) -> tuple[Picture, Picture]:
    """The exact picture and the scaled one."""
    return decode_image(data, rules), decode_image(data, dataclasses.replace(rules, decode="scaled"))


def difference(exact: Picture, scaled: Picture) -> float:
    """The mean absolute difference of two pictures of one shape."""
    assert exact.pixels.shape == scaled.pixels.shape
    return float(np.abs(exact.pixels.astype(float) - scaled.pixels).mean())


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_large_jpegs_are_scaled_by_their_decoder(mode: str, options: dict[str, object], shared: Path) -> None:
    data = encoded(mosaic(shared).convert(mode), "JPEG", **options)
    exact, scaled = both_ways(data, DecodingRules(height=96, width=160))
    assert 0 < difference(exact, scaled) < 1
    assert (scaled.width, scaled.height) == (exact.width, exact.height) == (3000, 1500)


def test_the_decoder_leaves_twice_the_pixels_that_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []
    resize = Image.Image.resize
    monkeypatch.setattr(Image.Image, "resize", lambda image, *rest: loaded.append(image.size) or resize(image, *rest))
    data = encoded(Image.new("RGB", (2000, 1000)), "JPEG")
    for side, left in ((50, (250, 125)), (63, (500, 250)), (125, (500, 250)), (126, (1000, 500)), (251, (2000, 1000))):
        decode_image(data, DecodingRules(height=side, width=side, decode="scaled"))
        assert loaded.pop() == left


def test_what_is_no_large_jpeg_is_decoded_exactly(shared: Path) -> None:
    photograph = mosaic(shared, 1, 1)
    for kind in ("PNG", "WEBP", "TIFF", "BMP"):
        exact, scaled = both_ways(encoded(photograph, kind), DecodingRules(height=20, width=20))
        assert difference(exact, scaled) == 0
    jpeg = encoded(photograph, "JPEG")
    assert difference(*both_ways(jpeg, DecodingRules(height=94, width=94))) == 0
    assert difference(*both_ways(jpeg, DecodingRules(height=93, width=93))) > 0
    tiff = encoded(photograph, "TIFF", compression="jpeg")
    assert difference(*both_ways(tiff, DecodingRules(height=20, width=20))) == 0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_scaled_pictures_are_turned_upright(orientation: int, shared: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(mosaic(shared, 3, 2), "JPEG", exif=exif)
    turned = orientation >= 5
    for height, width in ((90, 40), (40, 90)):  # The decoder scales by 4 for the one, by 8 for the other.
        upright = decode_image(data, DecodingRules(height, width, decode="scaled"))
        assert (upright.width, upright.height) == ((750, 1500) if turned else (1500, 750))
        lying = (width, height) if turned else (height, width)
        ignored = decode_image(data, DecodingRules(*lying, apply_exif_orientation=False, decode="scaled"))
        assert (ignored.width, ignored.height) == (1500, 750)
        expected = TURNED_UPRIGHT[orientation](ignored.pixels.astype(int))
        assert np.abs(upright.pixels - expected).max() <= 1  # Resizing rounds between the two axes.


def test_the_first_picture_of_a_phones_file_is_scaled(shared: Path) -> None:
    photograph = mosaic(shared, 3, 2)
    data = encoded(photograph, "MPO", save_all=True, append_images=[photograph.resize((300, 150))])
    exact, scaled = both_ways(data, DecodingRules(height=40, width=40))
    assert (scaled.width, scaled.height) == (1500, 750)
    assert 0 < difference(exact, scaled) < 3


def test_bad_jpegs_have_the_same_codes_when_scaled() -> None:
    data = encoded(Image.effect_noise((800, 600), 50).convert("RGB"), "JPEG")
    rules = DecodingRules(height=32, width=48, decode="scaled")
    assert code_of(data[: len(data) // 2], rules) == FailureCode.TRUNCATED
    fewer = dataclasses.replace(rules, limits=DecodingLimits(max_pixels=800 * 600 - 1))
    assert code_of(data, fewer) == FailureCode.TOO_MANY_PIXELS
    cut = encoded(Image.new("RGB", (800, 600)), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    assert decode_image(cut, rules).width == 800


def test_features_of_scaled_pictures_are_close_to_the_exact_ones(
    shared: Path, mobilenet_weights: Path, tmp_path: Path
) -> None:
    """Pictures of 12 megapixels through the real MobileNet 0.25, as tight as `SCALED_MARGIN` says."""
    weights = str(mobilenet_weights)
    spec = FeatureSpec("MobileNet", {"alpha": 0.25}, weights=weights, input_shape=(224, 224, 3))
    engine = OpenVINOEngine(prepare_conv_base(spec, tmp_path).publish(f"{tmp_path}/store"), batch_size=4)
    flips = [lambda image: image, ImageOps.mirror, ImageOps.flip, ImageOps.invert]
    whole = mosaic(shared, 8, 8)
    pictures = [both_ways(encoded(flip(whole), "JPEG"), DecodingRules(height=224, width=224)) for flip in flips]
    exact, scaled = (engine.submit(np.stack([pair[way].pixels for pair in pictures])).result()[0] for way in (0, 1))
    cosines = (exact * scaled).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(scaled, axis=1)
    assert 0.9995 < cosines.min() < 1


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs glibc, which can fill memory")
def test_pixels_that_a_file_does_not_tell_are_the_same_each_time() -> None:
    program = (
        "import hashlib\n"
        "from tests.fuzz.pictures import broken_fax\n"
        "from transforms.decoding.decoding import DecodingRules, decode_image\n"
        "print(hashlib.sha256(decode_image(broken_fax(), DecodingRules(13, 19)).pixels).hexdigest())"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program], cwd=REPOSITORY, env={**os.environ, "MALLOC_PERTURB_": filled},
            capture_output=True, text=True, check=True,
        ).stdout
        for filled in ("1", "254")
    }  # fmt: skip
    assert len(printed) == 1
