"""Sweeping: every recipe trained on every source of features, the best kept, all of them on a leaderboard."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from schemas.classifiers import THRESHOLD, LabelKind, Recipe, Split
from schemas.store import FeatureStore
from transforms.training.dataset import TrainingData
from transforms.training.fit import Fitted, fit_head, predict_split
from transforms.training.probe import fit_probe

S = TypeVar("S")


@dataclasses.dataclass(frozen=True)
class Trial:
    """One recipe of a sweep on the features of one layer of a store, and its result.

    Attributes:
        store: The store.
        layer: The layer.
        features: The numbers in one feature.
        asked: The recipe that was asked for.
        recipe: How it was trained, with all that was decided meanwhile.
        validation_accuracy: Of the weights that were kept, 0 to 1; over folds where these chose L2.
        validation_loss: Of the weights that were kept, likewise.
        images: The images of which these are: those of the validation split, or of training where folds chose.
        right: bool [n], for each image of the validation split whether it is classified rightly, in all its classes.
        epochs: Passes over the training part.
        seconds: Wall time.
    """

    store: FeatureStore
    layer: str
    features: int
    asked: Recipe
    recipe: Recipe
    validation_accuracy: float
    validation_loss: float
    images: int
    right: np.ndarray
    epochs: int
    seconds: float


def fit_recipe(recipe: Recipe, data: TrainingData) -> Fitted:
    """Trains as a recipe says.

    Raises:
        InvalidRecipe: If the data does not allow it.
        RunFailed: If the loss does not stay finite.
    """
    return fit_probe(recipe, data) if recipe.is_probe else fit_head(recipe, data)


def fit_all(
    sources: Sequence[S],
    recipes: Sequence[Recipe],
    read: Callable[[S], TrainingData],
    on_trial: Callable[[Trial], None],
) -> tuple[Fitted, TrainingData, list[Trial]]:
    """Trains every recipe on every source of features. The features of one source are held at a time.

    Args:
        sources: The sources, one at least.
        recipes: The recipes, one at least.
        read: Reads the features of a source.
        on_trial: Called after each.

    Returns:
        The best head, what it was trained on, and all trials, the best first: by validation accuracy, then by
        validation loss. The test split has no say.
    """
    best: tuple[Trial, Fitted, S] | None = None
    trials = []
    for source in sources:
        data = read(source)
        for recipe in recipes:
            fitted = fit_recipe(recipe, data)
            trials.append(_trial(fitted, data))
            on_trial(trials[-1])
            if best is None or _rank(trials[-1]) < _rank(best[0]):
                best = trials[-1], fitted, source
    if best is None:
        raise ValueError("There is no recipe to train.")
    _, fitted, chosen = best
    return fitted, data if chosen is source else read(chosen), sorted(trials, key=_rank)


def _trial(fitted: Fitted, data: TrainingData) -> Trial:
    split = data.rows.validation
    return Trial(
        store=data.store,
        layer=data.layer,
        features=int(np.prod(split.rows.shape)),
        asked=fitted.asked,
        recipe=fitted.recipe,
        validation_accuracy=fitted.validation_accuracy,
        validation_loss=fitted.validation_loss,
        images=data.images.counts()[(Split.TRAIN if fitted.folds else Split.VALIDATION).word],
        right=_right(data, predict_split(fitted.head, split)),
        epochs=fitted.epochs,
        seconds=fitted.seconds,
    )


def _right(data: TrainingData, probabilities: np.ndarray) -> np.ndarray:
    targets = data.images.targets[data.rows.validation.numbers]
    right: np.ndarray
    if data.images.labels.kind == LabelKind.MULTI_CLASS:
        right = probabilities.argmax(axis=1) == targets
    else:
        right = ((probabilities >= THRESHOLD) == (targets.reshape(probabilities.shape) == 1)).all(axis=1)
    return right


def _rank(trial: Trial) -> tuple[float, float]:
    return -trial.validation_accuracy, trial.validation_loss
