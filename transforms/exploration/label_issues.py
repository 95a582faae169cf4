"""Likely wrong labels, by confident learning (Northcutt, Jiang and Chuang, JAIR 70, 2021).

A class is there with confidence where its score, given by a classifier that has not seen the image, is at least the
mean score of the class among the images that are labelled with it. Counted by label and confident class, and scaled to
all images of the label, that says how many images of each label are rather of each other class (their equations 1 to
3). So many are taken: those whose score of the other class exceeds that of the label most (prune by noise rate, 3.2).
"""

import dataclasses

import numpy as np
import pyarrow as pa

from schemas.classifiers import LabelKind, LabelSet


@dataclasses.dataclass(frozen=True, eq=False)
class LabelIssues:
    """Images whose labels are likely wrong, the likeliest first.

    Attributes:
        rows: int64 [m].
        suggested: Targets of [m], as they rather are; see `LabelSet.targets`.
        margins: float32 [m], the score of the class that is rather there less that of the label, above 0 to 1; for
            multi-label, of the class of which that is most.
    """

    rows: np.ndarray
    suggested: np.ndarray
    margins: np.ndarray


def find_label_issues(labels: LabelSet, targets: np.ndarray, scores: np.ndarray) -> LabelIssues:
    """Finds labels that are likely wrong.

    Args:
        labels: The classes.
        targets: int32 [n], or int8 [n, classes] for multi-label; see `LabelSet.targets`.
        scores: float32 [n, classes], 0 to 1, by classifiers that have not seen the image; NaN where there is none.
    """
    if labels.kind == LabelKind.MULTI_LABEL:
        return _of_several_labels(targets, scores)
    suggested, margins = _confident(targets, scores)
    rows = np.flatnonzero(margins > 0)
    rows = rows[np.argsort(-margins[rows], kind="stable")]
    return LabelIssues(rows, suggested[rows], margins[rows])


def issues_table(uris: pa.ChunkedArray, labels: LabelSet, targets: np.ndarray, issues: LabelIssues) -> pa.Table:
    """Returns a row for each image: `uri`, `label`, `suggested` (texts, or lists for multi-label) and `margin`."""
    return pa.table(
        {
            "uri": uris.take(pa.array(issues.rows, pa.int64())),
            "label": names_of(labels, targets[issues.rows]),
            "suggested": names_of(labels, issues.suggested),
            "margin": pa.array(issues.margins, pa.float32()),
        }
    )


def names_of(labels: LabelSet, targets: np.ndarray) -> pa.Array:
    """Returns the names of targets: string [n], or list<string> [n] for multi-label; null where there is no label."""
    if labels.kind == LabelKind.MULTI_LABEL:
        lists = [
            None if (row < 0).any() else [labels.classes[index] for index in np.flatnonzero(row)] for row in targets
        ]
        return pa.array(lists, pa.list_(pa.string()))
    return pa.array(labels.classes, pa.string()).take(pa.array(targets, mask=targets < 0))


def _confident(targets: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns int64 [n], the class that is rather there, and float32 [n], its margin; 0 where there is no doubt."""
    classes, number = scores.shape[1], np.arange(len(targets))
    own = scores[number, targets]
    known = np.isfinite(own)
    joint = _confident_joint(targets[known], scores[known])
    rather, margins = targets.astype(np.int64), np.zeros(len(targets), np.float32)
    labelled = np.bincount(targets[known], minlength=classes)
    counts = np.rint(joint * (labelled / np.maximum(joint.sum(axis=1), 1))[:, None]).astype(np.int64)
    np.fill_diagonal(counts, 0)
    rows_of = np.split(np.argsort(np.where(known, targets, classes), kind="stable"), np.cumsum(labelled))
    for label, other in np.argwhere(counts):
        rows = rows_of[label]
        further = scores[rows, other] - own[rows]
        most = np.argsort(-further, kind="stable")[: counts[label, other]]
        rows, further = rows[most], further[most]
        better = further > margins[rows]
        rather[rows[better]], margins[rows[better]] = other, further[better]
    return rather, margins


def _confident_joint(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Returns int64 [classes, classes]: how many images of each label have each class with confidence."""
    classes, number = scores.shape[1], np.arange(len(targets))
    sums = np.bincount(targets, scores[number, targets], classes)
    counts = np.bincount(targets, minlength=classes)
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf).astype(np.float32)
    confident = np.where(scores >= thresholds, scores, -1)
    best = confident.argmax(axis=1)
    there = confident[number, best] >= 0
    return np.bincount(targets[there] * classes + best[there], minlength=classes**2).reshape(classes, classes)


def _of_several_labels(targets: np.ndarray, scores: np.ndarray) -> LabelIssues:
    """Asks of each class alone whether it is there."""
    margins = np.zeros(scores.shape, np.float32)
    for index in range(scores.shape[1]):
        there = targets[:, index].astype(np.int64)
        if 0 < there.sum() < len(there):
            _, margins[:, index] = _confident(there, np.stack([1 - scores[:, index], scores[:, index]], axis=1))
    most = margins.max(axis=1)
    rows = np.flatnonzero(most > 0)
    rows = rows[np.argsort(-most[rows], kind="stable")]
    return LabelIssues(rows, targets[rows] ^ (margins[rows] > 0), most[rows])
