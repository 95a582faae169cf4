"""The linear probe: logistic regression on standardised features, its L2 chosen by the validation loss.

L2 falls by powers of ten from a strong value, each fit beginning where the one before it ended, until the validation
loss rises; half powers around the best follow. Of a large training part this is done on a sample, and two values are
fitted to all rows, as the best L2 falls with the number of rows. Without a validation split, or with a small one, folds
of the training part choose, and the best L2 is fitted to all of it.

Nothing is random: samples and folds follow from classes and from the hashes of images.
"""

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import numpy as np

from schemas.classifiers import LabelKind, LabelSet, Recipe
from schemas.errors import InvalidLabels, InvalidRecipe
from transforms.linear import (
    TOLERANCE,
    Curvature,
    Examples,
    Judged,
    LinearHead,
    Minimum,
    Moments,
    curvature_of,
    judge_linear,
    minimise,
)
from transforms.runtime import available_memory, single_threaded_blas
from transforms.training.dataset import TrainingData
from transforms.training.fit import Fitted, class_weights
from transforms.training.probe_rows import examples_of, folded, frequencies_of, sampled

# A larger training or validation split is sampled while L2 is chosen.
SAMPLE_ROWS: Final = 50_000
# A smaller validation split has less to say than folds of the training part.
LEAST_VALIDATION: Final = 300
FOLDS: Final = 5

# On the path it only matters which L2 is better.
_PATH_TOLERANCE: Final = 1e-6
# Where there are so many rows that the path is gone on a sample, an iteration that gains less says nothing of others:
# the rest is some 1e-5, and chance moves the loss by more. It takes half of the passes that `TOLERANCE` does.
_SAMPLED_TOLERANCE: Final = 5e-6
# An L2 has to lower the validation loss by this share, and the sum of the losses of all images by this, for a weaker
# one to be tried: less is chance, and classes that can be told apart without an error would draw it to 0.
_LEAST_GAIN: Final = 1e-3
_LEAST_SUM_GAIN: Final = 0.5

# The strongest L2 for one output: a lower one where there are so many rows that it would be far too strong.
_STRONGEST: Final = 10.0
_STRONGEST_OF_ROWS: Final = 5000.0
_MOST_EXPONENT: Final = 9

# What L-BFGS holds for each weight: pairs of steps and gradients, and some more, in float64.
_BYTES_PER_WEIGHT: Final = 26 * 8


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
    """Heads of one L2, and how good they are: one head, or one a fold.

    Attributes:
        l2: The weight of the penalty.
        minima: The heads.
        rows: The rows of the training part that were gone through in a pass.
        passes: How often.
        loss: The loss on these rows.
        judged: How good the heads are on the rows by which L2 is chosen.
    """

    l2: float
    minima: Sequence[Minimum]
    rows: int
    passes: int
    loss: float
    judged: Judged


Pair: TypeAlias = tuple[Examples, Examples]
_Fit: TypeAlias = Callable[[float, Sequence[Minimum]], Trained]


@dataclasses.dataclass(frozen=True)
class ProbeTask:
    """What is fitted.

    Attributes:
        start: The head that knows how frequent the classes are, and nothing of features.
        train: The rows of the training part.
        validation: The rows that choose L2; None where folds of the training part do.
        sample: The rows on which L2 is chosen; all of `train`, or a sample.
        pairs: Rows to which heads are fitted, and rows by which these are judged; one pair, or one a fold.
        curvature: What is known of the Hessian.
    """

    start: LinearHead
    train: Examples
    validation: Examples | None
    sample: Examples
    pairs: Sequence[Pair]
    curvature: Curvature

    @property
    def share(self) -> float:
        """The share of the training part that is in the sample."""
        return len(self.sample) / len(self.train)

    @property
    def tolerance(self) -> float:
        """What the last iteration of a fit gains at most."""
        return TOLERANCE if self.share == 1 else _SAMPLED_TOLERANCE


def fit_probe(recipe: Recipe, data: TrainingData) -> Fitted:
    """Fits a linear probe. The same rows give the same weights, held or streamed.

    Args:
        recipe: How; its L2 is taken as it is where it is named.
        data: What it is fitted to.

    Raises:
        InvalidLabels: If there is nothing by which L2 could be chosen.
        InvalidRecipe: If there are more weights than memory for them, or images of several labels are to be balanced.
        RunFailed: If the loss does not stay finite.
    """
    started = time.perf_counter()
    task = _task(recipe, data)
    with single_threaded_blas():
        found = fit_path(task, recipe.l2)
        best = min(found, key=_loss)
        found += (on_all := _on_all_rows(task, best, recipe.l2))
    kept = min(on_all, key=_loss) if on_all else best
    return Fitted(
        head=kept.minima[0].head,
        asked=recipe,
        recipe=dataclasses.replace(recipe.resolved(), l2=kept.l2),
        batch_size=len(task.train),
        learning_rate=None,
        history={
            "l2": [each.l2 for each in found],
            "rows": [each.rows for each in found],
            "passes": [each.passes for each in found],
            "loss": [each.loss for each in found],
            "val_loss": [each.judged.loss for each in found],
            "val_accuracy": [each.judged.accuracy for each in found],
        },
        epochs=round(sum(each.passes * each.rows for each in found) / len(task.train)),
        best_epoch=found.index(kept) + 1,
        folds=len(task.pairs) if task.validation is None else 0,
        seconds=time.perf_counter() - started,
    )


def _task(recipe: Recipe, data: TrainingData) -> ProbeTask:
    by_class = class_weights(recipe.class_weight, data.images)
    rows = data.rows
    train = examples_of(rows.train, data.images, recipe.map_reduction, by_class)
    start = _start(recipe, data, train)
    most = max(min(SAMPLE_ROWS, data.memory_bytes // (3 * rows.train.rows.row_bytes)), LEAST_VALIDATION)
    sample = sampled(train, most)
    validation = None
    pairs = folded(sample, FOLDS) if len(rows.validation) < LEAST_VALIDATION else []
    if not pairs and len(rows.validation):
        validation = examples_of(rows.validation, data.images, recipe.map_reduction, by_class)
        pairs = [(sample, sampled(validation, most))]
    if not pairs:
        raise InvalidLabels(
            "No class has two images in the training split, and there is no validation split: label more images."
        )
    curvature = curvature_of(sample, start.moments, start.kind, frequencies_of(train, data.images.labels))
    return ProbeTask(start, train, validation, sample, pairs, curvature)


def _start(recipe: Recipe, data: TrainingData, train: Examples) -> LinearHead:
    shape = data.rows.train.rows.shape
    dimensions = shape[-1] if len(shape) == 3 and recipe.map_reduction != "flatten" else math.prod(shape)
    moments = data.moments[recipe.map_reduction] if recipe.standardise else None
    return start_head(train, data.images.labels, dimensions, moments, recipe.map_reduction)


def start_head(
    train: Examples, labels: LabelSet, dimensions: int, moments: Moments | None, map_reduction: str
) -> LinearHead:
    """Returns the head with which a fit begins: it knows how frequent classes are, and nothing of features.

    Raises:
        InvalidRecipe: If there is too little memory for its weights.
    """
    needed, free = dimensions * labels.outputs * _BYTES_PER_WEIGHT, available_memory()
    if needed > free:
        raise InvalidRecipe(
            f"A linear probe of {labels.outputs:,} classes and {dimensions:,} features needs {needed / 1e9:,.1f} GB "
            f"for its weights, and {free / 1e9:,.1f} GB are free: take --recipe=dropout."
        )
    frequencies = frequencies_of(train, labels)
    odds = 1 if labels.kind == LabelKind.MULTI_CLASS else 1 - frequencies
    return LinearHead(
        kernel=np.zeros((dimensions, labels.outputs), np.float32),
        bias=np.log(frequencies / odds).astype(np.float32),
        moments=moments,
        map_reduction=map_reduction,
        kind=labels.kind,
    )


def fit_path(task: ProbeTask, l2: float | None) -> list[Trained]:
    """Fits heads of falling L2, and then of half powers around the best; of one L2 alone where it is named.

    To be called where BLAS has one thread.
    """
    # What is only compared, and fitted again to all rows, need not be exact.
    tolerance = task.tolerance if task.share < 1 or task.validation is not None else _PATH_TOLERANCE
    fit = functools.partial(fit_pairs, task.pairs, task.curvature, tolerance)
    start = [Minimum(task.start, math.inf, passes=0)] * len(task.pairs)
    if l2 is not None:
        return [fit(l2, start)]
    exponent = _strongest(len(task.sample), len(task.start.bias))
    found = [fit(10.0**exponent, start)]
    gain = _LEAST_SUM_GAIN / sum(np.count_nonzero(judged.weights) for _, judged in task.pairs)
    found += _while_better(fit, found[0], exponent, -1, gain)
    if min(found, key=_loss) is found[0]:
        found += _while_better(fit, found[0], exponent, 1, gain)
    best = min(found, key=_loss)
    return found + [fit(best.l2 * factor, best.minima) for factor in (math.sqrt(10), 1 / math.sqrt(10))]


def _strongest(rows: int, outputs: int) -> int:
    """Returns the power of ten with which the path begins: about what halves the weights, or less with many rows."""
    return math.floor(math.log10(min(_STRONGEST, _STRONGEST_OF_ROWS / rows) / outputs))


def _while_better(fit: _Fit, first: Trained, exponent: int, step: int, gain: float) -> list[Trained]:
    """Goes on from the first by powers of ten until the loss no longer falls by as much."""
    found = [first]
    while abs(exponent) < _MOST_EXPONENT:
        exponent += step
        best = min(map(_loss, found))
        found.append(fit(10.0**exponent, found[-1].minima))
        if _loss(found[-1]) > best - max(_LEAST_GAIN * best, gain):
            break
    return found[1:]


def fit_pairs(
    pairs: Sequence[Pair], curvature: Curvature, tolerance: float, l2: float, starts: Sequence[Minimum]
) -> Trained:
    """Fits and judges a head for each pair, from one start each."""
    fitted = [minimise(start, rows, l2, curvature, tolerance) for start, (rows, _) in zip(starts, pairs, strict=True)]
    judged = [judge_linear(each.head, rows) for each, (_, rows) in zip(fitted, pairs, strict=True)]
    return Trained(
        l2=l2,
        minima=fitted,
        rows=len(pairs[0][0]),
        passes=sum(each.passes for each in fitted),
        loss=float(np.mean([each.loss for each in fitted])),
        judged=Judged(
            float(np.mean([each.loss for each in judged])), float(np.mean([each.accuracy for each in judged]))
        ),
    )


def _on_all_rows(task: ProbeTask, best: Trained, l2: float | None) -> list[Trained]:
    """Fits to the whole training part what was chosen on less of it; nothing where it was chosen on all."""
    if task.validation is None:
        value = best.l2 * math.sqrt(task.share) if l2 is None else l2
        whole = minimise(best.minima[0], task.train, value, task.curvature, task.tolerance)
        return [Trained(value, [whole], len(task.train), whole.passes, whole.loss, best.judged)]
    if task.share == 1:
        return []
    fit = functools.partial(fit_pairs, [(task.train, task.validation)], task.curvature, task.tolerance)
    if l2 is not None:
        return [fit(l2, best.minima)]
    found = [fit(best.l2 * math.sqrt(task.share), best.minima)]
    return [*found, fit(best.l2 * task.share, found[0].minima)]


def _loss(trained: Trained) -> float:
    return trained.judged.loss
