"""Mistakes: the images about which a classifier is most wrong, and small pictures of them."""

import base64
import concurrent.futures
import dataclasses
import io
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import numpy as np
from PIL import Image

from schemas.classifiers import LabelKind, LabelSet
from schemas.errors import ConvbaseError, ImageError, first_line
from schemas.images import ImageRef
from schemas.storage import ANYWHERE, Reach
from transforms.decoding import MAX_BYTES, DecodingRules, decode_image
from transforms.evaluation.metrics import predicted_indicators
from transforms.images import fetch_image

_RULES: Final = DecodingRules(height=128, width=128)
_THREADS: Final = 8

# A picture is missed by nobody whose classifier is trained: whatever keeps it from being read is a reason.
_UNREADABLE: Final = (ConvbaseError, ImageError, OSError)

# Returns the small picture of an image as a JPEG in base64, or None if there is none.
PictureOf: TypeAlias = Callable[[str], str | None]


@dataclasses.dataclass(frozen=True)
class Mistake:
    """An image that is classified wrongly.

    Attributes:
        uri: Where it is.
        true: Its classes.
        predicted: The classes that it is said to have.
        decisive: Its true class; for multi-label the class whose score is furthest off.
        score: The score of that class, 0 to 1.
        thumbnail: A JPEG in base64; None where there is none, or the image can no longer be read.
    """

    uri: str
    true: tuple[str, ...]
    predicted: tuple[str, ...]
    decisive: str
    score: float
    thumbnail: str | None = None


def worst_mistakes(
    labels: LabelSet,
    uris_of: Callable[[np.ndarray], Sequence[str]],
    targets: np.ndarray,
    scores: np.ndarray,
    most: int,
) -> list[Mistake]:
    """Finds the images whose true classes have the lowest scores, or for multi-label the classes furthest off.

    Args:
        labels: The classes.
        uris_of: Returns the URIs of images of a split, by their places in it, ascending.
        targets: The targets of the split's images, as `LabelSet.targets` gives them.
        scores: float32 [n, classes] in 0 to 1.
        most: The most images to return, the worst first.
    """
    true, predicted = labels.indicators(targets), predicted_indicators(labels, scores)
    several = labels.kind == LabelKind.MULTI_LABEL
    decisive = np.abs(true - scores).argmax(axis=1) if several else targets
    rows = np.arange(len(targets))
    error = np.abs(true[rows, decisive] - scores[rows, decisive])
    wrong = np.flatnonzero((true != predicted).any(axis=1))
    worst = wrong[np.argsort(-error[wrong], kind="stable")][:most]
    places = np.sort(worst)
    uris = dict(zip(places.tolist(), uris_of(places), strict=True))
    return [
        Mistake(
            uri=uris[int(row)],
            true=_names(labels, true[row]),
            predicted=_names(labels, predicted[row]),
            decisive=labels.classes[decisive[row]],
            score=float(scores[row, decisive[row]]),
        )
        for row in worst
    ]


def small_pictures(uris: Sequence[str], picture_of: PictureOf) -> list[str | None]:
    """Returns the small pictures of images, several read at once."""
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(picture_of, uris))


def thumbnail(uri: str, max_bytes: int = MAX_BYTES, reach: Reach = ANYWHERE) -> str | None:
    """Returns a small square picture of an image as a JPEG in base64, or None if it cannot be read.

    Args:
        uri: The image.
        max_bytes: The most bytes of its file.
        reach: Which servers may be asked for it, and how long it may take.
    """
    try:
        return _drawn(uri, max_bytes, reach)
    except _UNREADABLE:
        return None


class TimedPictures:
    """Small pictures of images, as many as can be read in a time. Safe to be used from several threads.

    Attributes:
        missing: Why each picture that could not be read is missing.
    """

    def __init__(self, seconds: float) -> None:
        """Begins the time.

        Args:
            seconds: How long all of them may take together.
        """
        self._until = time.monotonic() + seconds
        self.missing: list[str] = []

    def __call__(self, uri: str) -> str | None:
        """Returns the picture of an image, or None where that cannot be read, for whatever reason, or no time is left.

        Args:
            uri: The image.
        """
        left = self._until - time.monotonic()
        if left <= 0:
            self.missing.append("There was no time left to read the image.")
            return None
        try:
            return _drawn(uri, MAX_BYTES, Reach(seconds=left))
        except _UNREADABLE as error:
            self.missing.append(first_line(error))
            return None


def _drawn(uri: str, max_bytes: int, reach: Reach) -> str:
    picture = decode_image(fetch_image(ImageRef(uri, "", None), max_bytes, reach), _RULES)
    file = io.BytesIO()
    Image.fromarray(picture.pixels).save(file, "JPEG", quality=80)
    return base64.b64encode(file.getvalue()).decode()


def _names(labels: LabelSet, indicators: np.ndarray) -> tuple[str, ...]:
    return tuple(labels.classes[index] for index in np.flatnonzero(indicators))
