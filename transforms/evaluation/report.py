"""The report on a classifier: one HTML page that needs nothing beside it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from schemas.classifiers import SPLITS, LabelKind, ModelCard
from transforms.evaluation.card_text import card_lines
from transforms.evaluation.charts import COLOURS, Axes, Line, line_chart, matrix_chart, ticks
from transforms.evaluation.evaluation import Evaluation
from transforms.evaluation.metrics import Curve
from transforms.evaluation.templates import render

if TYPE_CHECKING:
    import markupsafe

# More classes than these are no longer distinguished in a diagram.
_CLASSES_IN_MATRIX: Final = 20
_PAIRS_SHOWN: Final = 20
_UNIT: Final = (0.0, 1.0)


def report_html(card: ModelCard, evaluation: Evaluation, history: Mapping[str, Sequence[float]]) -> str:
    """Returns the page.

    Args:
        card: What is known of the classifier.
        evaluation: How good it is.
        history: Loss and accuracy an epoch, by Keras's names.
    """
    judged = evaluation.by_split[evaluation.judged]
    return render(
        "report.html.j2",
        card=card,
        card_lines=card_lines(card),
        evaluation=evaluation,
        by_split=[(split, evaluation.by_split[split]) for split in SPLITS if evaluation.by_split[split] is not None],
        classes=judged.classes if judged else (),
        learning_curves=_learning_curves(card, history),
        epochs_note=_epochs_note(card),
        confusion_matrix=_confusion_matrix(evaluation),
        confused_pairs=_confused_pairs(evaluation),
        roc=line_chart(
            _lines(evaluation.roc), Axes("false positive rate", "true positive rate", _UNIT, _UNIT), diagonal=True
        ),
        precision_recall=line_chart(_lines(evaluation.precision_recall), Axes("recall", "precision", _UNIT, _UNIT)),
        calibration=_calibration(evaluation),
        calibration_note=_calibration_note(evaluation),
    )


def _learning_curves(card: ModelCard, history: Mapping[str, Sequence[float]]) -> "Iterator[markupsafe.Markup]":
    epochs = range(1, card.epochs + 1)
    for name, corner in (("loss", "top"), ("accuracy", "bottom")):
        lines = [Line("training", epochs, history[name]), Line("validation", epochs, history[f"val_{name}"])]
        values = [*history[name], *history[f"val_{name}"]]
        axes = Axes("epoch", name, (1.0, float(max(card.epochs, 2))), _rounded(min(values), max(values)))
        yield line_chart(lines, axes, mark_x=max(card.best_epoch, 1), legend=corner)


def _epochs_note(card: ModelCard) -> str:
    if not card.best_epoch:
        return "No epoch had a lower validation loss than the start, whose weights were kept."
    return (
        f"The weights of epoch {card.best_epoch} of {card.epochs} (dashed) were kept. "
        "Training figures are taken while dropout is on and the weights move, so that they can lie below those of "
        "validation."
    )


def _rounded(least: float, greatest: float) -> tuple[float, float]:
    """Returns bounds on round numbers that hold both values."""
    if greatest - least < 1e-6:
        return least - 0.5, greatest + 0.5
    steps = ticks(least, greatest)
    step = steps[1] - steps[0] if len(steps) > 1 else greatest - least
    return float(np.floor(least / step) * step), float(np.ceil(greatest / step) * step)


def _confusion_matrix(evaluation: Evaluation) -> "markupsafe.Markup | None":
    names = evaluation.labels.classes
    if evaluation.confusion is None or len(names) > _CLASSES_IN_MATRIX:
        return None
    return matrix_chart(evaluation.confusion, names)


def _confused_pairs(evaluation: Evaluation) -> Iterator[tuple[str, str, int]]:
    """Yields the pairs of true and predicted class that are confused most often, with the number of images."""
    if evaluation.confusion is None:
        return
    names, wrong = evaluation.labels.classes, evaluation.confusion.copy()
    np.fill_diagonal(wrong, 0)
    worst = np.argsort(-wrong, axis=None, kind="stable")[:_PAIRS_SHOWN]
    for row, column in zip(*np.unravel_index(worst, wrong.shape), strict=True):
        if wrong[row, column]:
            yield names[row], names[column], int(wrong[row, column])


def _lines(curves: Sequence[Curve]) -> list[Line]:
    """Returns the curves, or the worst of them where there are too many."""
    shown = sorted(curves, key=lambda curve: curve.area)[:COLOURS]
    return [Line(f"{_short(curve.name)} (area {curve.area:.3f})", curve.x, curve.y) for curve in shown]


def _short(name: str) -> str:
    return name if len(name) <= 18 else name[:17] + "…"


def _calibration(evaluation: Evaluation) -> "markupsafe.Markup":
    scores = [found.confidence for found in evaluation.calibration]
    shares = [found.frequency for found in evaluation.calibration]
    axes = Axes("mean score", "share that is right", _UNIT, _UNIT)
    return line_chart([Line("this classifier", scores, shares, points=True)], axes, diagonal=True)


def _calibration_note(evaluation: Evaluation) -> str:
    scored = {
        LabelKind.BINARY: f"the score of '{evaluation.labels.classes[1]}'",
        LabelKind.MULTI_CLASS: "the score of the most probable class",
        LabelKind.MULTI_LABEL: "the score of every class",
    }[evaluation.labels.kind]
    return f"Ten bins of {scored}; on the dashed line a score is the probability that it claims to be."
