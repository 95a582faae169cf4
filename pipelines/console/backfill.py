"""What a backfill did or would do, a line a date, for people and for machines."""

import datetime
import shlex
from collections.abc import Iterator, Sequence
from typing import Any, Final

from pipelines.console.extraction import run_figures
from pipelines.console.padded_lines import padded_line
from pipelines.console.runs import drift_figures, drift_text, duration_text, line_without_run, run_line
from pipelines.dates import DatePlan, DateResult, DateState
from schemas.errors import DriftFound, RunFailed, RunStopped
from schemas.spec import FeatureSpec
from schemas.store import InputCounts
from transforms.machine import Measured

_PLAN_WIDTHS: Final = (-10, 12, 12, 11, 20, 11)
_PLAN_HEADS: Final = (
    padded_line(("date", "images", "new", "labels", "bytes of features", "time"), _PLAN_WIDTHS) + "  state"
)


def result_line(result: DateResult) -> str:
    """Returns the line of a date in the closing table."""
    if result.row is not None:
        return run_line(result.row)
    return line_without_run(result.ds, f"{result.state}: {result.message}" if result.message else result.state)


def result_figures(result: DateResult) -> dict[str, Any]:
    """Returns the part of a date in the summary for machines; figures of a run only where there was one."""
    own = {"ds": result.ds.isoformat(), "state": str(result.state), "message": result.message}
    of_run = run_figures(result.row) if result.row is not None else {}
    return {**own, **of_run, **({"drift": drift_figures(result.drift)} if result.drift else {})}


def check_results(results: Sequence[DateResult]) -> None:
    """Raises unless every date is as complete as it can be; a date without images is.

    Raises:
        RunFailed: If a date failed.
        RunStopped: If none failed, but the time was up.
    """
    failed = [result.ds for result in results if result.state == DateState.FAILED]
    left = [result.ds for result in results if result.state in {DateState.STOPPED, DateState.NOT_BEGUN}]
    if failed:
        raise RunFailed(f"{len(failed)} of {len(results)} dates failed: {', '.join(map(str, failed))}.")
    if left:
        raise RunStopped(
            f"The time was up with {len(left)} of {len(results)} dates left, {min(left)} to {max(left)}; the next "
            "backfill goes on from there."
        )


def drift_line(result: DateResult) -> str:
    """Returns the line that says how the images of a date differ from those before it."""
    if result.drift is None:
        return f"drift of {result.ds}: too few images to tell"
    row = result.drift
    compared = f"{row['later']:,} images against {row['before']:,} since {row['since']}"
    return f"drift of {result.ds}: {drift_text(row)}; {compared}"


def check_drift(results: Sequence[DateResult], most: float | None, store_uri: str) -> None:
    """Raises if the images of a date differ more from those before than is allowed.

    Raises:
        DriftFound: If they do.
    """
    far = [result.drift for result in results if result.drift and result.drift["found"]]
    far = [row for row in far if most is not None and row["auc_low"] > most]
    if far:
        days = datetime.timedelta(days=1)
        first = far[0]
        raise DriftFound(
            f"The images of {', '.join(str(row['ds']) for row in far)} differ from those before: {drift_text(first)}, "
            f"--max_drift={most:g}. Look at them: python -m pipelines.explore {shlex.quote(store_uri)} "
            "--compare "
            f"ds={first['since']}..{first['ds'] - days} ds={first['ds']}"
        )


def planned_lines(
    plans: Sequence[DatePlan], spec: FeatureSpec | None, rate: float | None, measured: Measured | None = None
) -> Iterator[str]:
    """Yields what a dry run prints.

    Args:
        plans: What would be done, by date.
        spec: The spec of the features; None if there is nothing to compute.
        rate: Images a second of the store's runs, or None if nothing is known.
        measured: How fast this machine is with the conv base, which tells where no run does.
    """
    how = "the median of this store's runs"
    if rate is None and measured is not None:
        rate, how = measured.limit(measured.precision, measured.decode), "as pipelines.measure found on this machine"
    yield "Dry run; nothing is written."
    yield _PLAN_HEADS
    total = InputCounts()
    for date in plans:
        if date.counts is None:
            yield padded_line([date.ds, *"-----"], _PLAN_WIDTHS) + f"  {date.state}"
            continue
        total += date.counts
        yield _priced(str(date.ds), date.counts, spec, rate) + f"  {date.state}"
    yield _priced("in all", total, spec, rate)
    if spec and spec.augmentation:
        yield f"Bytes are at most so many: only training images have {spec.augmentation.rows} further rows."
    yield (
        f"Time at {rate:.1f} images/s, {how}."
        if rate
        else "Time is unknown: no run of this store has computed anything yet; pipelines.measure would tell it."
    )


def _priced(name: str, counts: InputCounts, spec: FeatureSpec | None, rate: float | None) -> str:
    new = counts.planned
    size = new * spec.rows_per_training_image * spec.bytes_per_image if spec else 0
    time = duration_text(new / rate) if rate else "unknown"
    return padded_line((name, counts.listed, new, counts.outdated, size, time), _PLAN_WIDTHS)
