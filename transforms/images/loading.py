"""Loading: refs of a shard in, batches of decoded pictures out. Pure of Beam.

A chain of iterators: files are fetched by threads that wait for the storage, decoded by as many threads as there are
cores, and fill batches. Memory is bounded by the windows between them, whatever the shard's size.
"""

import collections
import concurrent.futures
import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

import numpy as np
import pyarrow as pa

from schemas.augmentation import Augmentation
from schemas.errors import ImageError
from schemas.images import ImageRef, image_refs
from transforms.images.augmentation import augmented
from transforms.images.augmented_images import AugmentedImages
from transforms.images.decoding import DecodingRules, Picture, decode_image
from transforms.images.fetching import fetch_image
from transforms.runtime import Meter

# Files fetched at once. A file of 100 KB from a bucket takes some 50 ms: 16 at a time are 300 a second.
FETCH_THREADS: Final = 16

A = TypeVar("A")
B = TypeVar("B")


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """The bytes of an image file.

    Attributes:
        row: The row of the shard that it is.
        data: Its bytes.
        sha256: SHA-256 of them, in hex.
    """

    row: int
    data: bytes
    sha256: str


@dataclasses.dataclass(frozen=True)
class BadImage:
    """An image that cannot be processed.

    Attributes:
        row: The row of the shard that it is.
        error: Why.
        sha256: SHA-256 of the file's bytes in hex, where they could be had.
    """

    row: int
    error: ImageError
    sha256: str | None = None


@dataclasses.dataclass(frozen=True)
class LoadedPicture:
    """A decoded picture of a shard.

    Attributes:
        row: The row of the shard that it is.
        picture: The picture.
        sha256: SHA-256 of the file's bytes, in hex.
        augmentation: 0 for the picture itself, else the number of its random copy.
    """

    row: int
    picture: Picture
    sha256: str
    augmentation: int = 0


@dataclasses.dataclass
class Batch:
    """Pictures that go through the conv base together.

    Attributes:
        pixels: uint8 [batch_size, H, W, 3]; what is beyond `len(pictures)` is padding.
        pictures: What was decoded.
    """

    pixels: np.ndarray
    pictures: list[LoadedPicture]

    @property
    def rows(self) -> list[int]:
        """The rows of the shard that the pictures are."""
        return [loaded.row for loaded in self.pictures]


@dataclasses.dataclass(frozen=True)
class LoadingPools:
    """The threads of a process that load pictures.

    Attributes:
        fetching: Threads that read files.
        decoding: Threads that decode; as many as there are cores.
    """

    fetching: concurrent.futures.Executor
    decoding: concurrent.futures.Executor

    @classmethod
    def start(cls, threads: int) -> "LoadingPools":
        """Returns pools, with `threads` threads that decode."""
        return cls(
            concurrent.futures.ThreadPoolExecutor(FETCH_THREADS, "fetch"),
            concurrent.futures.ThreadPoolExecutor(threads, "decode"),
        )


@dataclasses.dataclass(frozen=True)
class LoadingRules:
    """How images are loaded.

    Attributes:
        decoding: How bytes become pixels.
        max_bytes: The most bytes of a file that are read.
        batch_size: Pictures a batch; a last batch of fewer is padded.
    """

    decoding: DecodingRules
    max_bytes: int
    batch_size: int


def load_batches(
    shard: pa.RecordBatch,
    rules: LoadingRules,
    pools: LoadingPools,
    bad: list[BadImage],
    meter: Meter,
    *,
    is_wanted: Callable[[ImageFile], bool] = lambda _: True,
    augmented_images: AugmentedImages | None = None,
) -> Iterator[Batch]:
    """Loads the images of a shard, ahead of whoever takes the batches.

    At most `FETCH_THREADS` files, and two batches and as many pictures, are held besides the batch that is filled;
    where images are augmented, as many pictures again.

    Args:
        shard: Refs.
        rules: How images are loaded.
        pools: Where they are.
        bad: Where the images that are no picture are put.
        meter: Measures bytes and decoding.
        is_wanted: Is asked once for each file, in the order of the shard; a file that is not wanted is not decoded.
        augmented_images: The images whose random copies follow them, if there are any.

    Yields:
        Batches in the order of the shard.
    """
    fetch = functools.partial(_fetch, max_bytes=rules.max_bytes, meter=meter)
    decode = functools.partial(_decode, rules=rules.decoding, meter=meter)
    files = bounded_map(pools.fetching, fetch, enumerate(image_refs(shard)), FETCH_THREADS)
    wanted = (file for file in files if isinstance(file, BadImage) or is_wanted(file))
    ahead = 2 * rules.batch_size + FETCH_THREADS
    loaded = bounded_map(pools.decoding, decode, wanted, ahead)
    if augmented_images is not None:
        augment = functools.partial(_augment, augmentation=augmented_images.augmentation, meter=meter)
        loaded = bounded_map(pools.decoding, augment, _each_row(loaded, augmented_images), ahead)
    yield from _batched(loaded, rules, bad)


def _fetch(numbered: tuple[int, ImageRef], max_bytes: int, meter: Meter) -> ImageFile | BadImage:
    row, ref = numbered
    try:
        data = fetch_image(ref, max_bytes)
    except ImageError as error:
        return BadImage(row, error)
    meter.read(len(data))
    return ImageFile(row, data, hashlib.sha256(data).hexdigest())


def _decode(file: ImageFile | BadImage, rules: DecodingRules, meter: Meter) -> LoadedPicture | BadImage:
    if isinstance(file, BadImage):
        return file
    try:
        with meter.decoding():
            return LoadedPicture(file.row, decode_image(file.data, rules), file.sha256)
    except ImageError as error:
        return BadImage(file.row, error, file.sha256)


def _each_row(
    loaded: Iterable[LoadedPicture | BadImage], augmented_images: AugmentedImages
) -> Iterator[tuple[LoadedPicture | BadImage, int]]:
    for outcome in loaded:
        rows = 1 if isinstance(outcome, BadImage) else augmented_images.rows_of(outcome.row, outcome.sha256)
        for index in range(rows):
            yield outcome, index


def _augment(
    numbered: tuple[LoadedPicture | BadImage, int], augmentation: Augmentation, meter: Meter
) -> LoadedPicture | BadImage:
    loaded, index = numbered
    if isinstance(loaded, BadImage) or index == 0:
        return loaded
    with meter.augmenting():
        pixels = augmented(loaded.picture.pixels, augmentation, loaded.sha256, index)
    picture = dataclasses.replace(loaded.picture, pixels=pixels)
    return dataclasses.replace(loaded, picture=picture, augmentation=index)


def _batched(loaded: Iterable[LoadedPicture | BadImage], rules: LoadingRules, bad: list[BadImage]) -> Iterator[Batch]:
    shape = (rules.batch_size, rules.decoding.height, rules.decoding.width, 3)
    batch = Batch(np.zeros(shape, np.uint8), [])
    for outcome in loaded:
        if isinstance(outcome, BadImage):
            bad.append(outcome)
            continue
        batch.pixels[len(batch.pictures)] = outcome.picture.pixels
        batch.pictures.append(outcome)
        if len(batch.pictures) == rules.batch_size:
            yield batch
            batch = Batch(np.zeros(shape, np.uint8), [])
    if batch.pictures:
        yield batch


def bounded_map(
    pool: concurrent.futures.Executor, function: Callable[[A], B], items: Iterable[A], ahead: int
) -> Iterator[B]:
    """Maps in a pool, in order, with at most `ahead` results computed or waiting (Python 3.14: `map(buffersize=)`)."""
    waiting: collections.deque[concurrent.futures.Future[B]] = collections.deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
