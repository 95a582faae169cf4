"""Leaks of a training: images of the validation and test splits that are in the training split, too, or nearly."""

import dataclasses
from collections.abc import Iterator
from typing import Final

import numpy as np

from schemas.classifiers import Split
from schemas.neighbours import nearest_rows, unit_vectors
from transforms.exploration.duplicates import duplicate_distance
from transforms.training import TrainingData

# Multiplications that are made without being asked: about a second on two cores.
_MOST_PRODUCTS: Final = 5e10
_BLOCK: Final = 4096


@dataclasses.dataclass(frozen=True)
class Leaks:
    """How many images of the validation and test splits the training split has.

    Attributes:
        identical: Those with identical content.
        near: Those of which it has a near-duplicate, identical ones among them; None where that would take too long.
    """

    identical: int
    near: int | None


def count_leaks(data: TrainingData) -> Leaks:
    """Counts the leaks of the splits of a training."""
    images, rows = data.images, data.rows
    judged = [rows.of(split) for split in (Split.VALIDATION, Split.TEST)]
    places = np.concatenate([images.places[split.numbers] for split in judged])
    identical = np.isin(places, images.places[rows.train.numbers])
    dimensions = rows.train.rows.shape[-1]
    too_many = len(places) * len(rows.train) * dimensions > _MOST_PRODUCTS
    held = [split.held for split in judged if split.held is not None]
    if too_many or rows.train.held is None or len(held) < len(judged) or not len(places):
        return Leaks(int(identical.sum()), None)
    queries = np.concatenate([unit_vectors(features) for features in held])
    nearest = nearest_rows(queries, _blocks(rows.train.held), 1).distances[:, 0]
    near = (nearest <= duplicate_distance(nearest)) | identical
    return Leaks(int(identical.sum()), int(near.sum()))


def _blocks(features: np.ndarray) -> Iterator[np.ndarray]:
    return (unit_vectors(features[start : start + _BLOCK]) for start in range(0, len(features), _BLOCK))
