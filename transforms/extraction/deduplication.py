"""Deduplication: images of a shard with the content of another image, so that the conv base need not see them.

Where images are augmented, the features of an image are reused only if all of its rows are known: an image that is
not trained on has one, and another of identical content that is may have more.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from schemas.store import KnownContents, read_places
from transforms.images import AugmentedImages, BadImage, ImageFile


@dataclasses.dataclass(frozen=True)
class IdenticalImage:
    """An image with the content of another.

    Attributes:
        row: The row of the shard that it is.
        sha256: SHA-256 of the bytes, in hex.
        rows: Its rows: that of the picture itself, and those of its augmented copies.
    """

    row: int
    sha256: str
    rows: int = 1


class IdenticalImages:
    """Finds identical content among the images of a shard, as their files come in."""

    def __init__(self, known: KnownContents | None, augmented_images: AugmentedImages | None = None) -> None:
        """Starts without any.

        Args:
            known: The contents whose features are known; None finds nothing.
            augmented_images: The images that have several rows, if there are any.
        """
        self._known = known
        self._augmented_images = augmented_images
        self._seen: dict[str, int] = {}
        self._found: list[IdenticalImage] = []

    def is_new(self, file: ImageFile) -> bool:
        """Whether the bytes of a file are new; if not, it is put among those of identical content."""
        if self._known is None:
            return True
        rows = self._augmented_images.rows_of(file.row, file.sha256) if self._augmented_images else 1
        seen = self._seen.get(file.sha256, 0)
        if all(index < seen or self._known.find(file.sha256, index) for index in range(rows)):
            self._found.append(IdenticalImage(file.row, file.sha256, rows))
            return False
        self._seen[file.sha256] = rows
        return True

    def settle(self, bad: Iterable[BadImage]) -> tuple[list[IdenticalImage], list[BadImage]]:
        """Separates identical pictures, whose features are known by now, from unreadable files of identical content.

        Args:
            bad: The bad images of the shard.
        """
        errors = {image.sha256: image.error for image in bad}
        pictures = [image for image in self._found if image.sha256 not in errors]
        return pictures, [
            BadImage(image.row, errors[image.sha256], image.sha256) for image in self._found if image.sha256 in errors
        ]


def read_identical(
    identical: Sequence[IdenticalImage], known: KnownContents, columns: Sequence[str]
) -> Iterator[tuple[list[int], pa.Table]]:
    """Reads the known features of identical content, a row group at a time.

    Args:
        identical: Pictures of identical content.
        known: Where their features are.
        columns: The columns to read.

    Yields:
        The rows of the shard that they are, once for each row of features, and a table of the columns, in the same
        order.
    """
    found = [
        (image, place)
        for image in identical
        for index in range(image.rows)
        if (place := known.find(image.sha256, index))
    ]
    for indices, table in read_places([place for _, place in found], [image.sha256 for image, _ in found], columns):
        yield [found[index][0].row for index in indices], table
