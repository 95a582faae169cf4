"""Near-duplicates: groups of images that show the same picture, which of each is kept, and which straddle splits."""

import dataclasses
from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.classifiers import DUPLICATES, Split
from schemas.neighbours import cosine_distances
from transforms.exploration.explored_images import ExploredImages

# Standard deviations of the logarithm of the distance by which near-duplicates are nearer than other neighbours are.
_DEVIATIONS: Final = 4.0
# Of a normal distribution, the standard deviation over the distance of the lower quartile from the median.
_PER_QUARTILE: Final = 1.4826
_LEAST_DISTANCE: Final = 1e-6
_MOST_DISTANCE: Final = 0.5


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """Images that show the same picture.

    Attributes:
        rows: int64 [m], their rows, the one that is kept first.
        distances: float32 [m], their cosine distances from that one.
        identical: bool [m], whether they have its bytes.
        splits: The names of the splits in which they are.
        labels: Their different labels, sorted.
    """

    rows: np.ndarray
    distances: np.ndarray
    identical: np.ndarray
    splits: tuple[str, ...]
    labels: tuple[str, ...]

    @property
    def leaks(self) -> bool:
        """Whether the group is in several splits."""
        return len(self.splits) > 1


def duplicate_distance(nearest: np.ndarray) -> float:
    """Chooses the distance up to which neighbours are near-duplicates.

    The logarithms of the distances of images that show different pictures are about normal. Their median and lower
    quartile give mean and deviation, whatever lies further below, and what is `_DEVIATIONS` below is taken for another
    kind of neighbour.

    Args:
        nearest: float32 [n], the distance of images from their nearest neighbours.
    """
    logarithms = np.log(np.maximum(nearest.astype(np.float64), _LEAST_DISTANCE))
    apart = logarithms[logarithms > np.log(_LEAST_DISTANCE)]
    if not len(apart):
        return _LEAST_DISTANCE
    quartile, median = np.quantile(apart, [0.25, 0.5])
    deviation = (median - quartile) * _PER_QUARTILE
    return float(np.clip(np.exp(median - _DEVIATIONS * deviation), _LEAST_DISTANCE, _MOST_DISTANCE))


def find_groups(
    images: ExploredImages, first_of_group: np.ndarray, splits: np.ndarray, labels: Sequence[str | None]
) -> list[Group]:
    """Returns the groups of two images or more: those that straddle splits first, then the larger ones.

    Args:
        images: The images.
        first_of_group: int64 [n], as `compare_all` returns it.
        splits: uint8 [n] of `Split`.
        labels: The label of each image as a text, if it has one.
    """
    in_groups = np.flatnonzero(np.bincount(first_of_group, minlength=len(images))[first_of_group] > 1)
    keys = (_name_ranks(images), _age(images), -_pixels(images), first_of_group)
    order = in_groups[np.lexsort([key[in_groups] for key in keys])]
    bounds = np.flatnonzero(np.diff(first_of_group[order], prepend=-1))
    groups = [_group(images, rows, splits, labels) for rows in np.split(order, bounds[1:]) if len(rows)]
    return sorted(groups, key=lambda group: (not group.leaks, -len(group.rows), int(group.rows.min())))


def duplicates_table(images: ExploredImages, groups: Sequence[Group]) -> pa.Table:
    """Returns a row for each image of a group, by the columns of `DUPLICATES`; `distance` is that from the one kept."""
    rows = np.concatenate([np.empty(0, np.int64), *(group.rows for group in groups)])
    sizes = [len(group.rows) for group in groups]
    firsts = np.cumsum([0, *sizes])[:-1]
    keep = np.zeros(len(rows), bool)
    keep[firsts] = True
    columns = [
        images.table["uri"].take(pa.array(rows, pa.int64())),
        pa.array(np.repeat(np.arange(len(groups)), sizes), pa.int64()),
        pa.array(np.concatenate([np.empty(0, np.float32), *(group.distances for group in groups)])),
        pa.array(np.concatenate([np.empty(0, bool), *(group.identical for group in groups)])),
        pa.array(keep),
    ]
    return pa.Table.from_arrays(columns, schema=DUPLICATES)


def _group(images: ExploredImages, rows: np.ndarray, splits: np.ndarray, labels: Sequence[str | None]) -> Group:
    places = images.places[rows]
    found = np.unique(splits[rows])
    named = {label for row in rows if (label := labels[row]) is not None}
    return Group(
        rows=rows,
        distances=cosine_distances(images.vectors[rows] @ images.vectors[rows[0]]),
        identical=places == places[0],
        splits=tuple(Split(value).word for value in found if value != Split.LEFT_OUT),
        labels=tuple(sorted(named)),
    )


def _name_ranks(images: ExploredImages) -> np.ndarray:
    """Returns int64 [n], the place of each image by its URI."""
    ranks = np.empty(len(images), np.int64)
    ranks[pc.sort_indices(images.table["uri"]).to_numpy()] = np.arange(len(images))
    return ranks


def _pixels(images: ExploredImages) -> np.ndarray:
    width, height = (images.table[name].to_numpy().astype(np.int64) for name in ("width", "height"))
    pixels: np.ndarray = width * height
    return pixels


def _age(images: ExploredImages) -> np.ndarray:
    """Returns int64 [n], when the features of each image were extracted, in microseconds."""
    ages: np.ndarray = images.table["extracted_at"].cast(pa.int64()).to_numpy()
    return ages
