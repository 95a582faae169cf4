"""A decoder: image files in, several at a time, their pictures in a batch's memory out.

What a thread or a process that decodes does. Processes begin with nothing but this module, so it imports neither Arrow
nor a file system.
"""

import functools
import hashlib
import os
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from schemas.augmentation import AugmentedRows
from schemas.errors import ImageError
from schemas.extents import Extent
from schemas.uris import opened_file, read_range
from transforms.decoding import DecodingRules, decode_image
from transforms.images.augmentation import augmented
from transforms.images.pixel_memory import PixelMemory


class LocalFile(NamedTuple):
    """A file of this machine, or a part of one.

    Attributes:
        path: Where it is.
        size: Its bytes, where the listing has them.
        extent: Where the image is in it, if it holds several.
    """

    path: str
    size: int | None
    extent: Extent | None = None


class Content(NamedTuple):
    """What a file holds.

    Attributes:
        sha256: SHA-256 of its bytes, in hex.
        size: How many there are.
    """

    sha256: str
    size: int


class Destination(NamedTuple):
    """Where a picture goes.

    Attributes:
        offset: The batch, in the memory.
        position: The picture's number in it.
    """

    offset: int
    position: int


class Undecoded(NamedTuple):
    """A file that is to be decoded.

    Attributes:
        data: Its bytes, or its number among the files that were read last.
        sha256: SHA-256 of its bytes, in hex.
        destinations: Where its picture goes, and then each of its augmented copies.
    """

    data: bytes | int
    sha256: str
    destinations: Sequence[Destination]


class Decoded(NamedTuple):
    """What was decoded.

    Attributes:
        size: Width and height of the picture before resizing, upright; or why there is none.
        seconds: The time of decoding it, and of making its copies.
    """

    size: tuple[int, int] | ImageError
    seconds: float


class DecodingTask(NamedTuple):
    """How pictures are decoded.

    Attributes:
        rules: How bytes become pixels.
        batch_size: Pictures a batch.
        augmentation: How augmented copies are made, if there are any.
    """

    rules: DecodingRules
    batch_size: int
    augmentation: AugmentedRows | None = None

    @property
    def rows_per_image(self) -> int:
        """The most pictures that an image has: its own, and its augmented copies."""
        return 1 + (self.augmentation.rows if self.augmentation else 0)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The shape of a batch of pixels."""
        return self.batch_size, self.rules.height, self.rules.width, 3


class Decoder:
    """Reads and decodes files. For one thread at a time."""

    def __init__(self, memory: PixelMemory) -> None:
        """Begins without files.

        Args:
            memory: Where pictures go.
        """
        self._memory = memory
        self._read: list[bytes | None] = []

    def read(self, files: Sequence[LocalFile], max_bytes: int) -> list[Content | None]:
        """Reads files of this machine, or members of archives, and holds their bytes until others are read.

        Args:
            files: The files.
            max_bytes: The most bytes of each.

        Returns:
            What each holds; None if it cannot be read as it should be, for whatever reason.
        """
        self._read = [_read(file, max_bytes) for file in files]
        return [None if data is None else Content(hashlib.sha256(data).hexdigest(), len(data)) for data in self._read]

    def decode(self, files: Sequence[Undecoded], task: DecodingTask) -> list[Decoded]:
        """Decodes files into memory.

        Raises:
            MemoryError: If the machine has too little memory.
        """
        return [self.decode_one(file, task) for file in files]

    def decode_one(self, file: Undecoded, task: DecodingTask) -> Decoded:
        """Decodes a file into memory.

        Raises:
            MemoryError: If the machine has too little memory.
        """
        started = time.perf_counter()
        data = self._read[file.data] if isinstance(file.data, int) else file.data
        try:
            picture = decode_image(data or b"", task.rules)
        except ImageError as error:
            return Decoded(error, time.perf_counter() - started)
        for number, destination in enumerate(file.destinations):
            self._memory.view(destination.offset, task.shape)[destination.position] = self._copy(
                picture.pixels, number, file, task
            )
        return Decoded((picture.width, picture.height), time.perf_counter() - started)

    def _copy(self, pixels: np.ndarray, number: int, file: Undecoded, task: DecodingTask) -> np.ndarray:
        return augmented(pixels, task.augmentation, file.sha256, number) if task.augmentation else pixels


def _read(file: LocalFile, max_bytes: int) -> bytes | None:
    try:
        with opened_file(file.path) as descriptor:
            if file.extent is not None:
                return file.extent.read(functools.partial(read_range, descriptor), max_bytes)
            size = os.fstat(descriptor).st_size if file.size is None else file.size
            data = read_range(descriptor, 0, max_bytes + 1) if size <= max_bytes else b""
    except (OSError, ValueError, MemoryError, ImageError):
        return None
    return data if size <= len(data) <= max_bytes else None
