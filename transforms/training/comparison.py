"""Images that several tables have: the same ones train, validate and test on the features of each."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from schemas.classifiers import Split
from schemas.errors import InvalidLabels
from transforms.training.targets import LabelledImages


def common_images(tables: Sequence[LabelledImages]) -> list[LabelledImages]:
    """Leaves out of each table what not all of them have, by content; the rest gets labels and splits of the first.

    Args:
        tables: The images of each table, with a label and a split.

    Raises:
        InvalidLabels: If the classes differ.
    """
    first = tables[0]
    for other in tables[1:]:
        if other.labels != first.labels:
            own, found = (", ".join(images.labels.classes) for images in (first, other))
            raise InvalidLabels(f"The first store has images of {own} ({first.labels.kind}), another has {found}.")
    places = functools.reduce(np.intersect1d, [images.places[images.splits != Split.LEFT_OUT] for images in tables])
    rows = _rows_of(first, places)
    targets, splits = first.targets[rows], first.splits[rows]
    return [_restricted(images, places, targets, splits) for images in tables]


def _rows_of(images: LabelledImages, places: np.ndarray) -> np.ndarray:
    """Returns int64 [n], the first row of each place that is not left out."""
    there = np.flatnonzero(images.splits != Split.LEFT_OUT)
    found, firsts = np.unique(images.places[there], return_index=True)
    rows: np.ndarray = there[firsts[np.searchsorted(found, places)]]
    return rows


def _restricted(images: LabelledImages, places: np.ndarray, targets: np.ndarray, splits: np.ndarray) -> LabelledImages:
    index = np.minimum(np.searchsorted(places, images.places), max(len(places) - 1, 0))
    there = images.splits != Split.LEFT_OUT
    known = there & (places[index] == images.places) if len(places) else np.zeros(len(there), bool)
    index = index[known]
    own_targets, restricted = images.targets.copy(), np.full_like(images.splits, Split.LEFT_OUT)
    own_targets[known] = targets[index]
    restricted[known] = splits[index]
    # Augmented copies train, and neither validate nor test.
    restricted[~images.are_images & (restricted != Split.TRAIN)] = Split.LEFT_OUT
    lacking = int(np.count_nonzero(images.are_images & there & ~known))
    return dataclasses.replace(images, targets=own_targets, splits=restricted, lacking_elsewhere=lacking)
