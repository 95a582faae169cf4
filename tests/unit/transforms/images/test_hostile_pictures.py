"""Pictures that were made to cost much: refused before they are decoded, or at the cost of nothing but themselves."""

import hashlib
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from schemas.errors import FailureCode, ImageError
from tests.conftest import write_pictures
from tests.fuzz.pictures import large_webp
from tests.unit.transforms.images.test_loading import shard_of
from transforms.decoding import DecodingLimits, DecodingRules, decode_image
from transforms.decoding import decoding as decoding_module
from transforms.decoding.image_files import is_scalable, scans, tag_bytes, webp_size
from transforms.images import BadImage, LoadingPools, LoadingRules, load_batches
from transforms.images.decoder import Decoded, DecodingTask, Undecoded
from transforms.images.decoder_processes import AnyDecoder, DecoderDied
from transforms.images.loading import MOST_DEATHS
from transforms.runtime import Meter

SIDE = 32
TAGS = 4096


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


NOISE = Image.effect_noise((80, 60), 60).convert("RGB")
JPEG = encoded(NOISE)
PROGRESSIVE = encoded(NOISE, progressive=True)


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, content in ((b"IHDR", header), *chunks, (b"IEND", b"")):
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        parts.append(struct.pack(">I", len(content)) + kind + content + checksum)
    return b"".join(parts)


def overlapping_tags(tags: int, size: int) -> bytes:
    """A directory of which each tag's value is the same bytes, which follow it."""
    first = 8 + 2 + 12 * tags + 4
    entries = b"".join(struct.pack("<HHII", 0x8000 + number, 7, size, first) for number in range(tags))
    return b"II*\0" + struct.pack("<IH", 8, tags) + entries + bytes(4) + bytes(size)


def with_exif(exif: bytes) -> bytes:
    """A JPEG with an EXIF block in as many segments as it needs."""
    pieces = [exif[at : at + 65_000] for at in range(0, len(exif), 65_000)]
    segments = b"".join(b"\xff\xe1" + struct.pack(">H", len(piece) + 8) + b"Exif\0\0" + piece for piece in pieces)
    return JPEG[:2] + segments + JPEG[2:]


def exif_as_text(exif: bytes) -> bytes:
    text = f"\nexif\n{len(exif):8d}\n{exif.hex()}\n".encode()
    return b"Raw profile type exif\0\0" + zlib.compress(text)


def many_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan is there again and again."""
    last = PROGRESSIVE.rindex(b"\xff\xda")
    return PROGRESSIVE[:-2] + PROGRESSIVE[last:-2] * count + PROGRESSIVE[-2:]


PIXELS = zlib.compress(bytes(SIDE * (SIDE + 1)))
BOMBS = {
    "a hundred million pixels in a row": (png(100_000_000, 1, (b"IDAT", b"")), FailureCode.TOO_MANY_PIXELS),
    "a column of them": (png(1, 100_000_000, (b"IDAT", b"")), FailureCode.TOO_MANY_PIXELS),
    "a GIF that takes memory when it is opened": (
        b"GIF89a\xff\xff\xff\xff\x80\0\0" + bytes(6) + b"\x21\xf9\4\x08\0\0\0\0\x2c" + bytes(4)
        + b"\xff\xff\xff\xff\0\2\2\x44\1\0;",
        FailureCode.TOO_MANY_PIXELS,
    ),
    "overlapping tags in a TIFF": (overlapping_tags(TAGS, 50_000), FailureCode.TOO_MUCH_METADATA),
    "overlapping tags in the EXIF of a JPEG": (
        with_exif(overlapping_tags(TAGS, 50_000)),
        FailureCode.TOO_MUCH_METADATA,
    ),
    "overlapping tags in the EXIF of a PNG": (
        png(SIDE, SIDE, (b"eXIf", overlapping_tags(TAGS, 50_000)), (b"IDAT", PIXELS)),
        FailureCode.TOO_MUCH_METADATA,
    ),
    "the same as text": (
        png(SIDE, SIDE, (b"zTXt", exif_as_text(overlapping_tags(TAGS, 50_000))), (b"IDAT", PIXELS)),
        FailureCode.TOO_MUCH_METADATA,
    ),
    "a JPEG of many scans": (many_scans(200), FailureCode.TOO_MUCH_METADATA),
}  # fmt: skip


@pytest.mark.parametrize("decode", ["exact", "scaled"])
@pytest.mark.parametrize("bomb", BOMBS)
def test_what_would_cost_much_is_refused_before(bomb: str, decode: str) -> None:
    data, code = BOMBS[bomb]
    with pytest.raises(ImageError) as refused:
        decode_image(data, DecodingRules(SIDE, SIDE, decode=decode))
    assert refused.value.code == code


@pytest.mark.parametrize(
    "data",
    [with_exif(overlapping_tags(20, 50_000)), many_scans(50), png(65_535, 1, (b"IDAT", zlib.compress(bytes(65_536))))],
)
def test_what_is_unusual_is_decoded(data: bytes) -> None:
    decode_image(data, DecodingRules(SIDE, SIDE))


def test_the_longest_side_is_an_option() -> None:
    rules = DecodingRules(SIDE, SIDE, limits=DecodingLimits(max_side=79))
    with pytest.raises(ImageError, match=r"80 × 60 pixels, the limit is 79 of a side \(--max_side\)"):
        decode_image(JPEG, rules)
    assert decode_image(JPEG, DecodingRules(SIDE, SIDE, limits=DecodingLimits(max_side=80))).width == 80


def with_frame(marker: int) -> bytes:
    return JPEG.replace(b"\xff\xc0", bytes((0xFF, marker)), 1)


def test_only_jpegs_that_libjpeg_scales_are_scaled() -> None:
    assert is_scalable(JPEG)
    assert is_scalable(PROGRESSIVE)
    assert is_scalable(JPEG[:2] + b"\xff" * 5 + JPEG[2:])
    assert [is_scalable(with_frame(marker)) for marker in range(0xC1, 0xD0)] == [True, True] + [False] * 13
    # What follows is not where the scan should be, or something stands between that hides a frame.
    frame = JPEG[JPEG.index(b"\xff\xc0") :][:19]
    lossless = frame.replace(b"\xff\xc0", b"\xff\xc3")
    for hiding in (frame, lossless, b"\xff\xd0" + lossless, b"\xff\xff\xff" + lossless, b"\0" + lossless):
        assert not is_scalable(JPEG[:2] + hiding + JPEG[2:])
    assert not is_scalable(JPEG[: JPEG.index(b"\xff\xda")])


def test_scans_are_counted() -> None:
    assert [scans(data) for data in (JPEG, PROGRESSIVE, many_scans(7), encoded(NOISE, "PNG"))] == [1, 10, 17, 0]


@pytest.mark.parametrize("shift", [0, 1])
def test_scans_of_large_files_are_counted_wherever_they_begin(shift: int) -> None:
    comment = b"\xff\xfe\xff\xf0" + bytes(0xFFEE)
    shifted = b"\xff\xfe" + (2 + shift).to_bytes(2) + bytes(shift)
    large = PROGRESSIVE[:2] + comment + shifted + PROGRESSIVE[2:]
    assert (scans(large), len(large) > 2**16) == (10, True)


def test_values_of_tags_are_counted() -> None:
    assert tag_bytes(overlapping_tags(10, 1000)) == 10_000
    big = b"MM\0+\0\x08\0\0" + struct.pack(">QQ", 16, 2) + struct.pack(">HHQQ", 256, 16, 4, 8) * 2 + bytes(8)
    assert tag_bytes(big) == 2 * 4 * 8
    for cut in range(60):
        assert tag_bytes(big[:cut]) <= 2 * 4 * 8
    assert tag_bytes(b"II*\0\xff\xff\xff\xff") == 0


def test_only_formats_that_are_taken_are_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    Image.init()
    for name, (_, accept) in list(Image.OPEN.items()):
        monkeypatch.setitem(Image.OPEN, name, (lambda *_, name=name: opened.append(name), accept))
    only_png = DecodingRules(SIDE, SIDE, limits=DecodingLimits(formats=("PNG",)))
    for kind in ("JPEG", "GIF", "TIFF", "BMP", "WEBP", "PPM"):
        with pytest.raises(ImageError) as refused:
            decode_image(encoded(NOISE, kind), only_png)
        assert refused.value.code == FailureCode.UNSUPPORTED_FORMAT
        assert refused.value.message.startswith(f"The file is {kind}")
    assert opened == []


class OddError(Exception):
    """What no decoder is known to raise."""


def test_whatever_a_decoder_raises_is_the_fault_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OddError

    data = encoded(NOISE, "PNG")
    monkeypatch.setattr(Image.Image, "resize", fail)
    with pytest.raises(ImageError, match="OddError"):
        decode_image(data, DecodingRules(SIDE, SIDE))


def test_greys_of_sixteen_bits_are_scaled_some_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    greys = np.arange(80 * 60, dtype=np.uint16).reshape(60, 80) * 13
    data, rules = encoded(Image.fromarray(greys), "PNG"), DecodingRules(60, 80)
    monkeypatch.setattr(decoding_module, "_PIXELS_AT_ONCE", 7 * 80)
    expected = (greys.astype(np.int64) + 128) // 257
    np.testing.assert_array_equal(decode_image(data, rules).pixels, np.repeat(expected[..., None], 3, 2))


def slow_picture() -> bytes:
    """A JPEG of scans that are few enough, and pixels that are few enough, but not both together."""
    flat = encoded(Image.new("L", (6000, 6000), 100), progressive=True)
    last = flat.rindex(b"\xff\xda")
    return flat[:-2] + flat[last:-2] * 90 + flat[-2:]


def load(
    files: list[Path], limits: DecodingLimits, pools: LoadingPools | None = None
) -> tuple[list[int], dict[int, FailureCode]]:
    bad: list[BadImage] = []
    rules = LoadingRules(DecodingRules(SIDE, SIDE, limits=limits), 10_000_000, 4)
    pools = pools or LoadingPools.start(2, decode_processes=2)
    assert pools.decoders.in_processes
    batches = load_batches(shard_of([f"file://{file}" for file in files]), rules, pools, bad, Meter())
    rows = [row for batch in batches for row in batch.rows]
    return rows, {one.row: one.error.code for one in bad}


def among_good_ones(tmp_path: Path, data: bytes) -> list[Path]:
    files = write_pictures(tmp_path, 20)
    files[5].write_bytes(data)
    return files


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": b"Exif\0\0II*\0"}, {"save_all": True}])
def test_the_size_of_a_webp_stands_in_its_first_chunk(options: dict[str, object]) -> None:
    data = encoded(NOISE, "WEBP", **options)
    assert webp_size(data) == NOISE.size
    assert webp_size(JPEG) is None
    for cut in range(len(data[:40])):
        webp_size(data[:cut])


OTHERS = [row for row in range(20) if row != 5]


def test_the_canvas_of_a_webp_is_not_allocated_before_its_size_is_known(tmp_path: Path) -> None:
    files = among_good_ones(tmp_path, large_webp(20_000))
    assert load(files, DecodingLimits(memory=20_000_000)) == (OTHERS, {5: FailureCode.TOO_MANY_PIXELS})


def test_a_picture_that_takes_too_much_memory_costs_no_other(tmp_path: Path) -> None:
    large = encoded(Image.new("RGB", (3000, 3000)))
    files = among_good_ones(tmp_path, large)
    found = load(files, DecodingLimits(memory=20_000_000))
    assert found == (OTHERS, {5: FailureCode.DECODER_OUT_OF_MEMORY})
    assert load(files, DecodingLimits(memory=100_000_000)) == (list(range(20)), {})


def test_a_picture_that_takes_too_long_costs_no_other(tmp_path: Path) -> None:
    files = among_good_ones(tmp_path, slow_picture())
    assert load(files, DecodingLimits(timeout=1)) == (OTHERS, {5: FailureCode.DECODER_TIMEOUT})


class Dying:
    """A decoder that dies over one picture, as often as it is told to."""

    def __init__(self, decoder: AnyDecoder, victim: str, deaths: list[int]) -> None:
        self.decoder = decoder
        self.victim = victim
        self.deaths = deaths
        self.read = decoder.read

    def decode(self, files: list[Undecoded], task: DecodingTask) -> list[Decoded]:
        number = next((number for number, file in enumerate(files) if file.sha256 == self.victim), None)
        if number is not None and self.deaths:
            self.deaths.pop()
            raise DecoderDied((number, 0.01))
        return self.decoder.decode(files, task)


@pytest.mark.parametrize("deaths", range(MOST_DEATHS + 2))
def test_only_a_picture_that_ends_processes_again_and_again_is_bad(
    deaths: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write_pictures(tmp_path, 20)
    victim = hashlib.sha256(files[5].read_bytes()).hexdigest()
    pools = LoadingPools.start(2, decode_processes=2)
    left = [0] * deaths
    run: Callable[..., object] = pools.decoders.run

    def run_dying(work: Callable[[AnyDecoder], object]) -> object:
        return run(lambda decoder: work(Dying(decoder, victim, left)))

    monkeypatch.setattr(pools.decoders, "run", run_dying)
    expected = (list(range(20)), {}) if deaths < MOST_DEATHS else (OTHERS, {5: FailureCode.DECODER_CRASHED})
    assert load(files, DecodingLimits(), pools) == expected
    assert len(left) == max(0, deaths - MOST_DEATHS)
