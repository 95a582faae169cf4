"""The plot: a panel a race, a bar a contestant, a line at the limit of the machine."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from tests.benchmarks.cases import WARM_HALF
from tests.benchmarks.results import CaseResult

_OURS: Final = "#2166ac"
_PEER: Final = "#b0b0b0"
_LIMIT: Final = "#b2182b"


def draw(results: Sequence[CaseResult], file: Path) -> None:
    """Draws the races.

    Args:
        results: The races.
        file: The SVG or PNG.
    """
    mpl.use("Agg")
    columns = 2 if len(results) > 1 else 1
    rows = -(-len(results) // columns)
    figure, panels = plt.subplots(rows, columns, figsize=(7 * columns, 3.2 * rows), squeeze=False, layout="constrained")
    for result, panel in zip(results, panels.flat, strict=False):
        _draw_race(result, panel)
    for panel in panels.flat[len(results) :]:
        panel.set_axis_off()
    figure.savefig(file, dpi=120)
    plt.close(figure)


def _draw_race(result: CaseResult, panel: Axes) -> None:
    names = [name for name in result.case.contestants if name != WARM_HALF]
    speeds = [result.images_per_second(name) or 0.0 for name in names]
    bars = panel.barh(names, speeds, color=[_OURS if name.startswith("ours") else _PEER for name in names])
    panel.bar_label(bars, [f"{speed:.1f}" if speed else "failed" for speed in speeds], padding=3, fontsize=8)
    if result.limit is not None:
        limit = result.limit.images_per_second
        panel.axvline(limit, color=_LIMIT, linestyle="--", label=f"limit of the machine {limit:.1f}")
    if result.steady_state is not None:
        steady = result.steady_state
        panel.axvline(steady, color=_OURS, linestyle=":", label=f"ours, steady state {steady:.1f}")
    panel.set_title(result.case.name, fontsize=9)
    panel.set_xlabel("images/s, whole process", fontsize=8)
    panel.margins(x=0.12)
    panel.tick_params(labelsize=8)
    panel.spines[["top", "right"]].set_visible(False)
    if panel.get_legend_handles_labels()[0]:
        panel.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, frameon=False)
