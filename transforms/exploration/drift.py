"""Drift: how well a linear classifier tells later images from earlier ones, and what is new among the later ones."""

import dataclasses
from typing import Final

import numpy as np

from schemas.classifiers import UNLABELLED, LabelKind, LabelSet
from schemas.errors import UsageError
from schemas.neighbours import nearest_rows
from transforms.evaluation import split_metrics
from transforms.exploration.exploration import Exploration
from transforms.training import out_of_fold_scores

_SIDES: Final = LabelSet(LabelKind.BINARY, ("before", "later"))
_NOVEL: Final = 12
_BLOCK: Final = 4096
# Fewer images than these on a side say nothing.
_LEAST: Final = 20


@dataclasses.dataclass(frozen=True)
class ClassShare:
    """How frequent a class is on both sides.

    Attributes:
        name: The class.
        before: Its share of the labelled images before, 0 to 1.
        later: Its share of those later, 0 to 1.
    """

    name: str
    before: float
    later: float


@dataclasses.dataclass(frozen=True, eq=False)
class Drift:
    """How two sets of images differ.

    Attributes:
        before: Images of the first set.
        later: Images of the second.
        auc: The chance that a linear classifier, asked only of images that it was not fitted to, takes a later image
            for later than one before: 0.5 where it cannot tell them apart.
        interval: Its interval of 95 %.
        classes: The shares of the classes, the one that changed most first.
        novel: int64 [m], the later images that are furthest from all before, the furthest first.
        distances: float32 [m], how far.
    """

    before: int
    later: int
    auc: float
    interval: tuple[float, float]
    classes: tuple[ClassShare, ...]
    novel: np.ndarray
    distances: np.ndarray

    @property
    def is_found(self) -> bool:
        """Whether the difference is more than chance."""
        return self.interval[0] > 0.5

    def to_dict(self) -> dict[str, object]:
        """Returns what a file says of it."""
        return {
            "before": self.before,
            "later": self.later,
            "auc": self.auc,
            "interval": list(self.interval),
            "found": self.is_found,
            "classes": [dataclasses.asdict(share) for share in self.classes],
        }


def measure_drift(found: Exploration, before: np.ndarray, later: np.ndarray) -> Drift:
    """Compares two sets of images.

    Args:
        found: What was found of the images.
        before: bool [n], the first set.
        later: bool [n], the second.

    Raises:
        UsageError: If one has too few images, or they share some.
    """
    sides = [np.flatnonzero(before & ~later), np.flatnonzero(later & ~before)]
    if (before & later).any():
        raise UsageError(f"Both sides of --compare have {np.count_nonzero(before & later):,} images in common.")
    if min(map(len, sides)) < _LEAST:
        counts = " and ".join(f"{len(side):,}" for side in sides)
        raise UsageError(f"The sides of --compare have {counts} images: {_LEAST} of each are needed at least.")
    rows = np.sort(np.concatenate(sides))
    targets = later[rows].astype(np.int32)
    vectors = found.images.vectors
    # The folds are of the same images as those of labels: identical content is in one.
    scores = out_of_fold_scores(vectors[rows], _SIDES, targets, found.images.places[rows])
    known = np.isfinite(scores).all(axis=1)
    metrics = split_metrics(_SIDES, targets[known], scores[known])
    assert metrics is not None and metrics.auc is not None and metrics.auc_interval is not None  # noqa: S101, PT018
    first = vectors[sides[0]]
    blocks = (first[start : start + _BLOCK] for start in range(0, len(first), _BLOCK))
    nearest = nearest_rows(vectors[sides[1]], blocks, 1).distances[:, 0]
    furthest = np.argsort(-nearest, kind="stable")[:_NOVEL]
    return Drift(
        before=len(sides[0]),
        later=len(sides[1]),
        auc=metrics.auc,
        interval=metrics.auc_interval,
        classes=tuple(_shares(found, sides[0], sides[1])),
        novel=sides[1][furthest],
        distances=nearest[furthest],
    )


def _shares(found: Exploration, before: np.ndarray, later: np.ndarray) -> list[ClassShare]:
    labels, targets = found.judgement.labels, found.judgement.targets
    if labels is None:
        return []
    first, second = (_frequencies(labels, targets[rows]) for rows in (before, later))
    shares = [ClassShare(name, float(a), float(b)) for name, a, b in zip(labels.classes, first, second, strict=True)]
    return sorted(shares, key=lambda share: (-abs(share.later - share.before), share.name))


def _frequencies(labels: LabelSet, targets: np.ndarray) -> np.ndarray:
    labelled = targets[(targets if targets.ndim == 1 else targets[:, 0]) != UNLABELLED]
    counts: np.ndarray = labels.indicators(labelled).sum(axis=0) / max(len(labelled), 1)
    return counts
