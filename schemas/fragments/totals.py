"""`Totals`: what fragments hold, added up."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping

from schemas.fragments.fragment import Fragment, TableName
from schemas.serialisation import Serialisable


@dataclasses.dataclass(frozen=True)
class Totals(Serialisable):
    """What fragments hold; sums with `+`.

    Attributes:
        extracted: Images in `features`, or in `predictions`.
        reused: Of these, images that took the features of another one of identical content.
        adopted: Of these, images that a run that was killed had computed.
        failed: Images in `failures`.
        failures_by_code: Images in `failures` by code, the most frequent first.
        feature_bytes: Bytes of the files of these.
        augmented: Rows of `features` besides one an image.
        labels_updated: Known images whose label, split or carried columns were brought up to date.
    """

    extracted: int = 0
    reused: int = 0
    adopted: int = 0
    failed: int = 0
    failures_by_code: Mapping[str, int] = dataclasses.field(default_factory=dict)
    feature_bytes: int = 0
    augmented: int = 0
    labels_updated: int = 0

    @classmethod
    def of(cls, fragments: Iterable[Fragment]) -> "Totals":
        """Adds up what fragments hold."""
        return sum((cls._of_one(fragment) for fragment in fragments), cls())

    @classmethod
    def _of_one(cls, fragment: Fragment) -> "Totals":
        if fragment.table == TableName.FAILURES:
            return cls(failed=fragment.rows, failures_by_code={str(code): n for code, n in fragment.failures_by_code})
        adopted = fragment.images if fragment.adopted else 0
        reused = fragment.images if fragment.reused else 0
        return cls(fragment.images, reused, adopted, feature_bytes=fragment.size, augmented=fragment.augmented)

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(
            self.extracted + other.extracted,
            self.reused + other.reused,
            self.adopted + other.adopted,
            self.failed + other.failed,
            dict((Counter(self.failures_by_code) + Counter(other.failures_by_code)).most_common()),
            self.feature_bytes + other.feature_bytes,
            self.augmented + other.augmented,
            self.labels_updated + other.labels_updated,
        )

    @property
    def images(self) -> int:
        """Images in both tables."""
        return self.extracted + self.failed
