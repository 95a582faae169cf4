"""The report on a classifier: one HTML page that needs nothing beside it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from schemas.classifiers import L2, LabelKind, ModelCard
from transforms.evaluation.card_text import card_lines
from transforms.evaluation.charts import COLOURS, Axes, Dot, Line, dot_chart, line_chart, matrix_chart, ticks
from transforms.evaluation.evaluation import Evaluation
from transforms.evaluation.metrics import CalibrationBin, Curve
from transforms.evaluation.templates import render

if TYPE_CHECKING:
    import markupsafe

# More classes than these are no longer distinguished in a diagram.
_CLASSES_IN_MATRIX: Final = 20
# The most classifiers in a chart that compares them: the best ones.
_COMPARED: Final = 20
_UNIT: Final = (0.0, 1.0)
_MORE_LABELS_NOTE: Final = (
    "Judged by the %s split, after training on 1 to 100 %% of the training split, five draws each (in the band are all "
    "of them). A curve that still falls or rises at its end says that more labels would help."
)
_COMPARED_NOTE: Final = (
    "The first was kept. Lines through the dots are intervals of 95 %. p is the chance that one as good as the first "
    "differs from it by as much on these images, or by more (McNemar)."
)
# Where an L2 of 0 is drawn.
_LEAST_L2: Final = 1e-10
# Labels have six digits: values whose difference is a smaller share of them are drawn as equal.
_SAME: Final = 1e-4
_ANY: Final = (-math.inf, math.inf)
# Between which values each figure of a chart can be.
_POSSIBLE: Final = {"loss": (0.0, math.inf), "log loss": (0.0, math.inf), "accuracy": _UNIT}


def report_html(card: ModelCard, evaluation: Evaluation, history: Mapping[str, Sequence[float]]) -> str:
    """Returns the page.

    Args:
        card: What is known of the classifier.
        evaluation: How good it is.
        history: Loss and accuracy an epoch, by Keras's names, or what was found with each L2.
    """
    return render(
        "report.html.j2",
        card=card,
        card_lines=card_lines(card),
        **judged_parts(evaluation),
        by_split=[
            (split.word, card.images[split.word], metrics)
            for split, metrics in evaluation.by_split.items()
            if metrics is not None
        ],
        curves_title="The choice of L2" if L2 in history else "Learning curves",
        learning_curves=_l2_curves(card, history) if L2 in history else _learning_curves(card, history),
        epochs_note=_l2_note(card, history) if L2 in history else _epochs_note(card),
        compared=evaluation.compared,
        compared_note=_COMPARED_NOTE,
        compared_charts=list(_compared(evaluation)),
        more_labels=list(_more_labels(evaluation)),
        more_labels_note=_MORE_LABELS_NOTE % evaluation.judged.split.word,
    )


def judged_parts(evaluation: Evaluation, judged_name: str | None = None) -> dict[str, Any]:
    """Returns what the template `judged.html.j2` names: what is shown of the split that was judged.

    Args:
        evaluation: How good a classifier is.
        judged_name: What the split is called in a sentence; by its own name if None.
    """
    judged = evaluation.judged
    metrics = evaluation.by_split[judged.split]
    return {
        "evaluation": evaluation,
        "judged": judged_name or f"the {judged.split.word} split",
        "classes": metrics.classes if metrics else (),
        "confusion_matrix": _confusion_matrix(evaluation),
        "confused_pairs": judged.confused,
        "roc": line_chart(
            _lines(judged.roc), Axes("false positive rate", "true positive rate", _UNIT, _UNIT), diagonal=True
        ),
        "precision_recall": line_chart(_lines(judged.precision_recall), Axes("recall", "precision", _UNIT, _UNIT)),
        "calibration": _calibration(judged.calibration),
        "calibration_note": _calibration_note(evaluation),
    }


def _learning_curves(card: ModelCard, history: Mapping[str, Sequence[float]]) -> "Iterator[markupsafe.Markup]":
    epochs = range(1, card.epochs + 1)
    for name in ("loss", "accuracy"):
        lines = [Line("training", epochs, history[name]), Line("validation", epochs, history[f"val_{name}"])]
        values = [*history[name], *history[f"val_{name}"]]
        bounds = _rounded(min(values), max(values), _POSSIBLE[name])
        axes = Axes("epoch", name, (1.0, float(max(card.epochs, 2))), bounds)
        yield line_chart(lines, axes, mark_x=max(card.best_epoch, 1))


def _l2_curves(card: ModelCard, history: Mapping[str, Sequence[float]]) -> "Iterator[markupsafe.Markup]":
    """Yields loss and accuracy over L2, a line for the rows of each size that it was tried on."""
    found = {name: np.asarray(values, np.float64) for name, values in history.items()}
    exponents = np.log10(np.maximum(found[L2], _LEAST_L2))
    judges = "folds" if card.folds else "validation"
    for name, columns in (
        ("loss", {"loss": "training", "val_loss": judges}),
        ("accuracy", {"val_accuracy": judges}),
    ):
        lines: list[Line] = []
        for rows in np.unique(found["rows"]):
            order = np.flatnonzero(found["rows"] == rows)
            order = order[np.argsort(exponents[order])]
            lines += [
                Line(f"{text}, {int(rows):,} rows", exponents[order], found[column][order], points=True)
                for column, text in columns.items()
            ]
        values = [value for line in lines for value in line.y]
        bounds = _rounded(float(exponents.min()), float(exponents.max()))
        axes = Axes("log10 of L2", name, bounds, _rounded(min(values), max(values), _POSSIBLE[name]))
        yield line_chart(lines, axes, mark_x=float(exponents[card.best_epoch - 1]))


def _l2_note(card: ModelCard, history: Mapping[str, Sequence[float]]) -> str:
    judges = f"{card.folds} folds of the training split" if card.folds else "the validation split"
    return (
        f"The L2 penalty with the lowest loss on {judges} was kept: {card.recipe['l2']:.3g} (dashed). The fits took "
        f"{int(sum(history['passes'])):,} passes over rows, each for the loss and its gradient."
    )


def _epochs_note(card: ModelCard) -> str:
    if not card.best_epoch:
        return "No epoch had a lower validation loss than the start, whose weights were kept."
    return (
        f"The weights of epoch {card.best_epoch} of {card.epochs} (dashed) were kept. "
        "Training figures are taken while dropout is on and the weights move, so that they can lie below those of "
        "validation."
    )


def _more_labels(evaluation: Evaluation) -> "Iterator[markupsafe.Markup]":
    """Yields log loss and accuracy over the rows that were trained on, means of draws in a band of all of them."""
    points = evaluation.learning
    if not points:
        return
    exponents = [float(np.log10(point.rows)) for point in points]
    for name, draws in (
        ("log loss", [point.log_losses for point in points]),
        ("accuracy", [point.accuracies for point in points]),
    ):
        band = [min(values) for values in draws], [max(values) for values in draws]
        means = [float(np.mean(values)) for values in draws]
        bounds = _rounded(min(band[0]), max(band[1]), _POSSIBLE[name])
        axes = Axes("log10 of training rows", name, _rounded(exponents[0], exponents[-1]), bounds)
        yield line_chart([Line("mean of draws", exponents, means, points=True, band=band)], axes)


def _compared(evaluation: Evaluation) -> "Iterator[markupsafe.Markup]":
    """Yields accuracy, with its interval, and loss of the classifiers that were compared, the best at the top."""
    shown = evaluation.compared[:_COMPARED]
    if not shown:
        return
    for name, dots in (
        ("accuracy", [Dot(_short(each.name, 40), each.accuracy, each.accuracy_interval) for each in shown]),
        ("loss", [Dot(_short(each.name, 40), each.loss) for each in shown]),
    ):
        ends = [end for dot in dots for end in (dot.interval or (dot.value, dot.value))]
        yield dot_chart(dots, f"validation {name}", _rounded(min(ends), max(ends), _POSSIBLE[name]))


def _rounded(least: float, greatest: float, possible: tuple[float, float] = _ANY) -> tuple[float, float]:
    """Returns bounds on round numbers that hold both values; of values that labels could not tell apart, wide ones.

    Args:
        least: The least value.
        greatest: The greatest one.
        possible: Beyond these no value can be, and no bound is.
    """
    largest = max(abs(least), abs(greatest))
    if greatest - least <= _SAME * largest:
        margin = max(0.5, 100 * _SAME * largest)
        low, high = least - margin, greatest + margin
    else:
        steps = ticks(least, greatest)
        step = steps[1] - steps[0] if len(steps) > 1 else greatest - least
        low, high = float(np.floor(least / step + 1e-9) * step), float(np.ceil(greatest / step - 1e-9) * step)
    return max(low, possible[0]), min(high, possible[1])


def _confusion_matrix(evaluation: Evaluation) -> "markupsafe.Markup | None":
    names, matrix = evaluation.labels.classes, evaluation.judged.confusion
    if matrix is None or len(names) > _CLASSES_IN_MATRIX:
        return None
    return matrix_chart(matrix, names)


def _lines(curves: Sequence[Curve]) -> list[Line]:
    """Returns the curves, or the worst of them where there are too many."""
    shown = sorted(curves, key=lambda curve: curve.area)[:COLOURS]
    return [Line(f"{_short(curve.name)} (area {curve.area:.3f})", curve.x, curve.y) for curve in shown]


def _short(name: str, most: int = 18) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _calibration(bins: Sequence[CalibrationBin]) -> "markupsafe.Markup":
    scores = [found.confidence for found in bins]
    shares = [found.frequency for found in bins]
    axes = Axes("mean score", "observed share", _UNIT, _UNIT)
    return line_chart([Line("this classifier", scores, shares, points=True)], axes, diagonal=True)


def _calibration_note(evaluation: Evaluation) -> str:
    scored = {
        LabelKind.BINARY: f"the score of '{evaluation.labels.classes[1]}'",
        LabelKind.MULTI_CLASS: "the score of the most probable class",
        LabelKind.MULTI_LABEL: "the score of every class",
    }[evaluation.labels.kind]
    return f"Ten bins of {scored}; on the dashed line a score is the probability that it claims to be."
