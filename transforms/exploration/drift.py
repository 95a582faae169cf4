"""Drift: how well a linear classifier tells later images from earlier ones, and what is new among the later ones."""

import dataclasses
from collections import Counter
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.classifiers import LabelKind, LabelSet
from schemas.errors import UsageError
from schemas.neighbours import nearest_rows
from transforms.evaluation import split_metrics
from transforms.exploration.explored_images import ExploredImages
from transforms.training import out_of_fold_scores

# Fewer different images than these on a side say nothing.
LEAST_COMPARED: Final = 20

_SIDES: Final = LabelSet(LabelKind.BINARY, ("before", "later"))
_NOVEL: Final = 12
_BLOCK: Final = 4096
# Scores out of folds vary more than the interval of their AUC tells: of 300 pairs of halves of one set 7 % were above
# the interval of 95 %, and none was above one that is so much wider.
_WIDER: Final = 3.29 / 1.96


@dataclasses.dataclass(frozen=True, eq=False)
class DriftSide:
    """One of two sets of images that are compared.

    Attributes:
        keys: string [n], what an image is known by: its URI and its version.
        uris: string [n].
        vectors: float32 [n, D] of length 1.
        places: uint64 [n], the first bits of the SHA-256 of each image's bytes.
        labels: string [n] or list<string> [n], null where there is none.
    """

    keys: pa.Array
    uris: pa.Array
    vectors: np.ndarray
    places: np.ndarray
    labels: pa.Array

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def different(self) -> int:
        """How many images there are, those of identical content counted once."""
        return len(np.unique(self.places))

    @classmethod
    def of(cls, images: ExploredImages, labels: pa.Array | None = None, rows: np.ndarray | None = None) -> "DriftSide":
        """Takes images that were read.

        Args:
            images: The images.
            labels: string or list<string> [n], their labels; those of the table if None.
            rows: int64 [m], which of them; all if None.
        """
        uris, versions = (images.table[name].combine_chunks() for name in ("uri", "version"))
        keys = pc.binary_join_element_wise(uris, versions, "\n")
        known = _labels_of(images.table) if labels is None else labels
        side = cls(keys, uris, images.vectors, images.places, known)
        return side if rows is None else side.take(rows)

    def take(self, rows: np.ndarray) -> "DriftSide":
        """Returns some of the images: int64 [m], their rows."""
        places = pa.array(rows, pa.int64())
        texts = (column.take(places) for column in (self.keys, self.uris, self.labels))
        keys, uris, labels = texts
        return DriftSide(keys, uris, self.vectors[rows], self.places[rows], labels)

    def are_in(self, other: "DriftSide") -> np.ndarray:
        """Returns bool [n], whether the other side has an image, too, in the same version."""
        found: np.ndarray = pc.is_in(self.keys, value_set=other.keys).to_numpy(zero_copy_only=False)
        return found


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


@dataclasses.dataclass(frozen=True)
class NovelImage:
    """A later image.

    Attributes:
        uri: Where it is.
        distance: How far it is from the nearest image before, by cosine distance, 0 to 2.
    """

    uri: str
    distance: float


@dataclasses.dataclass(frozen=True)
class Drift:
    """How two sets of images differ.

    Attributes:
        before: Images of the first set.
        later: Images of the second.
        auc: The chance that a linear classifier, asked only of images that it was not fitted to, takes a later image
            for later than one before: 0.5 where it cannot tell them apart.
        interval: Its interval of 95 %.
        classes: The shares of the classes, the one that changed most first.
        novel: The later images that are furthest from all before, the furthest first.
    """

    before: int
    later: int
    auc: float
    interval: tuple[float, float]
    classes: tuple[ClassShare, ...]
    novel: tuple[NovelImage, ...]

    @property
    def is_found(self) -> bool:
        """Whether the difference is more than chance: by more than the interval of 95 %, see `_WIDER`."""
        return self.auc - _WIDER * (self.auc - self.interval[0]) > 0.5

    def exceeds(self, most: float | None) -> bool:
        """Whether both sets can be told apart better than was allowed, by the lower end of the interval."""
        return most is not None and self.is_found and self.interval[0] > most

    def to_dict(self) -> dict[str, Any]:
        """Returns what a file says of it."""
        return {**dataclasses.asdict(self), "interval": list(self.interval), "found": self.is_found}

    def figures(self) -> dict[str, float | bool]:
        """Returns how far both sets can be told apart, by the columns of the table `drift`."""
        low, high = self.interval
        return {"auc": self.auc, "auc_low": low, "auc_high": high, "found": self.is_found}


def measure_drift(before: DriftSide, later: DriftSide) -> Drift:
    """Compares two sets of images.

    Raises:
        UsageError: If one has too few different images, or they share some.
    """
    common = int(np.count_nonzero(later.are_in(before)))
    if common:
        raise UsageError(f"Both sides of --compare have {common:,} images in common.")
    if min(before.different, later.different) < LEAST_COMPARED:
        raise UsageError(
            f"The sides of --compare have {before.different:,} and {later.different:,} different images: "
            f"{LEAST_COMPARED} of each are needed at least."
        )
    vectors = np.concatenate([before.vectors, later.vectors])
    targets = np.repeat(np.array([0, 1], np.int32), [len(before), len(later)])
    # The folds are of the same images as those of labels: identical content is in one.
    scores = out_of_fold_scores(vectors, _SIDES, targets, np.concatenate([before.places, later.places]))
    known = np.isfinite(scores).all(axis=1)
    metrics = split_metrics(_SIDES, targets[known], scores[known])
    assert metrics is not None and metrics.auc is not None and metrics.auc_interval is not None  # noqa: S101, PT018
    return Drift(
        before=len(before),
        later=len(later),
        auc=metrics.auc,
        interval=metrics.auc_interval,
        classes=tuple(_shares(before.labels, later.labels)),
        novel=tuple(_novel(before, later)),
    )


def _novel(before: DriftSide, later: DriftSide) -> list[NovelImage]:
    blocks = (before.vectors[start : start + _BLOCK] for start in range(0, len(before), _BLOCK))
    nearest = nearest_rows(later.vectors, blocks, 1).distances[:, 0]
    furthest = np.argsort(-nearest, kind="stable")[:_NOVEL]
    uris = later.uris.take(pa.array(furthest)).to_pylist()
    return [NovelImage(uri, distance) for uri, distance in zip(uris, nearest[furthest].tolist(), strict=True)]


def _labels_of(table: pa.Table) -> pa.Array:
    """Returns the labels of images by their table: the column `label`, or `labels` where that holds none."""
    single = table["label"].combine_chunks()
    if single.null_count == len(single) and "labels" in table.column_names:
        return table["labels"].combine_chunks()
    return single


def _shares(before: pa.Array, later: pa.Array) -> list[ClassShare]:
    first, second = _frequencies(before), _frequencies(later)
    shares = [ClassShare(name, first.get(name, 0.0), second.get(name, 0.0)) for name in {*first, *second}]
    return sorted(shares, key=lambda share: (-abs(share.later - share.before), share.name))


def _frequencies(labels: pa.Array) -> dict[str, float]:
    labelled = len(labels) - labels.null_count
    names = pc.list_flatten(labels) if pa.types.is_list(labels.type) else labels.drop_null()
    return {name: count / labelled for name, count in Counter(names.to_pylist()).items()}
