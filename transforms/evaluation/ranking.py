"""Ranking: images by their score for a class, from which its curves and their areas follow."""

import dataclasses
from typing import Final

import numpy as np

# Of the 23 bits of a float's fraction.
_BITS_LEFT_OUT: Final = 14


def ordered_bits(score: np.ndarray) -> np.ndarray:
    """Returns scores of at least 0, float32 [n], as uint32 [n] of the same order: the bits of a float are."""
    bits: np.ndarray = (score.astype(np.float32) + np.float32(0)).view(np.uint32)  # -0.0 + 0.0 is 0.0.
    return bits


@dataclasses.dataclass(frozen=True)
class Ranking:
    """How many images of a class, and how many others, have at least a score, the highest score first.

    Attributes:
        true_positives: int64 [m], m the number of distinct scores.
        false_positives: int64 [m].
    """

    true_positives: np.ndarray
    false_positives: np.ndarray

    @classmethod
    def of(cls, true: np.ndarray, score: np.ndarray) -> "Ranking":
        """Ranks images by what `ordered_bits` returns of their scores; `true` is int8 [n], both 0 and 1 being there.

        The class goes with the score, as its last bit, so that plain numbers are sorted: that is several times as quick
        as to find the order of the scores.
        """
        sorted_scores = np.sort(score << 1 | true.astype(np.uint32))[::-1]
        last = np.flatnonzero(np.append(np.diff(sorted_scores >> 1), 1))
        true_positives = np.cumsum(sorted_scores & 1, dtype=np.int64)[last]
        return cls(true_positives, last + 1 - true_positives)

    @property
    def recall(self) -> np.ndarray:
        """The share of the class that has at least each score."""
        rates: np.ndarray = self.true_positives / self.true_positives[-1]
        return rates

    @property
    def precision(self) -> np.ndarray:
        """The share of those with at least each score that are of the class."""
        rates: np.ndarray = self.true_positives / (self.true_positives + self.false_positives)
        return rates

    @property
    def roc(self) -> tuple[np.ndarray, np.ndarray]:
        """The rates of false and of true positives, from 0 on."""
        return np.append(0, self.false_positives / self.false_positives[-1]), np.append(0, self.recall)

    @property
    def auc(self) -> float:
        """The area under the ROC curve, by trapezoids."""
        return float(np.trapezoid(*reversed(self.roc)))

    @property
    def average_precision(self) -> float:
        """The sum of precisions, each weighted by the recall that its threshold adds."""
        return float((np.diff(self.recall, prepend=0) * self.precision).sum())


def influences_on_auc(true: np.ndarray, score: np.ndarray, auc: float) -> np.ndarray:
    """Returns float64 [n], the influence of each image on the AUC of a class, from what `Ranking.of` takes.

    It is the share of the other kind that the image is in order with, half of equal scores, less the AUC, over the
    share of its own kind. Scores count as equal here where they differ by less than 1 in 512: only the spread of
    influences is asked for.
    """
    groups, places = (score >> _BITS_LEFT_OUT).astype(np.int64), np.flatnonzero(true)
    every = np.bincount(groups)
    own = np.bincount(groups[places], minlength=len(every))
    others = every - own
    others_below = (np.cumsum(others) - others / 2) / others.sum()
    own_above = 1 - (np.cumsum(own) - own / 2) / len(places)
    share = len(places) / len(true)
    found: np.ndarray = ((own_above - auc) / (1 - share))[groups]
    found[places] = ((others_below - auc) / share)[groups[places]]
    return found
