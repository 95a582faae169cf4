"""The page of the last nights: what each run brought, how fast, what failed and how far its images drifted."""

import collections
import dataclasses
import datetime
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from schemas.uris import without_secrets
from transforms.evaluation import render, ticks

if TYPE_CHECKING:
    import markupsafe

# What the page needs of the rows of `runs`.
NIGHT_COLUMNS: Final = (
    "run_id", "ds", "state", "message", "started_at", "ended_at", "listed", "skipped", "extracted", "failed",
    "remaining", "seconds", "images_per_second", "failures_by_code",
)  # fmt: skip

_FOLDER: Final = Path(__file__).parent
_WIDTH: Final = 940
_HEIGHT: Final = 200
_LEFT: Final = 72
_TOP: Final = 10
_BOTTOM: Final = 26
# A label of a date is as wide as so many pixels, and a bar has no more room than that.
_DATE_WIDTH: Final = 84
_LEAST_WIDTH: Final = 340
# Colours of the style sheet: `.bar-0` to `.bar-9`.
_OUTCOMES: Final = (("extracted", 0), ("skipped", 7), ("failed", 3), ("remaining", 1))
_CODE_COLOURS: Final = (3, 1, 4, 5, 6, 8, 9, 2)
_OTHERS: Final = "others"


@dataclasses.dataclass(frozen=True)
class Series:
    """Values of runs, of one kind.

    Attributes:
        name: What the legend calls them.
        colour: Their colour, 0 to 9.
        values: One a run; None where there is none.
    """

    name: str
    colour: int
    values: Sequence[float | None]


def nights_html(
    store_uri: str, rows: Sequence[Mapping[str, Any]], drift: Mapping[str, Mapping[str, Any]], now: datetime.datetime
) -> str:
    """Returns the page.

    Args:
        store_uri: The store.
        rows: Rows of `runs` with the columns `NIGHT_COLUMNS`, the newest first.
        drift: Rows of the table `drift`, by their run.
        now: The present (UTC).
    """
    nights = list(reversed(rows))
    return render(
        "nights.html.j2",
        _FOLDER,
        store=without_secrets(store_uri),
        now=f"{now:%Y-%m-%d %H:%M} UTC",
        runs=[(row, drift.get(row["run_id"])) for row in rows],
        newest=nights[-1] if nights else None,
        states=collections.Counter(row["state"] for row in nights).most_common(),
        charts=list(_charts(nights, drift)),
        span=span_text,
    )


def span_text(seconds: float) -> str:
    """Returns a time span as hours, minutes and seconds."""
    return str(datetime.timedelta(seconds=round(seconds)))


def _charts(
    nights: Sequence[Mapping[str, Any]], drift: Mapping[str, Mapping[str, Any]]
) -> "Iterator[tuple[str, markupsafe.Markup]]":
    """Yields each chart with its title; those of which there is nothing to show are left out."""
    labels = [str(row["ds"]) for row in nights]
    outcomes = [Series(name, colour, [row[name] for row in nights]) for name, colour in _OUTCOMES]
    unit, length = _unit_of([row["seconds"] for row in nights])
    speed, duration, coverage, auc = (
        Series("images per second", 0, [row["images_per_second"] for row in nights]),
        Series(unit, 2, [row["seconds"] / length for row in nights]),
        Series("share of the input", 9, [_coverage(row) for row in nights]),
        Series("AUC", 4, [drift[row["run_id"]]["auc"] if row["run_id"] in drift else None for row in nights]),
    )
    charts: list[tuple[str, list[Series], Callable[[float], str], float | None]] = [
        ("Images by outcome", outcomes, _count, None),
        ("Failures by code", _failures(nights), _count, None),
        ("Images per second", [speed], _trimmed, None),
        (f"Duration in {unit}", [duration], _trimmed, None),
        ("Coverage: share of the input that the store has", [coverage], _percent, 1.0),
        (
            "Drift: AUC of a classifier that tells later images from those before (0.5 is no drift)",
            [auc],
            "{:.3f}".format,
            1.0,
        ),
    ]
    for title, series, text, most in charts:
        if any(value is not None for each in series for value in each.values):
            yield (
                title,
                bar_chart(
                    labels, [row["run_id"] for row in nights], series, text, most, title=title, whole=text is _count
                ),
            )


def _unit_of(seconds: Sequence[float]) -> tuple[str, int]:
    """Returns the unit of time in which the longest of some spans is a number of few digits, and its seconds."""
    longest = max(seconds, default=0.0)
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if longest >= 2 * length:
            return unit, length
    return "seconds", 1


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _percent(share: float) -> str:
    return f"{_trimmed(round(100 * share, 1))}%"


def _trimmed(value: float) -> str:
    """Returns a number with two decimals at most."""
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def _coverage(row: Mapping[str, Any]) -> float | None:
    if not row["listed"]:
        return None
    committed = 0 if row["state"] in {"failed", "stopped"} else row["extracted"]
    return min(1.0, (row["skipped"] + committed) / row["listed"])


def _failures(nights: Sequence[Mapping[str, Any]]) -> list[Series]:
    by_night = [collections.Counter(json.loads(row["failures_by_code"] or "{}")) for row in nights]
    total: collections.Counter[str] = sum(by_night, collections.Counter())
    codes = [code for code, _ in total.most_common(len(_CODE_COLOURS))]
    series = [Series(code, _CODE_COLOURS[number], [of[code] for of in by_night]) for number, code in enumerate(codes)]
    others = [sum(count for code, count in of.items() if code not in codes) for of in by_night]
    return [*series, Series(_OTHERS, 7, others)] if any(others) else series


def bar_chart(
    labels: Sequence[str],
    names: Sequence[str],
    series: Sequence[Series],
    text: Callable[[float], str],
    most: float | None = None,
    *,
    title: str,
    whole: bool = False,
) -> "markupsafe.Markup":
    """Draws a bar for each run, of the values of all series on top of each other.

    Args:
        labels: What stands under each bar, as far as there is room.
        names: What each bar is called.
        series: The values.
        text: Writes a value.
        most: The greatest value of the frame; the highest bar if None.
        title: What the chart shows, for those who cannot see it.
        whole: Whether values are counts, of kinds that a legend names.

    Returns:
        An `<svg>` element.
    """
    heights = [sum(each.values[number] or 0 for each in series) for number in range(len(labels))]
    top = most or max(heights, default=0) or 1.0
    step = min((_WIDTH - _LEFT) / max(len(labels), 1), _DATE_WIDTH)
    scale = (_HEIGHT - _TOP - _BOTTOM) / top
    every = max(1, -(-_DATE_WIDTH // max(1, int(step))))
    bars = [
        (
            name,
            _LEFT + step * number,
            labels[number] if number % every == 0 else "",
            list(_parts(series, number, scale)),
        )
        for number, name in enumerate(names)
    ]
    return render(
        "bar_chart.html.j2",
        _FOLDER,
        title=title,
        bars=bars,
        labels=labels,
        series=series,
        ticks=[
            (_HEIGHT - _BOTTOM - value * scale, text(value)) for value in ticks(0.0, top) if not whole or value % 1 == 0
        ],
        legend=whole,
        text=text,
        bar_width=max(1.0, min(step * 0.8, 40.0)),
        step=step,
        width=max(round(_LEFT + step * len(labels)), _LEAST_WIDTH),
        height=_HEIGHT,
        left=_LEFT,
        bottom=_HEIGHT - _BOTTOM,
    )


def _parts(series: Iterable[Series], number: int, scale: float) -> Iterator[tuple[int, float, float, str, float]]:
    """Yields colour, top and height in pixels, name and value of each part of a bar, from below."""
    below = 0.0
    for each in series:
        value = each.values[number]
        if value:
            below += value
            yield each.colour, _HEIGHT - _BOTTOM - below * scale, value * scale, each.name, value
