"""Splitting: which images train, validate and test a classifier."""

import dataclasses
import enum
from collections.abc import Mapping
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import InvalidLabels


class Split(enum.IntEnum):
    """The part of the table that an image is in, as it is held an image."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2
    LEFT_OUT = 255

    @property
    def word(self) -> str:
        """Its name in the column `split`."""
        return self.name.lower()


SPLITS: Final = (Split.TRAIN, Split.VALIDATION, Split.TEST)
# What folders and columns call the splits, in any case.
SPELLINGS: Final[Mapping[str, Split]] = {
    "train": Split.TRAIN,
    "training": Split.TRAIN,
    "validation": Split.VALIDATION,
    "valid": Split.VALIDATION,
    "val": Split.VALIDATION,
    "dev": Split.VALIDATION,
    "test": Split.TEST,
    "testing": Split.TEST,
    "eval": Split.TEST,
    "evaluation": Split.TEST,
}
_HASH_DIGITS: Final = 16


@dataclasses.dataclass(frozen=True)
class SplitFractions:
    """The shares of the images that validate and test; the rest trains.

    Attributes:
        validation: 0 to 1.
        test: 0 to 1.
    """

    validation: float = 0.2
    test: float = 0.2

    def __post_init__(self) -> None:
        """Checks both.

        Raises:
            InvalidLabels: If one is below 0, or nothing is left to train on.
        """
        if not (self.validation >= 0 and self.test >= 0):  # NaN is neither.
            raise InvalidLabels("--validation_fraction and --test_fraction are at least 0.")
        if self.validation + self.test >= 1:
            raise InvalidLabels(
                f"--validation_fraction={self.validation:g} and --test_fraction={self.test:g} leave nothing to train."
            )


def splits_by_hash(sha256: pa.Array, fractions: SplitFractions) -> np.ndarray:
    """Splits images by the hash of their bytes, whatever the table holds besides them.

    An image stays in its part when the table grows, is compacted or is extracted again, and the same picture under two
    names is in one part. SHA-256 is uniform: its first 32 bits are a place between 0 and 1, the test part lies at the
    lower end, the validation part above it, so that another `validation` leaves the test part as it was.

    Args:
        sha256: string [n], the SHA-256 of each image's bytes in hex.
        fractions: The shares.

    Returns:
        uint8 [n] of `Split`.
    """
    return splits_by_place(hash_places(sha256), fractions)


def splits_by_place(places: np.ndarray, fractions: SplitFractions) -> np.ndarray:
    """Does the same for the places that `hash_places` returned."""
    shares = (places >> np.uint64(32)) / 2.0**32
    parts = np.full(len(places), Split.TRAIN, np.uint8)
    parts[shares < fractions.test + fractions.validation] = Split.VALIDATION
    parts[shares < fractions.test] = Split.TEST
    return parts


def canonical_splits(words: pa.Array) -> pa.Array:
    """Returns the splits that words name: string [n] of train, validation and test.

    Args:
        words: string [n]: spellings of splits, in any case and with blanks around them, other words, or null.

    Returns:
        The names; null for blank words and null, and other words as they are.
    """
    texts = words.cast(pa.string())
    bare = pc.utf8_lower(pc.utf8_trim_whitespace(texts))
    spelled = pc.index_in(bare, value_set=pa.array(SPELLINGS, pa.string()))
    names = pa.array([split.word for split in SPELLINGS.values()]).take(spelled)
    return pc.if_else(pc.equal(bare, ""), pa.scalar(None, pa.string()), pc.coalesce(names, texts))


def hash_places(sha256: pa.Array) -> np.ndarray:
    """Returns uint64 [n], the first 64 bits of SHA-256: of images with identical content, and of no others, the same.

    Args:
        sha256: string [n], in hex.
    """
    digits = "".join(pc.utf8_slice_codeunits(sha256, 0, _HASH_DIGITS).to_pylist())
    return np.frombuffer(bytes.fromhex(digits), ">u8").astype(np.uint64)


def trains_by_default(split: str | None, sha256: str) -> bool:
    """Whether an image is in the training part where nothing else is said.

    Args:
        split: Its value in the column `split`, if it has one; else it is split by hash, with the default fractions.
        sha256: SHA-256 of its bytes in hex.
    """
    if split and not split.isspace():
        return SPELLINGS.get(split.strip().lower()) == Split.TRAIN
    return bool(splits_by_hash(pa.array([sha256]), SplitFractions())[0] == Split.TRAIN)


def splits_by_column(split: pa.Array) -> np.ndarray:
    """Reads the column `split`.

    Args:
        split: string [n]: train, validation or test, however they are spelled, or null.

    Returns:
        uint8 [n] of `Split`; `LEFT_OUT` where it is null.

    Raises:
        InvalidLabels: If it holds another word.
    """
    words = pa.array([part.word for part in SPLITS])
    split = canonical_splits(split)
    found = pc.index_in(split, value_set=words)
    unknown = pc.unique(split.filter(pc.and_(pc.is_valid(split), pc.is_null(found)))).to_pylist()
    if unknown:
        raise InvalidLabels(f"The column split holds '{unknown[0]}'; it takes train, validation and test.")
    parts: np.ndarray = pc.fill_null(found, int(Split.LEFT_OUT)).to_numpy(zero_copy_only=False).astype(np.uint8)
    return parts
