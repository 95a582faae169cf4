"""Chance: how far a metric may lie from what it would be on all such images, and whether two classifiers differ."""

import math
from typing import Final

import numpy as np

# The 97.5 % quantile of the normal distribution.
_Z: Final = 1.959963984540054
_ROUNDING: Final = 1e-9


def wilson_interval(share: float, trials: float) -> tuple[float, float]:
    """Returns the interval of a share (Wilson, 1927), which stays within 0 and 1 and is right for few trials, too.

    Args:
        share: The share that was found, 0 to 1.
        trials: Of how many; above 0.
    """
    centre = share + _Z**2 / (2 * trials)
    half = _Z * math.sqrt(share * (1 - share) / trials + _Z**2 / (4 * trials**2))
    scale = 1 + _Z**2 / trials
    return max((centre - half) / scale, 0.0), min((centre + half) / scale, 1.0)


def interval_of_error(share: float, error: float, images: int) -> tuple[float, float]:
    """Returns the interval of a mean between 0 and 1 whose standard error is known.

    It is Wilson's for as many trials as would give a share this error; for as many as there are images where the error
    is 0 but for rounding.

    Args:
        share: The mean.
        error: Its standard error.
        images: The images of which it is the mean.
    """
    trials = share * (1 - share) / error**2 if error > _ROUNDING else images
    return wilson_interval(share, max(trials, 1.0))


def mcnemar(right: np.ndarray, other_right: np.ndarray) -> float:
    """Returns the chance that two equally good classifiers differ by as much on the same images, or by more.

    It is McNemar's test (1947) in its exact form: which of them alone gets an image right is the toss of a coin.

    Args:
        right: bool [n], which images the one gets right.
        other_right: bool [n], which the other does.
    """
    from scipy import special

    alone, other_alone = int((right & ~other_right).sum()), int((other_right & ~right).sum())
    return min(1.0, 2 * float(special.bdtr(min(alone, other_alone), alone + other_alone, 0.5)))
