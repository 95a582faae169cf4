"""What linear probes say of images that they were not fitted to: each image by the probe of the other folds."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from schemas.classifiers import LabelSet
from transforms.linear import Examples, RunningMoments, curvature_of
from transforms.runtime import single_threaded_blas
from transforms.training.probe import FOLDS, SAMPLE_ROWS, ProbeTask, fit_pairs, fit_path, start_head
from transforms.training.probe_rows import folded, frequencies_of, sampled

_BLOCK: Final = 4096
_AS_THEY_ARE: Final = "flatten"


def out_of_fold_scores(vectors: np.ndarray, labels: LabelSet, targets: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Fits the default linear probe to folds, its L2 chosen by the loss on what is left out, and scores what is.

    Args:
        vectors: float32 [n, D].
        labels: The classes.
        targets: int32 [n], or int8 [n, classes] for multi-label, each with a label.
        places: uint64 [n]; images with the same place and class are in one fold.

    Returns:
        float32 [n, classes], the score of each class, 0 to 1; NaN in rows of which no probe could be asked.

    Raises:
        InvalidRecipe: If there is too little memory for the weights.
        RunFailed: If the loss does not stay finite.
    """
    moments = RunningMoments(_AS_THEY_ARE)
    for block in _blocks(vectors):
        moments.add(block)
    rows = Examples(lambda: _blocks(vectors), targets, np.ones(len(vectors), np.float32), places)
    start = start_head(rows, labels, vectors.shape[1], moments.moments(), _AS_THEY_ARE)
    sample = sampled(rows, SAMPLE_ROWS)
    pairs = folded(sample, FOLDS)
    scores = np.full((len(vectors), len(labels.classes)), np.nan, np.float32)
    if not pairs:
        return scores
    with single_threaded_blas():
        curvature = curvature_of(sample, start.moments, start.kind, frequencies_of(rows, labels))
        task = ProbeTask(start, rows, None, sample, pairs, curvature)
        best = min(fit_path(task, None), key=lambda trained: trained.judged.loss)
        if task.share < 1:
            pairs = folded(rows, FOLDS)
            best = fit_pairs(pairs, curvature, task.tolerance, best.l2 * task.share**0.5, best.minima)
    for (_, own), minimum in zip(pairs, best.minima, strict=True):
        left_out = np.flatnonzero(own.weights)
        blocks = (vectors[part] for part in _blocks(left_out))
        scores[left_out] = labels.scores(minimum.head.predict(blocks, len(left_out)))
    return scores


def _blocks(values: np.ndarray) -> Iterator[np.ndarray]:
    return (values[start : start + _BLOCK] for start in range(0, len(values), _BLOCK))
