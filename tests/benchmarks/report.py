"""The report: a table for people, JSON for machines."""

import dataclasses
import datetime
import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from typing import Any

from tests.benchmarks.bare import cores
from tests.benchmarks.cases import COLD, PEERS, SCALED, WARM
from tests.benchmarks.results import CaseResult, Figure, share_of_limit
from transforms.machine import this_processor

_NAMED_VERSIONS = (
    "apache-beam", "daft", "deltalake", "keras", "numpy", "onnxruntime", "openvino", "pillow",
    "pyarrow", "ray", "tensorflow", "torch", "torchvision",
)  # fmt: skip


@dataclasses.dataclass
class Report:
    """All that was measured.

    Attributes:
        options: The options of the run.
        cases: The races.
        figures: The other benchmarks by name.
        started_at: When it began (UTC).
    """

    options: Mapping[str, Any]
    cases: list[CaseResult] = dataclasses.field(default_factory=list)
    figures: dict[str, list[Figure]] = dataclasses.field(default_factory=dict)
    started_at: datetime.datetime = dataclasses.field(default_factory=lambda: datetime.datetime.now(datetime.UTC))

    def to_dict(self) -> dict[str, Any]:
        """Returns everything, raw values and medians, as JSON takes it."""
        return {
            "started_at": self.started_at.isoformat(),
            "machine": {"cpu": this_processor(), "cores": cores(), "python": platform.python_version()},
            "options": {name: str(value) for name, value in self.options.items()},
            "versions": installed_versions(),
            "cases": [_case_dict(result) for result in self.cases],
            "figures": {name: [_figure_dict(one) for one in figures] for name, figures in self.figures.items()},
        }

    def to_markdown(self) -> str:
        """Returns the report for people."""
        versions = installed_versions()
        named = ", ".join(f"{name} {versions[name]}" for name in _NAMED_VERSIONS if name in versions)
        lines = [
            "# Benchmarks",
            "",
            f"{self.started_at:%Y-%m-%d}, {cores()} cores of {this_processor()}, Python {platform.python_version()},",
            f"{named}.",
            "",
            "Each contestant is a process of its own; images a second are of the whole process, start-up included, as",
            "medians of the rounds; CPU is that of all its processes. Cosine is the least of a picture's features to",
            "those of Keras in float32.",
        ]
        for result in self.cases:
            lines += ["", f"## {result.case.name}", "", *case_table(result), "", *peer_text(result), limit_text(result)]
        for name, figures in self.figures.items():
            lines += ["", f"## {name}", "", *figure_table(figures)]
        return "\n".join(lines) + "\n"


def installed_versions() -> dict[str, str]:
    """Returns the version of every installed package."""
    return {found.metadata["Name"].lower(): found.version for found in importlib.metadata.distributions()}


def case_table(result: CaseResult) -> list[str]:
    """Returns the lines of a race's table in Markdown, the fastest first, failures last."""
    ours = result.images_per_second(WARM)
    lines = [
        "| contestant | images/s | seconds, by round | CPU | peak memory | ours, warm ÷ it | cosine |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name in sorted(result.case.contestants, key=lambda name: -(result.images_per_second(name) or 0.0)):
        failure = result.failure(name)
        if failure:
            lines.append(f"| {name} | failed: {failure.replace('|', '/')} | | | | | |")
            continue
        speed = result.images_per_second(name) or 0.0
        rounds = ", ".join(f"{outcome.seconds:.1f}" for outcome in result.of(name))
        factor = f"{ours / speed:.2f}" if ours and name in PEERS else ""
        cosines = [outcome.cosine for outcome in result.of(name) if outcome.cosine is not None]
        cosine = f"{min(cosines):.5f}" if cosines else "–"
        memory = (result.peak_bytes(name) or 0.0) / 1e6
        cpu = 1000 * (result.cpu_seconds_per_image(name) or 0.0)
        lines.append(
            f"| {name} | {speed:.1f} | {rounds} | {cpu:.1f} ms/image | {memory:,.0f} MB | {factor} | {cosine} |"
        )
    return lines


def peer_text(result: CaseResult) -> list[str]:
    """Returns a line that holds each of ours against the best peer, or none if no peer has a figure."""
    best = result.best_peer
    if best is None:
        return []
    speed = result.images_per_second(best) or 0.0
    ours = {name: result.images_per_second(name) for name in (WARM, COLD, SCALED)}
    factors = (
        f"{name} {value / speed:.2f}× (median of the ratios by round {result.paired_ratio(name, best) or 0:.2f})"
        for name, value in ours.items()
        if value is not None
    )
    return ["; ".join((f"Best peer: {best} with {speed:.1f} images/s", *factors)) + ".", ""]


def limit_text(result: CaseResult) -> str:
    """Returns what the machine allows and how near the steady state comes to it."""
    limit, steady = result.limit, result.steady_state
    if limit is None:
        return "The limit of the machine was not measured."
    bare = ", ".join(f"{speed:.1f} by {runtime}" for runtime, speed in limit.bare_speeds.items())
    text = (
        f"Limit of the machine: {limit.images_per_second:.1f} images/s = 1 / (1/{limit.bare:.1f} + "
        f"{1000 * limit.decode_seconds:.2f} ms/{limit.cores}); the base alone, images/s: {bare}. "
    )
    if steady is None:
        return text + "The steady state was not measured."
    return text + f"Steady state: {steady:.1f} images/s, {share_of_limit(result):.2f} of it."


def figure_table(figures: Sequence[Figure]) -> list[str]:
    """Returns the lines of a table of figures in Markdown."""
    lines = ["| | median | by round |", "|---|---:|---:|"]
    for figure in figures:
        if figure.median is None:
            lines.append(f"| {figure.name} | failed: {figure.failure} | |")
        else:
            digits = 2 if figure.unit else 6  # What has no unit is a loss.
            rounds = ", ".join(f"{value:.{digits}f}" for value in figure.values) if len(figure.values) > 1 else ""
            lines.append(f"| {figure.name} | {figure.median:,.{digits}f} {figure.unit} | {rounds} |")
    return lines


def _case_dict(result: CaseResult) -> dict[str, Any]:
    case = result.case
    return {
        "name": case.name,
        "pictures": case.pictures,
        "count": case.count,
        "conv_base": case.conv_base,
        "side": case.side,
        "precision": case.precision,
        "contestants": {
            name: {
                "images_per_second": result.images_per_second(name),
                "seconds": result.seconds(name),
                "cpu_seconds_per_image": result.cpu_seconds_per_image(name),
                "peak_bytes": result.peak_bytes(name),
                "failure": result.failure(name),
                "rounds": [dataclasses.asdict(outcome) for outcome in result.of(name)],
            }
            for name in case.contestants
        },
        "best_peer": result.best_peer,
        "limits": [dataclasses.asdict(limit) for limit in result.limits],
        "limit_images_per_second": result.limit.images_per_second if result.limit else None,
        "steady_state_images_per_second": result.steady_state,
        "share_of_limit": share_of_limit(result),
    }


def _figure_dict(figure: Figure) -> dict[str, Any]:
    return {**dataclasses.asdict(figure), "median": figure.median}
