"""Augmented images: which images of a shard have rows of augmented copies besides their own."""

import dataclasses

import pyarrow as pa

from schemas.augmentation import AugmentedRows
from schemas.classifiers import trains_by_default


@dataclasses.dataclass(frozen=True)
class AugmentedImages:
    """The images of a shard that are augmented: those that are trained on.

    Attributes:
        augmentation: The copies.
        splits: string [n], the column `split` of the shard.
    """

    augmentation: AugmentedRows
    splits: pa.Array

    def rows_of(self, row: int, sha256: str) -> int:
        """Returns the rows of an image, that of the picture itself included.

        Args:
            row: The row of the shard that it is.
            sha256: SHA-256 of its bytes in hex.
        """
        return 1 + (self.augmentation.rows if trains_by_default(self.splits[row].as_py(), sha256) else 0)
