"""What holds of every file that is decoded, here and by decoder processes."""

import functools
import io
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Final, NamedTuple
from unittest import mock

import numpy as np
from PIL import Image

from schemas.errors import FailureCode, ImageError
from schemas.spec import DECODINGS, INTERPOLATIONS, TRUNCATIONS
from tests.fuzz.pictures import broken_fax, large_webp, mutated_picture
from tests.fuzz.target import Target
from tests.unit.transforms.images.test_hostile_pictures import BOMBS
from tests.unit.transforms.images.test_loading import shard_of
from transforms.decoding import DecodingLimits, DecodingRules, decode_image
from transforms.images import BadImage, LoadingPools, LoadingRules, load_batches
from transforms.runtime import Meter

# Pictures of a million pixels take some milliseconds: what takes longer is no matter of its size.
_LIMITS: Final = DecodingLimits(max_pixels=2**20, memory=256 * 2**20, timeout=2)
_SIZES: Final = ((8, 8), (5, 11), (24, 16))
_FILES: Final = 24
_BATCH: Final = 7
# What a file as small as these must not come to, within these limits.
_TOO_MUCH: Final = frozenset(
    {FailureCode.DECODER_CRASHED, FailureCode.DECODER_TIMEOUT, FailureCode.DECODER_OUT_OF_MEMORY}
)

Result = tuple[bytes, int, int] | ImageError


class File(NamedTuple):
    """A file, and how it is decoded."""

    data: bytes
    rules: DecodingRules


class Files(NamedTuple):
    """Files that are decoded together, and how."""

    files: tuple[bytes, ...]
    rules: DecodingRules


def _rules(chance: Random) -> DecodingRules:
    height, width = chance.choice(_SIZES)
    return DecodingRules(
        height,
        width,
        interpolation=chance.choice(INTERPOLATIONS),
        apply_exif_orientation=chance.random() < 0.8,
        decode=chance.choice(DECODINGS),
        truncated=chance.choice(TRUNCATIONS),
        limits=_LIMITS,
    )


def _file(chance: Random) -> File:
    return File(mutated_picture(chance), _rules(chance))


def _files(chance: Random) -> Files:
    return Files(tuple(mutated_picture(chance) for _ in range(_FILES)), _rules(chance))


def _decoded(data: bytes, rules: DecodingRules) -> Result:
    try:
        picture = decode_image(data, rules)
    except ImageError as error:
        return error
    assert picture.pixels.shape == (rules.height, rules.width, 3)
    assert picture.pixels.dtype == np.uint8
    assert min(picture.width, picture.height) > 0
    assert max(picture.width, picture.height) <= rules.limits.max_side
    assert picture.width * picture.height <= rules.limits.max_pixels
    return picture.pixels.tobytes(), picture.width, picture.height


def _same(first: Result, second: Result) -> bool:
    if isinstance(first, ImageError) or isinstance(second, ImageError):
        return getattr(first, "code", None) == getattr(second, "code", None)
    return first == second


def _is_small_fax(data: bytes) -> bool:
    """Whether a file is a fax of less than a kilobyte: glibc gives such memory again as it was freed, full of ones."""
    with Image.open(io.BytesIO(data)) as image:
        return image.info.get("compression") in {"group3", "group4", "tiff_ccitt"}


def check_file(case: File) -> str:
    """A picture of the size that was asked for, or one `ImageError`; the same when it is decoded again."""
    result = _decoded(*case)
    assert _same(result, _decoded(*case)) or _is_small_fax(case.data), "It is another picture the second time."
    return result.code if isinstance(result, ImageError) else "decoded"


@functools.cache
def _pools() -> LoadingPools:
    # Fills the memory of its decoder with another byte: pixels that nothing was written to differ from those here.
    with mock.patch.dict(os.environ, MALLOC_PERTURB_="90"):
        return LoadingPools.start(1, 1)


@functools.cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="pictures"))


def check_files(case: Files) -> str:
    """Each file of a shard comes back from a decoder process, as it is decoded here, or as bad; no process dies."""
    paths = [_folder() / str(number) for number in range(len(case.files))]
    for path, data in zip(paths, case.files, strict=True):
        path.write_bytes(data)
    bad: list[BadImage] = []
    rules = LoadingRules(case.rules, 10**6, _BATCH)
    found: dict[int, Result] = {}
    for batch in load_batches(shard_of([f"file://{path}" for path in paths]), rules, _pools(), bad, Meter()):
        for picture, pixels in zip(batch.pictures, batch.pixels, strict=False):
            assert picture.row not in found
            found[picture.row] = pixels.tobytes(), picture.width, picture.height
    assert _pools().decoders.in_processes
    found |= {one.row: one.error for one in bad}
    assert sorted(found) == list(range(len(paths)))
    for row, result in found.items():
        assert not isinstance(result, ImageError) or result.code not in _TOO_MUCH, f"File {row}: {result}"
        data = case.files[row]
        assert _same(result, _decoded(data, case.rules)) or _is_small_fax(data), f"File {row} is another picture here."
    return f"{len(bad) * 4 // len(paths)} quarters bad"


_EXACT: Final = DecodingRules(8, 8, limits=_LIMITS)
_SCALED: Final = DecodingRules(8, 8, decode="scaled", truncated="keep", limits=_LIMITS)

# Files that were built to cost much, and each that has failed here.
FAILED: Final[Mapping[str, bytes]] = {"broken lines of a fax": broken_fax(), "a large canvas of WebP": large_webp()}
KNOWN: Final = {**{name: data for name, (data, _) in BOMBS.items()}, **FAILED}

DECODING: Final = Target(
    _file,
    check_file,
    {f"{name}, {rules.decode}": File(data, rules) for name, data in KNOWN.items() for rules in (_EXACT, _SCALED)},
)
DECODER_PROCESSES: Final = Target(
    _files, check_files, {rules.decode: Files(tuple(KNOWN.values()), rules) for rules in (_EXACT, _SCALED)}, _FILES
)
