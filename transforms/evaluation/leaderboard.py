"""The leaderboard: the classifiers of a sweep, or of several layers and stores, beside each other."""

import dataclasses
from collections.abc import Sequence

from transforms.evaluation.chance import mcnemar, wilson_interval
from transforms.training import Trial


@dataclasses.dataclass(frozen=True)
class Compared:
    """A classifier beside others, on the same validation images.

    Attributes:
        name: What sets it apart from the others.
        accuracy: Its accuracy, 0 to 1; over folds where these chose L2.
        accuracy_interval: The interval of that, with a confidence of 95 % (Wilson).
        loss: Its loss, likewise.
        features: The numbers in one feature.
        p: The chance that one as good as the best differs from it by as much; None for the best itself.
    """

    name: str
    accuracy: float
    accuracy_interval: tuple[float, float]
    loss: float
    features: int
    p: float | None


def leaderboard(trials: Sequence[Trial]) -> list[Compared]:
    """Returns what was compared, the best first, in the order of the trials; nothing where there is only one."""
    if len(trials) < 2:
        return []
    return [
        Compared(
            name=name,
            accuracy=trial.validation_accuracy,
            accuracy_interval=wilson_interval(trial.validation_accuracy, trial.images),
            loss=trial.validation_loss,
            features=trial.features,
            p=difference(trials[0], trial),
        )
        for name, trial in zip(_names(trials), trials, strict=True)
    ]


def difference(first: Trial, trial: Trial) -> float | None:
    """Returns McNemar's p of a trial and the first; None for the first itself, and without validation images."""
    return None if trial is first or not len(trial.right) else mcnemar(first.right, trial.right)


def _names(trials: Sequence[Trial]) -> list[str]:
    """Returns what sets each trial apart: its store, base and layer, and the fields of the recipe that were swept."""
    short = {trial.store.uri: trial.store.uri.rpartition("/")[2] for trial in trials}
    are_different = len(set(short.values())) == len(short)
    tried = [_fields(trial, short[trial.store.uri] if are_different else trial.store.uri) for trial in trials]
    differing = [name for name in tried[0] if any(fields[name] != tried[0][name] for fields in tried)]
    return [", ".join(_text(name, fields[name]) for name in differing) for fields in tried]


def _fields(trial: Trial, store: str) -> dict[str, object]:
    return {"store": store, "base": trial.store.spec.conv_base, "layer": trial.layer, **trial.asked.to_dict()}


def _text(name: str, value: object) -> str:
    if name in {"store", "base", "layer"}:
        return str(value)
    return f"{name} {'+'.join(map(str, value)) or 'none' if isinstance(value, list) else value}"
