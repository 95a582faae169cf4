"""`LabelCounts`: what labels and splits the images of an input have, and what is odd about them."""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import Final

from schemas.serialisation import Serialisable

# Classes that are counted by name: more are no classes, but captions, and a run's row is to stay small.
MOST_CLASSES: Final = 1000
MOST_EXAMPLES: Final = 3


@dataclasses.dataclass(frozen=True)
class LabelCounts(Serialisable):
    """The labels and splits of an input; sums with `+`, and stays small whatever the input is.

    Attributes:
        classes: Images by label, the most frequent first; of `MOST_CLASSES` labels at most.
        of_further_classes: Images of other labels than these.
        splits: Images by split.
        unlabelled: Images without a label.
        contradictions: Images that the input names several times, with different labels.
        contradicted: Some of these, with their labels.
        folders: Labels that `--labels_from=parent` would find for images without one; `MOST_EXAMPLES` at most, found
            among some of the images.
    """

    classes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    of_further_classes: int = 0
    splits: Mapping[str, int] = dataclasses.field(default_factory=dict)
    unlabelled: int = 0
    contradictions: int = 0
    contradicted: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()

    def __add__(self, other: "LabelCounts") -> "LabelCounts":
        classes = (Counter(self.classes) + Counter(other.classes)).most_common()
        further = sum(images for _, images in classes[MOST_CLASSES:])
        return LabelCounts(
            classes=dict(classes[:MOST_CLASSES]),
            of_further_classes=self.of_further_classes + other.of_further_classes + further,
            splits=dict(Counter(self.splits) + Counter(other.splits)),
            unlabelled=self.unlabelled + other.unlabelled,
            contradictions=self.contradictions + other.contradictions,
            contradicted=tuple(sorted({*self.contradicted, *other.contradicted})[:MOST_EXAMPLES]),
            folders=tuple(sorted({*self.folders, *other.folders})[:MOST_EXAMPLES]),
        )

    @property
    def labelled(self) -> int:
        """Images with a label."""
        return sum(self.classes.values()) + self.of_further_classes
