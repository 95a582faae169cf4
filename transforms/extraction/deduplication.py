"""Copies: images of a shard whose bytes are those of another image, so that the conv base need not see them.

Where images are augmented, an image is a copy only if all of its rows are known: an image that is not trained on has
one, and another of the same bytes that is may have more.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from schemas.store import KnownContents, read_places
from transforms.images import AugmentedImages, BadImage, ImageFile


@dataclasses.dataclass(frozen=True)
class Copy:
    """An image whose bytes are those of another.

    Attributes:
        row: The row of the shard that it is.
        sha256: SHA-256 of the bytes, in hex.
        rows: Its rows: that of the picture itself, and those of its random copies.
    """

    row: int
    sha256: str
    rows: int = 1


class Copies:
    """Finds the copies among the images of a shard, as their files come in."""

    def __init__(self, known: KnownContents | None, augmented_images: AugmentedImages | None = None) -> None:
        """Starts without copies.

        Args:
            known: The contents whose features are known; None finds no copies.
            augmented_images: The images that have several rows, if there are any.
        """
        self._known = known
        self._augmented_images = augmented_images
        self._seen: dict[str, int] = {}
        self._found: list[Copy] = []

    def is_new(self, file: ImageFile) -> bool:
        """Whether the bytes of a file are new; if not, it is put among the copies."""
        if self._known is None:
            return True
        rows = self._augmented_images.rows_of(file.row, file.sha256) if self._augmented_images else 1
        seen = self._seen.get(file.sha256, 0)
        if all(index < seen or self._known.find(file.sha256, index) for index in range(rows)):
            self._found.append(Copy(file.row, file.sha256, rows))
            return False
        self._seen[file.sha256] = rows
        return True

    def settle(self, bad: Iterable[BadImage]) -> tuple[list[Copy], list[BadImage]]:
        """Tells copies of pictures, whose features are known by now, from copies of what is no picture.

        Args:
            bad: The bad images of the shard.
        """
        errors = {image.sha256: image.error for image in bad}
        pictures = [copy for copy in self._found if copy.sha256 not in errors]
        return pictures, [
            BadImage(copy.row, errors[copy.sha256], copy.sha256) for copy in self._found if copy.sha256 in errors
        ]


def read_copies(
    copies: Sequence[Copy], known: KnownContents, columns: Sequence[str]
) -> Iterator[tuple[list[int], pa.Table]]:
    """Reads what is known of copies, a row group at a time.

    Args:
        copies: Copies of pictures.
        known: Where their features are.
        columns: The columns to read.

    Yields:
        The rows of the shard that they are, once for each row of features, and a table of the columns, in the same
        order.
    """
    found = [
        (copy, place) for copy in copies for index in range(copy.rows) if (place := known.find(copy.sha256, index))
    ]
    for indices, table in read_places([place for _, place in found], [copy.sha256 for copy, _ in found], columns):
        yield [found[index][0].row for index in indices], table
