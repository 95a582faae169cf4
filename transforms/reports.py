"""The report on a classifier: one HTML page that needs nothing beside it."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from schemas.classifiers import ModelCard
from schemas.labels import LabelKind
from transforms.before_and_after import before_and_after
from transforms.card_text import card_lines
from transforms.charts import COLOURS, Axes, Line, line_chart, matrix_chart, ticks
from transforms.evaluation import Evaluation
from transforms.metrics import ClassMetrics, Curve
from transforms.mistakes import Mistake
from transforms.report_blocks import figures, number, section, table
from transforms.splitting import PARTS

# More classes than these are no longer told apart in a diagram.
_CLASSES_IN_MATRIX: Final = 20
_PAIRS_TOLD: Final = 20
_STYLE_FILE: Final = Path(__file__).with_name("report.css")


def report_html(card: ModelCard, evaluation: Evaluation, history: Mapping[str, Sequence[float]]) -> str:
    """Returns the page.

    Args:
        card: What is known of the classifier.
        evaluation: How good it is.
        history: Loss and accuracy an epoch, by Keras's names.
    """
    judged = evaluation.judged.word
    title = f"Classifier on {card.spec.conv_base}"
    body = [
        f"<header><h1>{html.escape(title)}</h1><p>{_lead(card, evaluation)}</p></header>",
        _figures(evaluation),
        before_and_after(card, evaluation),
        section("Learning curves", _learning_curves(card, history), _epochs_note(card)),
        section(f"Confusion on the {judged} part", _confusion(evaluation)),
        section(f"Discrimination on the {judged} part", _discrimination(evaluation)),
        section(f"Calibration on the {judged} part", _calibration(evaluation), _calibration_note(evaluation)),
        section(f"Classes on the {judged} part", _class_table(evaluation)),
        section(f"Worst mistakes on the {judged} part", _mistakes(evaluation.mistakes)),
        section("Model card", _card_table(card)),
    ]
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE_FILE.read_text()}</style>"
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body><main>{"".join(body)}</main></body></html>\n'


def _lead(card: ModelCard, evaluation: Evaluation) -> str:
    labels = evaluation.labels
    shown = ", ".join(labels.classes[:8]) + (" …" if len(labels.classes) > 8 else "")
    return (
        f"{len(labels.classes)} classes ({labels.kind}): {html.escape(shown)}. Trained on layer "
        f"<code>{html.escape(card.layer)}</code>, table version {card.table_version}, {html.escape(card.created_at)}. "
        f"Model <code>{card.model_id}</code>."
    )


def _figures(evaluation: Evaluation) -> str:
    rows = []
    for part in PARTS:
        metrics = evaluation.by_part[part]
        if metrics is not None:
            rows.append(
                f"<tr><th>{part.word}</th><td>{metrics.images:,}</td><td><strong>{metrics.accuracy:.4f}</strong></td>"
                f"<td>{number(metrics.auc)}</td><td>{metrics.log_loss:.4f}</td>"
                f"<td>{metrics.calibration_error:.4f}</td></tr>"
            )
    several = evaluation.labels.kind == LabelKind.MULTI_LABEL
    accuracy = "accuracy (image, class)" if several else "accuracy"
    heads = ("part", "images", accuracy, "AUC", "log loss", "calibration error")
    return table(heads, rows)


def _learning_curves(card: ModelCard, history: Mapping[str, Sequence[float]]) -> str:
    epochs = range(1, card.epochs + 1)
    charts = []
    for name, corner in (("loss", "top"), ("accuracy", "bottom")):
        lines = [Line("training", epochs, history[name]), Line("validation", epochs, history[f"val_{name}"])]
        values = [*history[name], *history[f"val_{name}"]]
        y_range = _rounded(min(values), max(values))
        x_range = (1.0, float(max(card.epochs, 2)))
        axes = Axes("epoch", name, x_range, y_range)
        charts.append(line_chart(lines, axes, mark_x=max(card.best_epoch, 1), legend=corner))
    return figures(*charts)


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


def _confusion(evaluation: Evaluation) -> str:
    names, matrix = evaluation.labels.classes, evaluation.confusion
    if matrix is None:
        return "<p>An image can have several labels here; the table of classes tells how each of them is found.</p>"
    if len(names) <= _CLASSES_IN_MATRIX:
        return figures(matrix_chart(matrix, names))
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    worst = np.argsort(-wrong, axis=None, kind="stable")[:_PAIRS_TOLD]
    rows = [
        f"<tr><th>{html.escape(names[row])}</th><td>{html.escape(names[column])}</td>"
        f"<td>{wrong[row, column]:,}</td></tr>"
        for row, column in zip(*np.unravel_index(worst, wrong.shape), strict=True)
        if wrong[row, column]
    ]
    return table(("true", "predicted", "images"), rows)


def _discrimination(evaluation: Evaluation) -> str:
    unit = (0.0, 1.0)
    roc = line_chart(
        _lines(evaluation.roc), Axes("false positive rate", "true positive rate", unit, unit), diagonal=True
    )
    precision = line_chart(_lines(evaluation.precision_recall), Axes("recall", "precision", unit, unit))
    return figures(roc, precision)


def _lines(curves: Sequence[Curve]) -> list[Line]:
    """Returns the curves, or the worst of them where there are too many."""
    shown = sorted(curves, key=lambda curve: curve.area)[:COLOURS]
    return [Line(f"{_short(curve.name)} (area {curve.area:.3f})", curve.x, curve.y) for curve in shown]


def _short(name: str) -> str:
    return name if len(name) <= 18 else name[:17] + "…"


def _calibration(evaluation: Evaluation) -> str:
    bins = evaluation.calibration
    line = Line(
        "this classifier", [found.confidence for found in bins], [found.frequency for found in bins], points=True
    )
    axes = Axes("mean score", "share that is right", (0.0, 1.0), (0.0, 1.0))
    rows = [
        f"<tr><th>{found.confidence:.3f}</th><td>{found.frequency:.3f}</td><td>{found.predictions:,}</td></tr>"
        for found in bins
    ]
    counts = table(("mean score", "share that is right", "predictions"), rows)
    return f'<div class="charts"><figure>{line_chart([line], axes, diagonal=True)}</figure>{counts}</div>'


def _calibration_note(evaluation: Evaluation) -> str:
    scored = {
        LabelKind.BINARY: f"the score of '{html.escape(evaluation.labels.classes[1])}'",
        LabelKind.MULTI_CLASS: "the score of the most probable class",
        LabelKind.MULTI_LABEL: "the score of every class",
    }[evaluation.labels.kind]
    return f"Ten bins of {scored}; on the dashed line a score is the probability that it claims to be."


def _class_table(evaluation: Evaluation) -> str:
    metrics = evaluation.by_part[evaluation.judged]
    rows = [_class_row(row) for row in metrics.classes] if metrics else []
    return table(("class", "images", "precision", "recall", "F1", "AUC", "average precision"), rows)


def _class_row(row: ClassMetrics) -> str:
    numbers = (row.precision, row.recall, row.f1, row.auc, row.average_precision)
    cells = "".join(f"<td>{number(value)}</td>" for value in numbers)
    return f"<tr><th>{html.escape(row.name)}</th><td>{row.images:,}</td>{cells}</tr>"


def _mistakes(mistakes: Sequence[Mistake]) -> str:
    if not mistakes:
        return "<p>There is none.</p>"
    return f'<div class="mistakes">{"".join(map(_mistake, mistakes))}</div>'


def _mistake(mistake: Mistake) -> str:
    name = html.escape(mistake.uri.rpartition("/")[2])
    picture = (
        f'<img src="data:image/jpeg;base64,{mistake.thumbnail}" alt="{name}" width="128" height="128">'
        if mistake.thumbnail
        else '<div class="gone">cannot be read</div>'
    )
    true, predicted = (html.escape(", ".join(names) or "nothing") for names in (mistake.true, mistake.predicted))
    caption = (
        f"is <strong>{true}</strong>, said <strong>{predicted}</strong><br>"
        f"score of {html.escape(mistake.decisive)} {mistake.score:.4f}<br>{name}"
    )
    return f'<figure title="{html.escape(mistake.uri)}">{picture}<figcaption>{caption}</figcaption></figure>'


def _card_table(card: ModelCard) -> str:
    rows = [f"<tr><th>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>" for name, text in card_lines(card)]
    return f'<div class="scroll"><table class="card"><tbody>{"".join(rows)}</tbody></table></div>'
