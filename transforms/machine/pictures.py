"""Somebody's own pictures: how long they take to be read from where they are, and to be decoded."""

import concurrent.futures
import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from schemas.errors import ImageError
from schemas.images import ImageRef, image_refs
from schemas.serialisation import Serialisable
from schemas.storage import Reach
from transforms.decoding import DecodingRules, decode_image
from transforms.images import fetch_image
from transforms.runtime import FIRST_READS

_MOST_LISTED: Final = 100_000


@dataclasses.dataclass(frozen=True)
class PictureCosts(Serialisable):
    """What pictures cost before a base sees them.

    Attributes:
        pictures: How many were read and decoded.
        unreadable: How many could not be read, or not be decoded exactly.
        mean_bytes: The mean bytes of a file.
        reads_per_second: Files read by `FIRST_READS` threads at once; of files that were read before, from memory.
        decode_seconds: Seconds of a core to decode and resize one picture, by `"exact"` and `"scaled"`.
    """

    pictures: int
    unreadable: int
    mean_bytes: float
    reads_per_second: float
    decode_seconds: dict[str, float]


@dataclasses.dataclass(frozen=True)
class SampledPictures:
    """Some pictures, decoded, and what they cost.

    Attributes:
        costs: What they cost.
        pixels: uint8 [n, H, W, 3], by how they were decoded.
    """

    costs: PictureCosts
    pixels: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class _Decoded:
    """Files that were decoded in one way.

    Attributes:
        pixels: Of each that can be decoded, uint8 [H, W, 3].
        seconds: The mean seconds of a core for one of these.
        bad: How many cannot be decoded.
    """

    pixels: list[np.ndarray]
    seconds: float
    bad: int


def sample_pictures(
    listed: Iterable[pa.RecordBatch],
    rules: DecodingRules,
    *,
    pictures: int,
    max_bytes: int,
    reach: Reach,
    seconds: float,
) -> SampledPictures | None:
    """Reads and decodes pictures that lie evenly in a listing, as long as there is time.

    Args:
        listed: Refs of images, of which the first 100,000 are looked at, or those that come in `seconds`.
        rules: How they become pixels.
        pictures: How many are read, at most.
        max_bytes: The most bytes of a file.
        reach: Which servers may be asked.
        seconds: How long listing and reading and each kind of decoding may take, but one picture at least.

    Returns:
        None where no picture could be read and decoded.

    Raises:
        OSError: If the machine is at its limit.
    """
    refs = _spread(_listed(listed, seconds), pictures)
    started = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(FIRST_READS) as pool:
        read = list(pool.map(lambda ref: _read(ref, max_bytes, reach, started + seconds), refs))
    took = time.perf_counter() - started
    contents = [content for content in read if content]
    bad = sum(content is None for content in read)
    found: dict[str, _Decoded] = {}
    for decode in ("exact", "scaled"):
        found[decode] = _decoded(contents, dataclasses.replace(rules, decode=decode), seconds)
    if not all(each.pixels for each in found.values()):
        return None
    several = {decode: np.stack(each.pixels) for decode, each in found.items()}
    costs = PictureCosts(
        pictures=len(several["exact"]),
        unreadable=bad + found["exact"].bad,
        mean_bytes=float(np.mean([len(content) for content in contents])),
        reads_per_second=len(contents) / took,
        decode_seconds={decode: each.seconds for decode, each in found.items()},
    )
    return SampledPictures(costs, several)


def _listed(batches: Iterable[pa.RecordBatch], seconds: float) -> list[ImageRef]:
    started = time.perf_counter()
    refs: list[ImageRef] = []
    for batch in batches:
        refs += image_refs(batch)
        if len(refs) >= _MOST_LISTED or time.perf_counter() - started > seconds:
            break
    return refs


def _spread(refs: Sequence[ImageRef], most: int) -> list[ImageRef]:
    chosen = np.unique(np.linspace(0, len(refs) - 1, min(most, len(refs))).astype(int)) if refs else ()
    return [refs[place] for place in chosen]


def _read(ref: ImageRef, max_bytes: int, reach: Reach, until: float) -> bytes | None:
    """Reads a file; returns None where it cannot be read, and nothing where the time is over."""
    if time.perf_counter() > until:
        return b""
    try:
        return fetch_image(ref, max_bytes, reach)
    except ImageError:
        return None


def _decoded(
    contents: Sequence[bytes], rules: DecodingRules, seconds: float, clock: Callable[[], float] = time.thread_time
) -> _Decoded:
    """Decodes files, as long as there is time."""
    pixels: list[np.ndarray] = []
    bad, taken, started = 0, 0.0, time.perf_counter()
    for content in contents:
        before = clock()
        try:
            pixels.append(decode_image(content, rules).pixels)
        except ImageError:
            bad += 1
            continue
        taken += clock() - before
        if time.perf_counter() - started > seconds:
            break
    return _Decoded(pixels, taken / max(len(pixels), 1), bad)
