"""The rows of a linear probe: those of a split, a sample of them, and folds."""

from collections.abc import Iterable

import numpy as np

from schemas.classifiers import LabelKind, LabelSet
from transforms.linear import Examples, reduced_maps
from transforms.training.feature_rows import SplitRows
from transforms.training.targets import LabelledImages


def examples_of(split: SplitRows, images: LabelledImages, map_reduction: str, by_class: np.ndarray | None) -> Examples:
    """Returns the rows of a split. Feature maps that are held are reduced once, else in each pass.

    Args:
        split: The split.
        images: The targets.
        map_reduction: How feature maps become vectors; see `Recipe`.
        by_class: The weight of a row by its class.
    """

    def vectors() -> Iterable[np.ndarray]:
        return (reduced_maps(block, map_reduction) for block in split.blocks())

    is_reduced = len(split.rows.shape) == 3 and map_reduction != "flatten"
    reduced = list(vectors()) if split.held is not None and is_reduced else None
    return Examples(
        vectors=vectors if reduced is None else lambda: reduced,
        targets=images.targets[split.numbers],
        weights=images.weights(split.numbers, by_class),
        places=images.places[split.numbers],
    )


def stratified_rows(targets: np.ndarray, places: np.ndarray, most: int) -> np.ndarray:
    """Returns int64 [most], the numbers of rows, ascending, among which each class has the same share as among all.

    Args:
        targets: int32 [n], or int8 [n, classes] for multi-label, which is drawn from without regard to classes.
        places: uint64 [n], which decide what is drawn of a class.
        most: At most n.
    """
    order = _by_class_and_place(targets, places)
    return np.sort(order[np.arange(most) * len(order) // most])


def sampled(examples: Examples, most: int) -> Examples:
    """Returns the same share of each class, in memory; all rows where they are no more than `most`."""
    if len(examples) <= most:
        return examples
    chosen = stratified_rows(examples.targets, examples.places, most)
    taken, done = [], 0
    for block in examples.vectors():
        first, last = np.searchsorted(chosen, [done, done + len(block)])
        taken.append(block[chosen[first:last] - done])
        done += len(block)
    vectors = np.concatenate(taken)
    return Examples(
        vectors=lambda: (vectors,),
        targets=examples.targets[chosen],
        weights=examples.weights[chosen],
        places=examples.places[chosen],
    )


def folded(examples: Examples, folds: int) -> list[tuple[Examples, Examples]]:
    """Divides rows into folds of the same share of each class, identical images and their copies in one.

    Returns:
        For each fold the other rows, and its own, without those of classes that the others lack; none for a fold that
        is left without rows.
    """
    order = _by_class_and_place(examples.targets, examples.places)
    places = examples.places[order]
    different = places[1:] != places[:-1]
    if examples.targets.ndim == 1:
        targets = examples.targets[order]
        different |= targets[1:] != targets[:-1]
    fold = np.empty(len(order), np.int64)
    fold[order] = np.append(0, np.cumsum(different)) % folds
    pairs = [(examples.only(fold != number), _judged(examples, fold == number)) for number in range(folds)]
    return [pair for pair in pairs if all(rows.weights.any() for rows in pair)]


def frequencies_of(examples: Examples, labels: LabelSet) -> np.ndarray:
    """Returns float64 [outputs], the weighted share of rows of the class of each output, above 0 and below 1.

    Half a row is added to each class (Krichevsky and Trofimov, 1981), so that none has the frequency 0.
    """
    classes = len(labels.classes)
    if labels.kind == LabelKind.MULTI_LABEL:
        shares: np.ndarray = (examples.weights @ examples.targets + 0.5) / (examples.weights.sum() + 1.0)
        return shares
    counts = np.bincount(examples.targets, examples.weights, classes) + 0.5
    frequencies: np.ndarray = counts / counts.sum()
    return frequencies[1:] if labels.kind == LabelKind.BINARY else frequencies


def _judged(examples: Examples, rows: np.ndarray) -> Examples:
    if examples.targets.ndim == 1:
        known = np.zeros(examples.targets.max() + 1, bool)
        known[examples.targets[~rows]] = True
        rows = rows & known[examples.targets]
    return examples.only(rows)


def _by_class_and_place(targets: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Returns int64 [n], the order of rows by class, and by place within a class; by place alone for multi-label."""
    return np.lexsort((places, targets) if targets.ndim == 1 else (places,))
