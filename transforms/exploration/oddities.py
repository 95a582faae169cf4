"""Odd pictures: outliers, dark, bright, blurred, tiny, long ones; and classes that neighbours do not confirm."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from schemas.classifiers import UNLABELLED, LabelKind, LabelSet
from schemas.errors import with_count
from schemas.neighbours import Neighbours
from transforms.exploration.explored_images import ExploredImages

_SHOWN: Final = 120
# The neighbour whose distance says how far from all others an image is.
_FAR: Final = 5
_DARK: Final = 35.0
_BRIGHT: Final = 225.0
_TINY: Final = 64
_LONG: Final = 2.5
# Deviations, by the median and the lower quartile of logarithms, below which a picture is called blurred.
_BLURRED_DEVIATIONS: Final = 4.0
_PER_QUARTILE: Final = 1.4826


@dataclasses.dataclass(frozen=True, eq=False)
class Oddity:
    """Pictures that are odd in one way.

    Attributes:
        title: In which.
        note: How that was told.
        rows: int64 [m], the images, the oddest first.
        texts: Of each, how odd it is.
    """

    title: str
    note: str
    rows: np.ndarray
    texts: Sequence[str]


@dataclasses.dataclass(frozen=True)
class ClassAgreement:
    """What the neighbours of a class's images are.

    Attributes:
        name: The class.
        images: How many it has.
        agreement: The share of their neighbours that are of it, too, 0 to 1.
        confused: The class that the other neighbours are of most often; None if there are no others.
        confusion: The share of neighbours that are of that class, 0 to 1.
    """

    name: str
    images: int
    agreement: float
    confused: str | None
    confusion: float


def find_oddities(
    images: ExploredImages, neighbours: Neighbours, bright: np.ndarray, sharp: np.ndarray
) -> Iterator[Oddity]:
    """Yields the kinds of oddity of which there are pictures.

    Args:
        images: The images.
        neighbours: Those of each.
        bright: float32 [n], the mean brightness of each picture, 0 to 255; NaN where it is not known.
        sharp: float32 [n], how strong its edges are; NaN where it is not known.
    """
    far = _distances(neighbours)
    rows = outliers(neighbours)
    yield Oddity(
        "Outliers",
        f"The {with_count(len(rows), 'image that is', 'images that are')} furthest from their {_FAR}th neighbour.",
        rows,
        [f"distance {far[row]:#.3g}" for row in rows],
    )
    yield from _below("Dark", f"Mean brightness below {_DARK:g} of 255.", bright, _DARK, "brightness {:.0f}")
    yield from _below("Bright", f"Mean brightness above {_BRIGHT:g} of 255.", -bright, -_BRIGHT, "brightness {:.0f}")
    few_edges = "Far fewer edges in the thumbnail than other pictures have."
    yield from _below("Blurred", few_edges, sharp, _least_sharp(sharp), "edges {:.2g}")
    width, height = (images.table[name].to_numpy().astype(np.float32) for name in ("width", "height"))
    yield from _below(
        "Tiny", f"A side of fewer than {_TINY} pixels.", np.minimum(width, height), _TINY, "{:.0f} pixels"
    )  # fmt: skip
    ratio = np.maximum(width, height) / np.maximum(np.minimum(width, height), 1)
    yield from _below("Long", f"One side at least {_LONG:g} times the other.", -ratio, -_LONG, "{:.1f} : 1")


def outliers(neighbours: Neighbours) -> np.ndarray:
    """Returns int64 [m], the images that are furthest from all others, the furthest first."""
    rows: np.ndarray = np.argsort(-_distances(neighbours), kind="stable")[:_SHOWN]
    return rows


def _distances(neighbours: Neighbours) -> np.ndarray:
    """Returns float32 [n], how far an image is from its `_FAR`th neighbour, or from the last of fewer."""
    far: np.ndarray = neighbours.distances[:, min(_FAR, neighbours.distances.shape[1]) - 1]
    return far


def class_agreement(neighbours: Neighbours, labels: LabelSet, targets: np.ndarray) -> list[ClassAgreement]:
    """Says of each class what the neighbours of its images are, the class that agrees least first.

    Args:
        neighbours: Those of each image.
        labels: The classes.
        targets: int32 [n], or int8 [n, classes] for multi-label, of all images; see `LabelSet.targets`.
    """
    rows = neighbours.rows
    counts = np.zeros((len(labels.classes), len(labels.classes)))
    if labels.kind == LabelKind.MULTI_LABEL:
        indicators = np.maximum(targets, 0).astype(np.float32)
        seen = sum(indicators[column].astype(np.float32) * (column >= 0)[:, None] for column in rows.T)
        counts += indicators.T @ seen
        images = indicators.sum(axis=0).astype(int)
        known = np.maximum((indicators * (rows >= 0).sum(axis=1)[:, None]).sum(axis=0), 1)
    else:
        of_row = np.where(rows >= 0, targets[rows], UNLABELLED)
        own = np.broadcast_to(targets[:, None], rows.shape)
        both = (own != UNLABELLED) & (of_row != UNLABELLED)
        np.add.at(counts, (own[both], of_row[both]), 1)
        images = np.bincount(targets[targets != UNLABELLED], minlength=len(counts))
        known = np.maximum(counts.sum(axis=1), 1)
    found = [
        _agreement(labels, index, int(images[index]), counts[index] / known[index]) for index in range(len(counts))
    ]
    return sorted(found, key=lambda one: (one.agreement, one.name))


def _agreement(labels: LabelSet, index: int, images: int, shares: np.ndarray) -> ClassAgreement:
    others = shares.copy()
    others[index] = 0
    most = int(others.argmax())
    confused = labels.classes[most] if others[most] > 0 else None
    return ClassAgreement(labels.classes[index], images, float(shares[index]), confused, float(others[most]))


def _below(title: str, note: str, values: np.ndarray, limit: float, text: str) -> Iterator[Oddity]:
    """Yields the pictures whose values are below a limit, if there are any; NaN is below none."""
    rows = np.flatnonzero(values < limit)
    if len(rows):
        rows = rows[np.argsort(values[rows], kind="stable")]
        shown = rows[:_SHOWN]
        first = f", the first {_SHOWN} of them here" if len(rows) > _SHOWN else ""
        more = f" {with_count(len(rows), 'picture')}{first}."
        yield Oddity(title, note + more, shown, [text.format(abs(values[row])) for row in shown])


def _least_sharp(sharpness: np.ndarray) -> float:
    known = sharpness[sharpness > 0]
    if len(known) < _SHOWN:
        return 0.0
    quartile, median = np.quantile(np.log(known), [0.25, 0.5])
    return float(np.exp(median - _BLURRED_DEVIATIONS * _PER_QUARTILE * (median - quartile)))
