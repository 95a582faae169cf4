"""What a sweep prints and writes: its trials, the best first."""

import csv
import dataclasses
import io
from collections.abc import Sequence

from pipelines.console.padded_lines import padded_line
from transforms.training import Trial


def trial_line(trial: Trial, swept: Sequence[str]) -> str:
    """Returns what is printed of a trial once it is done, the swept fields first."""
    recipe = trial.recipe.to_dict()
    tried = ", ".join(f"{name} {_cell(recipe[name])}" for name in swept)
    return (
        f"  {tried}: validation accuracy {trial.validation_accuracy:.4f}, loss {trial.validation_loss:.4f}, "
        f"{trial.epochs} epochs, {trial.seconds:.1f} s"
    )


def leaderboard_text(trials: Sequence[Trial]) -> str:
    """Returns the leaderboard for people: only the fields that differ, the best first."""
    rows = [trial.recipe.to_dict() for trial in trials]
    swept = [name for name in rows[0] if any(row[name] != rows[0][name] for row in rows)]
    lines = ["Leaderboard, by validation; the first is kept:"]
    heads = ("accuracy", "loss", "epochs", "seconds", *swept)
    widths = [15] * len(heads)
    lines.append("  " + padded_line(heads, widths))
    for trial, row in zip(trials, rows, strict=True):
        figures = (
            f"{trial.validation_accuracy:.4f}",
            f"{trial.validation_loss:.4f}",
            str(trial.epochs),
            trial.seconds,
            *(_cell(row[name]) for name in swept),
        )
        lines.append("  " + padded_line(figures, widths))
    return "\n".join(lines)


def leaderboard_csv(trials: Sequence[Trial]) -> str:
    """Returns the leaderboard as CSV, every field of the recipes in it."""
    text = io.StringIO()
    fields = [field.name for field in dataclasses.fields(trials[0].recipe)]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["rank", "validation_accuracy", "validation_loss", "epochs", "seconds", *fields])
    for rank, trial in enumerate(trials, 1):
        recipe = trial.recipe.to_dict()
        figures = [trial.validation_accuracy, trial.validation_loss, trial.epochs, round(trial.seconds, 3)]
        writer.writerow([rank, *figures, *(_cell(recipe[name]) for name in fields)])
    return text.getvalue()


def _cell(value: object) -> str:
    if isinstance(value, list):
        return "+".join(map(str, value)) or "none"
    return "auto" if value is None else str(value)
