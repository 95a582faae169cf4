"""What a sweep prints and writes: its trials, the best first."""

import csv
import functools
import io
from collections.abc import Sequence
from typing import Final

from pipelines.console.padded_lines import padded_line
from schemas.delta import Scan
from schemas.errors import printable, spreadsheet_text
from schemas.measures import Measures
from schemas.store import FeatureStore
from transforms.evaluation import difference
from transforms.training import Trial

_NARROWEST: Final = 15


def trial_line(trial: Trial, swept: Sequence[str], *, with_source: bool) -> str:
    """Returns what is printed of a trial once it is done, conv base, layer and the swept fields first."""
    recipe = trial.recipe.to_dict()
    tried = [printable(f"{trial.store.spec.conv_base} {trial.layer}")] if with_source else []
    tried += [f"{name} {_cell(recipe[name])}" for name in swept]
    return (
        f"  {', '.join(tried)}: validation accuracy {trial.validation_accuracy:.4f}, loss {trial.validation_loss:.4f}, "
        f"{trial.epochs} {'passes' if trial.recipe.is_probe else 'epochs'}, {trial.seconds:.1f} s"
    )


def leaderboard_text(trials: Sequence[Trial]) -> str:
    """Returns the leaderboard for people: only what differs, the best first."""
    rows = [_fields(trial) for trial in trials]
    swept = [name for name in rows[0] if any(row[name] != rows[0][name] for row in rows)]
    heads = ("accuracy", "loss", "p", "epochs", "seconds", *swept)
    figures = [
        (
            f"{trial.validation_accuracy:.4f}",
            f"{trial.validation_loss:.4f}",
            _p(trials[0], trial),
            str(trial.epochs),
            f"{trial.seconds:.1f}",
            *(_cell(row[name]) for name in swept),
        )
        for trial, row in zip(trials, rows, strict=True)
    ]
    table = [heads, *figures]
    widths = [max(_NARROWEST, 2 + max(map(len, column))) for column in zip(*table, strict=True)]
    lines = [f"  {padded_line(cells, widths)}" for cells in table]
    said = "  p: the chance that one as good as the first differs from it by as much or more (McNemar)"
    return "\n".join(["Leaderboard, by validation; the first is kept:", *lines, said])


def leaderboard_csv(trials: Sequence[Trial]) -> str:
    """Returns the leaderboard as CSV, every field of the recipes in it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    heads = ["rank", "validation_accuracy", "validation_loss", "mcnemar_p", "epochs", "seconds"]
    writer.writerow([*heads, *_fields(trials[0])])
    for rank, trial in enumerate(trials, 1):
        figures = [trial.validation_accuracy, trial.validation_loss, _p(trials[0], trial)]
        figures += [trial.epochs, round(trial.seconds, 3)]
        writer.writerow([rank, *figures, *(spreadsheet_text(_cell(value)) for value in _fields(trial).values())])
    return text.getvalue()


def _fields(trial: Trial) -> dict[str, object]:
    """Returns what a trial tried, by the names of columns."""
    return {
        "store": trial.store.uri,
        "conv_base": trial.store.spec.conv_base,
        "layer": trial.layer,
        "features": trial.features,
        "ms_per_image": _milliseconds_per_image(trial.store),
        **trial.recipe.to_dict(),
    }


@functools.cache
def _milliseconds_per_image(store: FeatureStore) -> str:
    """Returns the milliseconds of decoding and conv base an image, by all runs; those of threads at once add up."""
    runs = Scan(store.runs(), ["extracted", "metrics"]).to_arrow().to_pylist()
    costs = [(run["extracted"], Measures.from_json(run["metrics"])) for run in runs if run["metrics"]]
    images = sum(extracted for extracted, _ in costs)
    seconds = sum(measures.decode_seconds + measures.infer_seconds for _, measures in costs)
    return f"{1000 * seconds / images:.1f}" if images else ""


def _p(first: Trial, trial: Trial) -> str:
    """Returns the p-value of the difference between a trial and the first; nothing where there is none."""
    p = difference(first, trial)
    return "" if p is None else f"{p:.3g}"


def _cell(value: object) -> str:
    if isinstance(value, list):
        return "+".join(map(str, value)) or "none"
    return "auto" if value is None else str(value)
