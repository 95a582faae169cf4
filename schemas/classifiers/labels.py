"""Labels: the classes of a classifier, and how the labels of images become its targets."""

import dataclasses
import enum
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import InvalidLabels
from schemas.serialisation import Serialisable, is_unicode

# A probability from which on a class is said to be there (multi-label), or the second of two classes to be the one.
THRESHOLD: Final = 0.5
UNLABELLED: Final = -1


class LabelKind(enum.StrEnum):
    """What labels an image can have: one of two classes, one of many, or any number of them."""

    BINARY = "binary"
    MULTI_CLASS = "multi-class"
    MULTI_LABEL = "multi-label"


@dataclasses.dataclass(frozen=True)
class LabelSet(Serialisable, indent=2):
    """The classes that a classifier distinguishes.

    Attributes:
        kind: How many of them an image can have.
        classes: Their names, sorted; the place of a name is its index in targets and scores.
    """

    kind: LabelKind
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        """Checks that the classes can be told apart.

        Raises:
            ValueError: If there are fewer than two, the same name twice, one with half of a character, or not two where
                the kind is binary.
        """
        if not all(map(is_unicode, self.classes)):
            raise ValueError("A class has half of a character in its name.")
        if len(self.classes) < 2 or len(set(self.classes)) < len(self.classes):
            raise ValueError(f"{len(self.classes)} classes, not all of them different, are none to choose from.")
        if self.kind == LabelKind.BINARY and len(self.classes) != 2:
            raise ValueError(f"A binary classifier has two classes, not {len(self.classes)}.")

    @classmethod
    def of(cls, names: pa.Array, *, several: bool) -> "LabelSet":
        """Returns the label set of the labels that were found.

        Args:
            names: Strings, repeated or not.
            several: Whether an image has a list of labels.

        Raises:
            InvalidLabels: If there are fewer than two classes.
        """
        found = tuple(sorted(pc.unique(names).drop_null().to_pylist()))
        if not found:
            raise InvalidLabels(
                "No image has a label: extract with --labels_from=parent or a manifest with a column `label`, "
                "or name a file with --labels."
            )
        if len(found) == 1:
            raise InvalidLabels(f"Every labelled image is of the class '{found[0]}': a classifier needs two at least.")
        if several:
            return cls(LabelKind.MULTI_LABEL, found)
        return cls(LabelKind.BINARY if len(found) == 2 else LabelKind.MULTI_CLASS, found)

    @property
    def outputs(self) -> int:
        """The probabilities that the classifier gives for an image: one where there are two classes, else one each."""
        return 1 if self.kind == LabelKind.BINARY else len(self.classes)

    def targets(self, labels: pa.Array) -> np.ndarray:
        """Turns labels into targets.

        Args:
            labels: string [n], dictionary-encoded or not, or list<string> [n] for multi-label; null where an image has
                none. Names of other classes count as no label.

        Returns:
            int32 [n], the index of the class or `UNLABELLED`; for multi-label int8 [n, classes] of 0 and 1, a row of
            `UNLABELLED` where an image has no list.
        """
        classes = pa.array(self.classes, pa.string())
        if pa.types.is_dictionary(labels.type):
            codes = pc.fill_null(labels.indices, len(labels.dictionary)).to_numpy(zero_copy_only=False)
            known: np.ndarray = np.append(self.targets(labels.dictionary), np.int32(UNLABELLED))[codes]
            return known
        if self.kind != LabelKind.MULTI_LABEL:
            indices = pc.fill_null(pc.index_in(labels.cast(pa.string()), value_set=classes), UNLABELLED)
            single: np.ndarray = indices.to_numpy(zero_copy_only=False).astype(np.int32)
            return single
        found = np.zeros((len(labels), len(self.classes)), np.int8)
        rows = pc.list_parent_indices(labels).to_numpy(zero_copy_only=False)
        columns = pc.index_in(pc.list_flatten(labels).cast(pa.string()), value_set=classes)
        columns = pc.fill_null(columns, UNLABELLED).to_numpy(zero_copy_only=False)
        known = columns != UNLABELLED
        found[rows[known], columns[known]] = 1
        found[pc.is_null(labels).to_numpy(zero_copy_only=False)] = UNLABELLED
        return found

    def indicators(self, targets: np.ndarray) -> np.ndarray:
        """Returns targets as int8 [n, classes] of 0 and 1, whatever their kind."""
        if self.kind == LabelKind.MULTI_LABEL:
            return targets
        indicators = np.zeros((len(targets), len(self.classes)), np.int8)
        indicators[np.arange(len(targets)), targets] = 1
        return indicators

    def scores(self, probabilities: np.ndarray) -> np.ndarray:
        """Returns the score of every class from what the classifier gives.

        Args:
            probabilities: float32 [n, outputs] in 0 to 1.

        Returns:
            float32 [n, classes]; for two classes the probabilities of both.
        """
        if self.kind == LabelKind.BINARY:
            return np.concatenate([1 - probabilities, probabilities], axis=1)
        return probabilities
