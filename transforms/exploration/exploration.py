"""`Exploration`: everything that is found of images by comparing their features, before a picture is read."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from schemas.classifiers import (
    UNLABELLED,
    LabelKind,
    LabelSet,
    Split,
    SplitFractions,
    splits_by_column,
    splits_by_place,
)
from schemas.errors import InvalidLabels, InvalidRecipe
from schemas.neighbours import Neighbours
from transforms.exploration.comparison import Recall, compare_all, nearest_distances
from transforms.exploration.comparison_by_cells import compare_near
from transforms.exploration.duplicates import Group, duplicate_distance, find_groups
from transforms.exploration.explored_images import ExploredImages, is_compared_by_cells
from transforms.exploration.label_issues import LabelIssues, find_label_issues, names_of
from transforms.exploration.oddities import ClassAgreement, class_agreement
from transforms.exploration.projection import TSNE_NEIGHBOURS, Projection, project
from transforms.runtime import trim_heap
from transforms.training import LabelledImages, SplitBy, out_of_fold_scores

# Images of whose nearest neighbours the distances are looked at to choose a threshold.
_SAMPLE: Final = 4000
# More scores than these take too much memory for what they tell.
_MOST_SCORES: Final = 200_000_000


@dataclasses.dataclass(frozen=True, eq=False)
class Judgement:
    """What is known of the labels of images.

    Attributes:
        labels: The classes; None where there are none to speak of.
        targets: The targets of all images; see `LabelSet.targets`. Empty where there are no classes.
        predicted: The names of the classes that probes of the other folds say, null where there are none; or None.
        issues: Labels that are likely wrong; None where nothing could be said.
        classes: How far neighbours agree.
        why_not: Why nothing is said of labels, as a sentence; empty where something is.
    """

    labels: LabelSet | None
    targets: np.ndarray
    predicted: pa.Array | None
    issues: LabelIssues | None
    classes: Sequence[ClassAgreement]
    why_not: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class Exploration:
    """What was found.

    Attributes:
        images: The images.
        neighbours: Those of each.
        points: float32 [n, 2], the map.
        projection: How it was drawn.
        distance: Up to which images are near-duplicates.
        groups: Those of near-duplicates.
        splits: uint8 [n] of `Split`.
        split_by: What decided the splits.
        judgement: What is known of the labels.
        recall: What of it was found; None where all images were compared.
    """

    images: ExploredImages
    neighbours: Neighbours
    points: np.ndarray
    projection: Projection
    distance: float
    groups: Sequence[Group]
    splits: np.ndarray
    split_by: SplitBy
    judgement: Judgement
    recall: Recall | None

    @property
    def leaks(self) -> list[Group]:
        """The groups that are in several splits."""
        return [group for group in self.groups if group.leaks]


def explore(
    images: ExploredImages,
    labelled: LabelledImages | InvalidLabels,
    asked_distance: float | None,
    projection: Projection,
    say: Callable[[str, float], None] = lambda _, __: None,
    *,
    exact: bool = False,
) -> Exploration:
    """Compares images by their features.

    Args:
        images: The images.
        labelled: Their targets and splits, or why there are none.
        asked_distance: Up to which cosine distance images are near-duplicates; chosen by the distances if None.
        projection: How the map is drawn.
        say: Told what is being done, and the share of it that is, 0 to 1.
        exact: Whether many images, too, are compared with all others.

    Raises:
        UsageError: If the map cannot be drawn as it was asked.
    """
    say("comparing", 0.0)
    distance = (
        duplicate_distance(nearest_distances(images.vectors, _SAMPLE)) if asked_distance is None else asked_distance
    )
    k = min(TSNE_NEIGHBOURS, len(images) - 1)
    compare = compare_near if is_compared_by_cells(len(images), exact=exact) else compare_all
    neighbours, first_of_group, recall = compare(
        images.vectors, k, distance, images.places, lambda share: say("comparing", share)
    )
    trim_heap()  # Cells take as much memory as the features, in thousands of arrays.
    say("drawing the map", 0.0)
    points, drawn = project(images.vectors, neighbours, projection)
    say("judging labels", 0.0)
    judgement = _judgement(images, neighbours, first_of_group, labelled)
    splits, split_by = _splits(images)
    return Exploration(
        images=images,
        neighbours=neighbours,
        points=points,
        projection=drawn,
        distance=distance,
        groups=find_groups(images, first_of_group, splits, _label_texts(judgement, len(images))),
        splits=splits,
        split_by=split_by,
        judgement=judgement,
        recall=recall,
    )


def _judgement(
    images: ExploredImages,
    neighbours: Neighbours,
    first_of_group: np.ndarray,
    labelled: LabelledImages | InvalidLabels,
) -> Judgement:
    """Judges labels; near-duplicates are in one fold, as they would vouch for each other's labels."""
    if isinstance(labelled, InvalidLabels):
        return Judgement(None, np.empty(0, np.int32), None, None, (), str(labelled))
    labels, targets = labelled.labels, labelled.targets
    classes = class_agreement(neighbours, labels, targets)
    rows = np.flatnonzero((targets if targets.ndim == 1 else targets[:, 0]) != UNLABELLED)
    if len(rows) * len(labels.classes) > _MOST_SCORES:
        why = f"{len(rows):,} images of {len(labels.classes):,} classes are too many to judge at once: take --sample."
        return Judgement(labels, targets, None, None, classes, why)
    places = images.places[first_of_group]
    # Where all are labelled, nothing is copied.
    vectors = images.vectors if len(rows) == len(images) else images.vectors[rows]
    try:
        scores = out_of_fold_scores(vectors, labels, targets[rows], places[rows])
    except InvalidRecipe as error:
        return Judgement(labels, targets, None, None, classes, str(error))
    found = find_label_issues(labels, targets[rows], scores)
    issues = LabelIssues(rows[found.rows], found.suggested, found.margins)
    return Judgement(labels, targets, _predicted(labels, rows, scores, len(images)), issues, classes)


def _predicted(labels: LabelSet, rows: np.ndarray, scores: np.ndarray, images: int) -> pa.Array | None:
    if labels.kind == LabelKind.MULTI_LABEL:
        return None
    said = np.full(images, UNLABELLED, np.int32)
    known = np.isfinite(scores).all(axis=1)
    said[rows[known]] = scores.argmax(axis=1)[known]
    return names_of(labels, said)


def _label_texts(judgement: Judgement, images: int) -> list[str | None]:
    if judgement.labels is None:
        return [None] * images
    names = names_of(judgement.labels, judgement.targets).to_pylist()
    return [", ".join(name) if isinstance(name, list) else name for name in names]


def _splits(images: ExploredImages) -> tuple[np.ndarray, SplitBy]:
    """Returns uint8 [n] of `Split`: as the table says, or where it says nothing, as `pipelines.train` would split."""
    by_column = splits_by_column(images.table["split"].combine_chunks())
    if (by_column != Split.LEFT_OUT).any():
        return by_column, SplitBy.COLUMN
    return splits_by_place(images.places, SplitFractions()), SplitBy.HASH
