"""Pixels that are intact are decoded whatever the metadata beside them; formats have names of their own."""

import io
import struct
import sys
import types
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, features

from schemas.errors import FailureCode, ImageError
from tests.unit.transforms.decoding.test_decoding import RULES, code_of, encoded, gradient
from transforms.decoding import DecodingLimits, DecodingRules, decode_image, format_by_name
from transforms.decoding.image_files import is_avif, is_heif, without_metadata

WHOLE = DecodingRules(height=60, width=80)
KEEP = DecodingRules(height=60, width=80, truncated="keep")
PIXELS = np.asarray(gradient())
PNG = encoded(gradient(), "PNG")


def chunk(kind: bytes, content: bytes, checksum: int | None = None) -> bytes:
    crc = zlib.crc32(kind + content) if checksum is None else checksum
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)


def png_with(*chunks: bytes, end: bool = False) -> bytes:
    """A PNG with further chunks after its header, or before its end."""
    at = len(PNG) - 12 if end else 8 + 25
    return PNG[:at] + b"".join(chunks) + PNG[at:]


LARGE = zlib.compress(bytes(2_000_000))
EXIF_6 = Image.Exif()
EXIF_6[0x0112] = 6
TURNED = chunk(b"eXIf", EXIF_6.tobytes()[6:])
XMP_6 = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
XMP_TURNED = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP_6)
METADATA = {
    "compressed text of 2 MB": chunk(b"zTXt", b"note\0\0" + LARGE),
    "international text of 2 MB": chunk(b"iTXt", b"note\0\1\0\0\0" + LARGE),
    "a colour profile of 2 MB": chunk(b"iCCP", b"profile\0\0" + LARGE),
    "text with a wrong checksum": chunk(b"tEXt", b"note\0text", 1),
    "a date with a wrong checksum": chunk(b"tIME", bytes(7), 1),
    "a resolution of three bytes": chunk(b"pHYs", bytes(3)),
    "a gamma of two bytes": chunk(b"gAMA", bytes(2)),
    "an intent of no bytes": chunk(b"sRGB", b""),
    "a profile of no name": chunk(b"iCCP", b""),
    "a profile of another compression": chunk(b"iCCP", b"profile\0\7" + LARGE),
}


@pytest.mark.parametrize("case", METADATA)
@pytest.mark.parametrize("end", [False, True])
def test_a_png_is_decoded_whatever_stands_beside_its_pixels(case: str, end: bool) -> None:
    np.testing.assert_array_equal(decode_image(png_with(METADATA[case], end=end), WHOLE).pixels, PIXELS)


@pytest.mark.parametrize("case", METADATA)
@pytest.mark.parametrize(
    "turned", [TURNED, chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP_6)], ids=["EXIF", "XMP"]
)
def test_such_a_png_is_turned_upright_all_the_same(case: str, turned: bytes) -> None:
    picture = decode_image(png_with(turned, METADATA[case]), DecodingRules(height=80, width=60))
    np.testing.assert_array_equal(picture.pixels, np.rot90(PIXELS, -1))


def test_a_png_whose_pixels_are_broken_is_none() -> None:
    bad = METADATA["text with a wrong checksum"]
    assert code_of(png_with(bad)[: -len(PNG) // 2]) == FailureCode.TRUNCATED
    broken = bytearray(png_with(bad))
    at = broken.index(b"IDAT") + 23
    broken[at : at + 20] = bytes(20)
    assert code_of(bytes(broken)) == FailureCode.DECODER_ERROR


JPEG = encoded(gradient(), "JPEG")


def jpeg_with(*segments: bytes) -> bytes:
    return JPEG[:2] + b"".join(segments) + JPEG[2:]


def segment(marker: int, content: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content


@pytest.mark.parametrize(
    "bad",
    [segment(0xE0, b"JFIF\0"), segment(0xEE, b"Adobe"), segment(0xE0, b"JFIF\0\1")],
    ids=["JFIF", "Adobe", "short"],
)
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_is_decoded_whatever_stands_before_its_pixels(bad: bytes, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = jpeg_with(bad, segment(0xE1, exif.tobytes()), segment(0xFE, b"note"))
    exact = decode_image(JPEG, WHOLE).pixels
    expected = np.rot90(exact, -1) if orientation == 6 else exact
    height, width, _ = expected.shape
    np.testing.assert_array_equal(decode_image(data, DecodingRules(height, width)).pixels, expected)


@pytest.mark.parametrize("mode", ["RGB", "CMYK", "L"])
def test_a_jpeg_without_its_metadata_has_the_same_pixels(mode: str) -> None:
    data = encoded(gradient(mode), "JPEG", comment=b"note", exif=EXIF_6.tobytes(), icc_profile=bytes(500))
    bare = without_metadata(data)
    assert bare is not None
    assert len(bare) < len(data) - 500
    np.testing.assert_array_equal(decode_image(bare, RULES).pixels, decode_image(data, RULES).pixels)


def test_there_may_be_nothing_to_leave_out() -> None:
    for data in (PNG, b"GIF89a", b"", b"\xff\xd8", PNG[:20], PNG[:8]):
        assert without_metadata(data) is None


def unwritable_exif(orientation: int) -> bytes:
    """EXIF with an orientation and a float where Pillow writes a whole number: it cannot be written again."""
    tags = [struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0), struct.pack("<HHIf", 0x0100, 11, 1, 1.5)]
    body = b"".join(sorted(tags, key=lambda tag: struct.unpack("<H", tag[:2])))
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + struct.pack("<H", 2) + body + struct.pack("<I", 0)


@pytest.mark.parametrize("decode", ["exact", "scaled"])
def test_exif_that_cannot_be_written_again_turns_a_picture_upright(decode: str) -> None:
    data = encoded(gradient(), "JPEG", exif=unwritable_exif(6))
    picture = decode_image(data, DecodingRules(height=80, width=60, decode=decode))
    assert (picture.width, picture.height) == (60, 80)
    np.testing.assert_array_equal(picture.pixels, np.rot90(decode_image(JPEG, WHOLE).pixels, -1))


@pytest.mark.parametrize("folder", ["E1-exif", "E2-png"])
def test_pictures_with_metadata_that_cannot_be_read_are_decoded(folder: str, shared: Path) -> None:
    paths = sorted((shared / "cases" / folder).iterdir())
    assert paths
    for path in paths:
        picture = decode_image(path.read_bytes(), RULES)
        if folder == "E1-exif":
            with Image.open(path) as stored:
                assert (picture.width, picture.height) == stored.size[::-1]


def test_a_truncated_file_may_be_kept() -> None:
    large = Image.fromarray(np.random.default_rng(0).integers(0, 256, (600, 800, 3), np.uint8))
    for kind in ("JPEG", "PNG"):
        data = encoded(large, kind)
        rules = DecodingRules(height=600, width=800, truncated="keep")
        whole, kept = decode_image(data, rules).pixels, decode_image(data[: len(data) // 2], rules).pixels
        np.testing.assert_array_equal(kept[:250], whole[:250])
        assert len(np.unique(kept[400:].reshape(-1, 3), axis=0)) == 1
        assert code_of(data[: len(data) // 2], DecodingRules(height=600, width=800)) == FailureCode.TRUNCATED
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_what_has_no_pixels_at_all_is_not_kept() -> None:
    for data in (PNG[:30], JPEG[:100], b"GIF89a"):
        assert code_of(data, KEEP) in {FailureCode.NOT_AN_IMAGE, FailureCode.TRUNCATED, FailureCode.DECODER_ERROR}
    np.testing.assert_array_equal(decode_image(png_with(METADATA["a resolution of three bytes"]), KEEP).pixels, PIXELS)


@pytest.mark.parametrize(
    ("name", "known"),
    [("JPEG", "JPEG"), ("jpg", "JPEG"), (".JPG", "JPEG"), ("tif", "TIFF"), ("heic", "HEIF"), ("heif", "HEIF"),
     ("avif", "AVIF"), ("ppm", "PPM"), ("psd", "PSD"), ("jp2", "JPEG2000"), ("webp", "WEBP")],
)  # fmt: skip
def test_formats_go_by_their_names_and_extensions(name: str, known: str) -> None:
    assert format_by_name(name) == known


@pytest.mark.parametrize(("name", "nearest"), [("JPGE", "JPEG"), ("wepb", "WEBP"), ("PNGG", "PNG")])
def test_a_format_that_there_is_not_is_refused_with_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' is no format that Pillow reads; did you mean .*'{nearest}'"):
        format_by_name(name)


def message(data: bytes, rules: DecodingRules = RULES) -> tuple[FailureCode, str]:
    with pytest.raises(ImageError) as caught:
        decode_image(data, rules)
    return caught.value.code, caught.value.message


def test_a_format_that_is_not_taken_is_named() -> None:
    only_png = DecodingRules(height=32, width=48, limits=DecodingLimits(formats=("PNG",)))
    unsupported = FailureCode.UNSUPPORTED_FORMAT
    assert message(encoded(gradient(), "PPM")) == (
        unsupported,
        "The file is PPM; --formats takes JPEG,PNG,WEBP,GIF,BMP,TIFF,AVIF,HEIF.",
    )
    assert message(HEIC, only_png) == (unsupported, "The file is HEIF; --formats takes PNG.")
    assert message(AVIF, only_png) == (unsupported, "The file is AVIF; --formats takes PNG.")


def type_box(*brands: bytes) -> bytes:
    return struct.pack(">I", 8 + 4 * len(brands)) + b"ftyp" + b"".join(brands)


HEIC = type_box(b"heic", bytes(4), b"mif1", b"heic") + bytes(200)
AVIF = encoded(gradient(), "AVIF", quality=95) if features.check("avif") else type_box(b"avif", bytes(4), b"mif1")


def test_files_are_told_apart_by_their_type_box() -> None:
    assert is_heif(HEIC)
    assert is_heif(type_box(b"mif1", bytes(4), b"heix"))
    assert not is_heif(type_box(b"mif1", bytes(4), b"avif"))
    assert is_avif(AVIF)
    for other in (b"", b"ftyp", JPEG, PNG, type_box(b"isom", bytes(4), b"mp41")):
        assert not is_heif(other)
        assert not is_avif(other)


@pytest.mark.skipif(not features.check("avif"), reason="the installed Pillow was built without AVIF")
def test_avif_is_decoded() -> None:
    pixels = decode_image(AVIF, WHOLE).pixels
    assert np.abs(pixels.astype(int) - PIXELS).mean() < 3
    turned = encoded(gradient(), "AVIF", exif=EXIF_6.tobytes())
    assert (decode_image(turned, WHOLE).width, decode_image(turned, WHOLE).height) == (60, 80)
    assert code_of(AVIF[: len(AVIF) // 2]) in {FailureCode.DECODER_ERROR, FailureCode.TRUNCATED}


def test_avif_without_a_decoder_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import AvifImagePlugin

    monkeypatch.setattr(AvifImagePlugin, "SUPPORTED", False)
    monkeypatch.setattr(features, "check", lambda feature: False)
    with pytest.warns(UserWarning, match="AVIF"):
        code, said = message(AVIF)
    assert (code, code.permanent) == (FailureCode.DECODER_MISSING, False)
    assert "Pillow was built without" in said


@pytest.fixture
def heif_package() -> Iterator[Callable[[types.ModuleType | None], None]]:
    """Puts something in the place of the package pillow-heif."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Image, "OPEN", dict(Image.OPEN))
        patch.setattr(Image, "ID", list(Image.ID))
        yield lambda module: patch.setitem(sys.modules, "pillow_heif", module)


def test_heif_without_its_package_says_what_to_install(
    heif_package: Callable[[types.ModuleType | None], None],
) -> None:
    heif_package(None)
    code, said = message(HEIC)
    assert (code, code.permanent, code.stage) == (FailureCode.DECODER_MISSING, False, "decode")
    assert "pillow-heif" in said
    assert "extra heif" in said


class StandIn(ImageFile.ImageFile):
    """What pillow-heif registers, for pictures that are grey."""

    format = "HEIF"

    def _open(self) -> None:
        self._size = (80, 60)
        self._mode = "RGB"

    def load(self) -> object:
        if self._im is None:
            self.im = Image.core.fill("RGB", self.size, (128, 128, 128))
        return Image.Image.load(self)


def test_heif_is_decoded_by_its_package(heif_package: Callable[[types.ModuleType | None], None]) -> None:
    package = types.ModuleType("pillow_heif")
    package.register_heif_opener = lambda: Image.register_open("HEIF", StandIn, lambda prefix: prefix[4:8] == b"ftyp")
    heif_package(package)
    picture = decode_image(HEIC, RULES)
    assert (picture.width, picture.height) == (80, 60)
    assert (picture.pixels == 128).all()


def test_heif_is_decoded_by_pillow_heif() -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra heif is not installed")
    sink = io.BytesIO()
    pillow_heif.from_pillow(gradient()).save(sink, quality=95)
    pixels = decode_image(sink.getvalue(), WHOLE).pixels
    assert np.abs(pixels.astype(int) - PIXELS).mean() < 3
