"""Batches: places for the pictures of a shard, given out before they are decoded, in the order of the shard.

So that a decoder can put a picture where it belongs, whichever is done first, and the conv base takes a batch as it is.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

import numpy as np

from schemas.errors import ImageError
from transforms.images.augmented_images import AugmentedImages
from transforms.images.decoder import Content, Destination
from transforms.images.pixel_memory import PixelMemory


@dataclasses.dataclass(frozen=True, slots=True)
class ImageFile:
    """The contents of an image file.

    Attributes:
        row: The row of the shard that it is.
        content: SHA-256 and number of its bytes.
        data: Its bytes; None where a decoder holds them.
    """

    row: int
    content: Content
    data: bytes | None = None

    @property
    def sha256(self) -> str:
        """SHA-256 of its bytes, in hex."""
        return self.content.sha256


@dataclasses.dataclass(frozen=True, slots=True)
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


@dataclasses.dataclass(frozen=True, slots=True)
class LoadedPicture:
    """A decoded picture of a shard.

    Attributes:
        row: The row of the shard that it is.
        width: Pixels before resizing, upright.
        height: Pixels before resizing, upright.
        sha256: SHA-256 of the file's bytes, in hex.
        augmentation: 0 for the picture itself, else the number of its augmented copy.
    """

    row: int
    width: int
    height: int
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


@dataclasses.dataclass(frozen=True, slots=True)
class Admitted:
    """A file that is to be decoded.

    Attributes:
        file: The file.
        slot: The number of its first slot.
        pictures: The slots that its picture and its augmented copies take.
    """

    file: ImageFile
    slot: int
    pictures: int


@dataclasses.dataclass(frozen=True, slots=True)
class DecodedImage:
    """A file whose picture, and augmented copies of it, are in their slots.

    Attributes:
        admitted: The file and its slots.
        width: Pixels before resizing, upright.
        height: Pixels before resizing, upright.
    """

    admitted: Admitted
    width: int
    height: int


@dataclasses.dataclass(frozen=True, slots=True)
class UndecodableImage:
    """A file that is no picture; its slots are left as they were.

    Attributes:
        admitted: The file and its slots.
        error: Why.
    """

    admitted: Admitted
    error: ImageError


LoadedImage: TypeAlias = DecodedImage | UndecodableImage | BadImage


class BatchSlots:
    """Numbered slots for the pictures of a shard, in batches one after the other.

    One thread at a time may take slots, and another one the batches.
    """

    def __init__(self, memory: PixelMemory, shape: tuple[int, int, int, int]) -> None:
        """Begins without batches.

        Args:
            memory: Where batches lie.
            shape: Their shape, [batch_size, H, W, 3].
        """
        self._memory = memory
        self._shape = shape
        self._taken = 0
        self._offsets: list[int] = []
        self._arrays: dict[int, np.ndarray] = {}

    def take(self, pictures: int) -> int:
        """Takes slots for pictures that follow each other, and returns the number of the first."""
        first, self._taken = self._taken, self._taken + pictures
        while len(self._offsets) * self._shape[0] < self._taken:
            offset, self._arrays[len(self._offsets)] = self._memory.take(self._shape)
            self._offsets.append(offset)
        return first

    def destination(self, slot: int) -> Destination:
        """Returns where a slot is."""
        batch, index = divmod(slot, self._shape[0])
        return Destination(self._offsets[batch], index)

    def batches(self, images: Iterable[LoadedImage], bad: list[BadImage]) -> Iterator[Batch]:
        """Yields the pictures as batches.

        Pictures that follow a bad one move up: its slot is inside a batch. Batches that are empty then are dropped.

        Args:
            images: In the order in which they were admitted.
            bad: Where those that are bad are put.
        """
        filled = passed = 0
        pictures: list[LoadedPicture] = []
        for image in images:
            if isinstance(image, BadImage):
                bad.append(image)
                continue
            file, slot = image.admitted.file, image.admitted.slot
            first = slot // self._shape[0]
            for batch in range(passed, first):
                if batch != filled or not pictures:
                    self._arrays.pop(batch, None)
            passed, filled = first, filled if pictures else first
            if isinstance(image, UndecodableImage):
                bad.append(BadImage(file.row, image.error, file.sha256))
                continue
            for copy in range(image.admitted.pictures):
                self._move(slot + copy, filled * self._shape[0] + len(pictures))
                pictures.append(LoadedPicture(file.row, image.width, image.height, file.sha256, copy))
                if len(pictures) == self._shape[0]:
                    yield Batch(self._arrays.pop(filled), pictures)
                    filled, pictures = max(filled + 1, first), []
        if pictures:
            pixels = self._arrays.pop(filled)
            pixels[len(pictures) :] = 0
            yield Batch(pixels, pictures)

    def _move(self, slot: int, to: int) -> None:
        if slot == to:
            return
        (batch, index), (to_batch, to_index) = (divmod(number, self._shape[0]) for number in (slot, to))
        self._arrays[to_batch][to_index] = self._arrays[batch][index]


class Admission:
    """Decides, in the order of the shard, which files are decoded, and where their pictures go."""

    def __init__(
        self, slots: BatchSlots, is_wanted: Callable[[ImageFile], bool], augmented_images: AugmentedImages | None
    ) -> None:
        """Takes what decides.

        Args:
            slots: Where pictures go.
            is_wanted: Is asked once for each file.
            augmented_images: The images that have augmented copies, if there are any.
        """
        self._slots = slots
        self._is_wanted = is_wanted
        self._augmented_images = augmented_images

    def admit(self, files: Iterable[ImageFile | BadImage]) -> list[Admitted | BadImage]:
        """Returns the files that are to be decoded, and those that are bad."""
        return [
            file if isinstance(file, BadImage) else self._admitted(file)
            for file in files
            if isinstance(file, BadImage) or self._is_wanted(file)
        ]

    def _admitted(self, file: ImageFile) -> Admitted:
        pictures = self._augmented_images.rows_of(file.row, file.sha256) if self._augmented_images else 1
        return Admitted(file, self._slots.take(pictures), pictures)

    def destinations(self, admitted: Admitted) -> list[Destination]:
        """Returns where the picture of a file and its augmented copies go."""
        return [self._slots.destination(admitted.slot + copy) for copy in range(admitted.pictures)]
