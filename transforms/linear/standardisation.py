"""Standardisation: the mean and variance of features, learned in one pass over the training split."""

import dataclasses
from typing import Final

import numpy as np

from schemas.errors import InvalidFeatures

# The least standard deviation, as a share of the root mean square of all of them: a channel that hardly moves in the
# training split (a dead ReLU) would otherwise be blown up by whatever it does elsewhere.
_LEAST_DEVIATION: Final = 0.01

# Features that move by less than this do not move: a head keeps the square, which float32 would round to 0.
_NO_DEVIATION: Final = 1e-18
# Nor does float32 hold the square of more than this.
_MOST_DEVIATION: Final = 1e19


@dataclasses.dataclass(frozen=True)
class Moments:
    """What standardisation needs to know of each feature.

    Attributes:
        mean: float32 [D].
        deviation: float32 [D], the standard deviation, bounded from below.
    """

    mean: np.ndarray
    deviation: np.ndarray


class RunningMoments:
    """Mean and variance over batches (Chan, Golub and LeVeque, 1979), in float64."""

    def __init__(self, map_reduction: str) -> None:
        """Prepares for features that are reduced first; see `Recipe.map_reduction`."""
        self._map_reduction = map_reduction
        self._count = 0
        self._mean: np.ndarray | None = None
        self._squares: np.ndarray | None = None

    def add(self, features: np.ndarray) -> None:
        """Counts features in: float32 [n, D] or [n, H, W, C]."""
        if not len(features):
            return
        values = reduced_maps(features, self._map_reduction)
        count, mean = len(values), values.mean(axis=0, dtype=np.float64)
        squares = values.var(axis=0, dtype=np.float64) * count
        if self._mean is None or self._squares is None:
            self._count, self._mean, self._squares = count, mean, squares
            return
        total = self._count + count
        delta = mean - self._mean
        self._mean = self._mean + delta * (count / total)
        self._squares = self._squares + squares + delta**2 * (self._count * count / total)
        self._count = total

    def moments(self) -> Moments:
        """Returns what was found.

        Raises:
            ValueError: If nothing was counted in.
            InvalidFeatures: If features differ by more than a head can hold.
        """
        if self._mean is None or self._squares is None:
            raise ValueError("There are no features to learn the mean of.")
        variance = self._squares / self._count
        least = _LEAST_DEVIATION * np.sqrt(variance.mean())
        deviation = np.maximum(np.sqrt(variance), least if least > _NO_DEVIATION else 1.0)
        if deviation.max() > _MOST_DEVIATION:
            raise InvalidFeatures(
                f"Features have a standard deviation of up to {deviation.max():.2g}, and no classifier can be trained "
                f"on more than {_MOST_DEVIATION:.0e}."
            )
        return Moments(self._mean.astype(np.float32), deviation.astype(np.float32))


def reduced_maps(features: np.ndarray, map_reduction: str) -> np.ndarray:
    """Makes vectors of features, as the first layer of a head does.

    Args:
        features: float32 [n, D] or [n, H, W, C].
        map_reduction: `flatten`, `avg` or `max`; vectors stay what they are.

    Returns:
        float32 [n, D'].
    """
    if features.ndim != 4 or map_reduction == "flatten":
        return features.reshape(len(features), -1)
    vectors: np.ndarray = features.mean(axis=(1, 2)) if map_reduction == "avg" else features.max(axis=(1, 2))
    return vectors
