"""The learning curve: how good a classifier is with less of the training part: would more labels help?"""

import dataclasses
from collections.abc import Iterator
from typing import Final

import numpy as np

from schemas.classifiers import Recipe, Split
from transforms.evaluation.metrics import split_metrics
from transforms.training import TrainingData, fit_recipe, predict_split, stratified_rows

_SHARES: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_DRAWS: Final = 5
_LEAST_ROWS: Final = 10
# Even, and far from the multiples of small numbers.
_FACTOR: Final = 0x1E3779B97F4A7C16


@dataclasses.dataclass(frozen=True)
class LearningPoint:
    """How good classifiers are that were trained on so many rows.

    Attributes:
        rows: The rows of the training part.
        log_losses: The log loss on the judged split, a value a draw.
        accuracies: The accuracy on it, likewise.
    """

    rows: int
    log_losses: tuple[float, ...]
    accuracies: tuple[float, ...]


def learning_curve(recipe: Recipe, data: TrainingData) -> Iterator[LearningPoint]:
    """Trains on parts of the training split, each a draw with the same share of each class, and on all of it.

    L2 is chosen again for each. Draws follow from the hashes of images: they are the same each time.

    Args:
        recipe: How is trained.
        data: All that there is; judged by the test split, or validation where there is none.
    """
    split = Split.TEST if len(data.rows.test) else Split.VALIDATION
    for share in _SHARES:
        draws = [_drawn(data, share, draw) for draw in range(_DRAWS if share < 1 else 1)]
        if len(draws[0]) < _LEAST_ROWS:
            continue
        judged = [_judged(recipe, data.with_train_rows(drawn), split) for drawn in draws]
        yield LearningPoint(len(draws[0]), *zip(*judged, strict=True))


def _drawn(data: TrainingData, share: float, draw: int) -> np.ndarray:
    """Returns the places in the training split, ascending, of a draw."""
    numbers, images = data.rows.train.numbers, data.images
    # Times an odd number modulo 2^64, hashes are permuted.
    places = images.places[numbers] * np.uint64(draw * _FACTOR + 1)
    return stratified_rows(images.targets[numbers], places, round(share * len(numbers)))


def _judged(recipe: Recipe, data: TrainingData, split: Split) -> tuple[float, float]:
    labels, rows = data.images.labels, data.rows.of(split)
    scores = labels.scores(predict_split(fit_recipe(recipe, data).head, rows))
    metrics = split_metrics(labels, data.images.targets[rows.numbers], scores)
    return (metrics.log_loss, metrics.accuracy) if metrics else (0.0, 0.0)
