"""Sweeping: every recipe trained on the same features, the best kept, all of them on a leaderboard."""

import dataclasses
from collections.abc import Callable, Sequence

from schemas.classifiers import Recipe
from transforms.training.dataset import TrainingData
from transforms.training.fit import Fitted, fit_head


@dataclasses.dataclass(frozen=True)
class Trial:
    """One recipe of a sweep, and its result.

    Attributes:
        recipe: The recipe.
        validation_accuracy: Of the weights that were kept, 0 to 1.
        validation_loss: Of the weights that were kept.
        epochs: Epochs that were trained.
        seconds: Wall time.
    """

    recipe: Recipe
    validation_accuracy: float
    validation_loss: float
    epochs: int
    seconds: float


def fit_all(
    recipes: Sequence[Recipe],
    data: TrainingData,
    on_trial: Callable[[Trial], None],
) -> tuple[Fitted, list[Trial]]:
    """Trains every recipe.

    Args:
        recipes: The recipes, one at least.
        data: What they are trained on.
        on_trial: Called after each.

    Returns:
        The best head, and all trials, the best first: by validation accuracy, then by validation loss. The test split
        has no say.
    """
    best: Fitted | None = None
    trials = []
    for recipe in recipes:
        fitted = fit_head(recipe, data)
        trials.append(_trial(fitted))
        on_trial(trials[-1])
        if best is None or _rank(trials[-1]) < _rank(_trial(best)):
            best = fitted
    if best is None:
        raise ValueError("There is no recipe to train.")
    return best, sorted(trials, key=_rank)


def _trial(fitted: Fitted) -> Trial:
    epochs = len(fitted.history["loss"])
    return Trial(fitted.recipe, fitted.validation_accuracy, fitted.validation_loss, epochs, fitted.seconds)


def _rank(trial: Trial) -> tuple[float, float]:
    return -trial.validation_accuracy, trial.validation_loss
