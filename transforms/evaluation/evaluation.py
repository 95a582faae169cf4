"""Evaluation: the metrics, curves and mistakes of a trained classifier."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from schemas.classifiers import SPLITS, LabelKind, LabelSet, Recipe, Split
from transforms.evaluation.leaderboard import Compared, leaderboard
from transforms.evaluation.learning_curve import LearningPoint, learning_curve
from transforms.evaluation.metrics import (
    CalibrationBin,
    Curve,
    SplitMetrics,
    calibration_bins,
    confused_pairs,
    confusion_matrix,
    precision_recall_curves,
    roc_curves,
    split_metrics,
)
from transforms.evaluation.mistakes import Mistake, PictureOf, small_pictures, worst_mistakes
from transforms.training import Fitted, TrainingData, Trial, predict_split, stratified_rows

MISTAKES_SHOWN: Final = 24
_PAIRS_SHOWN: Final = 20
# A split with more scores than these, one an image and class, is judged by a sample of it.
MOST_SCORES: Final = 20_000_000
# With more classes there is no confusion matrix, which grows with their square.
_MOST_IN_MATRIX: Final = 1000


@dataclasses.dataclass(frozen=True)
class JudgedSplit:
    """What is told of one split besides its metrics.

    Attributes:
        split: The split.
        confusion: int64 [classes, classes], true by predicted; None for multi-label, and for more than 1,000 classes.
        confused: Pairs of true and predicted class that are confused most often, and the images; none for multi-label.
        roc: ROC curves.
        precision_recall: Precision–recall curves.
        calibration: Scores against frequencies.
        mistakes: The worst mistakes, without pictures until the evaluation is `illustrated`.
    """

    split: Split
    confusion: np.ndarray | None
    confused: Sequence[tuple[str, str, int]]
    roc: Sequence[Curve]
    precision_recall: Sequence[Curve]
    calibration: Sequence[CalibrationBin]
    mistakes: Sequence[Mistake]


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """How good a classifier is.

    Attributes:
        labels: The classes.
        by_split: The metrics of each split; None for one without images.
        judged: What is told of the last split that has images.
        learning: How good classifiers are that were trained on less; empty where that was not asked.
        compared: The classifiers of which this is the best; empty where it is the only one.
    """

    labels: LabelSet
    by_split: Mapping[Split, SplitMetrics | None]
    judged: JudgedSplit
    learning: Sequence[LearningPoint] = ()
    compared: Sequence[Compared] = ()

    def summary(self) -> dict[str, float | None]:
        """Returns accuracy, AUC and log loss by split, under names such as `validation_accuracy`."""
        return {
            f"{split.word}_{name}": None if metrics is None else getattr(metrics, name)
            for split, metrics in self.by_split.items()
            for name in ("accuracy", "exact_match", "auc", "log_loss", "calibration_error")
        }

    def to_dict(self) -> dict[str, Any]:
        """Returns all metrics as JSON values: the summary, intervals, and a row a class for each split."""
        splits = {split.word: metrics for split, metrics in self.by_split.items() if metrics is not None}
        confusion = self.judged.confusion
        return {
            **self.summary(),
            "kind": str(self.labels.kind),
            "images": {name: metrics.images for name, metrics in splits.items()},
            "intervals": {
                name: {"accuracy": metrics.accuracy_interval, "auc": metrics.auc_interval}
                for name, metrics in splits.items()
            },
            "classes": {name: [dataclasses.asdict(row) for row in metrics.classes] for name, metrics in splits.items()},
            "learning_curve": [dataclasses.asdict(point) for point in self.learning],
            "confusion": {
                "part": self.judged.split.word,
                "classes": self.labels.classes,
                "true_by_predicted": None if confusion is None else confusion.tolist(),
            },
        }


@dataclasses.dataclass(frozen=True)
class ScoredSplit:
    """What a classifier says of the images of a split.

    Attributes:
        targets: Their targets, as `LabelSet.targets` gives them.
        scores: float32 [n, classes] in 0 to 1.
        uris_of: Returns the URIs of images, by their places in the split, ascending.
    """

    targets: np.ndarray
    scores: np.ndarray
    uris_of: Callable[[np.ndarray], Sequence[str]]


def evaluate(
    fitted: Fitted, data: TrainingData, learning: Recipe | None = None, trials: Sequence[Trial] = ()
) -> Evaluation:
    """Judges a trained head on every split, by the images themselves: augmented copies that it trained on do not count.

    The scores of one split are held at once, even where features are streamed: where there were more than
    `MOST_SCORES`, those of a sample with the same share of each class.

    Args:
        fitted: The head.
        data: What it was trained on.
        learning: A recipe of which a learning curve is wanted.
        trials: What it was compared with, itself included.
    """
    images, labels = data.images, data.images.labels

    def score(split: Split) -> ScoredSplit:
        rows = data.rows.of(split)
        judged = np.flatnonzero(images.are_images[rows.numbers])
        most = max(MOST_SCORES // len(labels.classes), 1)
        if len(judged) > most:
            numbers = rows.numbers[judged]
            judged = judged[stratified_rows(images.targets[numbers], images.places[numbers], most)]
        numbers = rows.numbers[judged]
        if len(judged) == len(rows):
            probabilities = predict_split(fitted.head, rows)
        elif rows.held is None:
            probabilities = predict_split(fitted.head, rows.take(judged))
        else:
            probabilities = predict_split(fitted.head, rows)[judged]
        return ScoredSplit(
            targets=images.targets[numbers],
            scores=labels.scores(probabilities),
            uris_of=lambda places: rows.rows.uris(numbers[places]),
        )

    points = () if learning is None else tuple(learning_curve(learning, data))
    return dataclasses.replace(judge(labels, score), learning=points, compared=leaderboard(trials))


def judge(
    labels: LabelSet,
    score: Callable[[Split], ScoredSplit],
    splits: Sequence[Split] = SPLITS,
) -> Evaluation:
    """Judges a classifier on every split, of which the scores of one are held at a time.

    Args:
        labels: The classes.
        score: Returns what the classifier says of a split. It is called once a split, the last one first.
        splits: The splits; at least one of them has images.
    """
    by_split: dict[Split, SplitMetrics | None] = {}
    judged: list[JudgedSplit] = []

    def add(split: Split) -> None:
        scored = score(split)
        by_split[split] = split_metrics(labels, scored.targets, scored.scores)
        if len(scored.targets) and not judged:
            judged.append(_judged_split(labels, split, scored))

    for split in reversed(splits):
        add(split)
    return Evaluation(labels=labels, by_split={split: by_split[split] for split in splits}, judged=judged[0])


def _judged_split(labels: LabelSet, split: Split, scored: ScoredSplit) -> JudgedSplit:
    targets, scores = scored.targets, scored.scores
    several = labels.kind == LabelKind.MULTI_LABEL
    no_matrix = several or len(labels.classes) > _MOST_IN_MATRIX
    return JudgedSplit(
        split=split,
        confusion=None if no_matrix else confusion_matrix(labels, targets, scores),
        confused=[] if several else confused_pairs(labels, targets, scores, _PAIRS_SHOWN),
        roc=roc_curves(labels, targets, scores),
        precision_recall=precision_recall_curves(labels, targets, scores),
        calibration=calibration_bins(labels, targets, scores),
        mistakes=worst_mistakes(labels, scored.uris_of, targets, scores, MISTAKES_SHOWN),
    )


def illustrated(evaluation: Evaluation, picture_of: PictureOf) -> Evaluation:
    """Returns an evaluation with small pictures of its mistakes.

    Args:
        evaluation: How good a classifier is.
        picture_of: Returns the small picture of an image, if there is one.
    """
    judged = evaluation.judged
    pictures = small_pictures([mistake.uri for mistake in judged.mistakes], picture_of)
    pairs = zip(judged.mistakes, pictures, strict=True)
    mistakes = [dataclasses.replace(mistake, thumbnail=picture) for mistake, picture in pairs]
    return dataclasses.replace(evaluation, judged=dataclasses.replace(judged, mistakes=mistakes))
