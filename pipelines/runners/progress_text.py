"""What is said of progress: how fast it is, how long the rest takes, and all of it in as many columns as there are."""

import collections
from collections.abc import Iterator
from typing import Final

from tqdm import tqdm

from transforms.runtime import Progress

# The pace is that of so many seconds: long enough for batches of a slow network, short enough to follow a change.
_SECONDS_OF_PACE: Final = 20.0
_LEAST_BAR: Final = 10


class Pace:
    """How many a second are done lately; the time before the first one, in which a network is loaded, is left out."""

    def __init__(self) -> None:
        """Has seen nothing."""
        self._seen: collections.deque[tuple[float, int]] = collections.deque()

    def observe(self, seconds: float, done: int) -> None:
        """Takes notice of how many are done.

        Args:
            seconds: The time, by a clock that does not go back.
            done: How many are done by then.
        """
        seen = self._seen
        if len(seen) == 1 and seen[0][1] == done:
            seen.clear()  # Nothing has been done since.
        seen.append((seconds, done))
        while len(seen) > 2 and seen[1][0] <= seconds - _SECONDS_OF_PACE:
            seen.popleft()

    @property
    def rate(self) -> float | None:
        """How many a second; None where that is not known."""
        if len(self._seen) < 2:
            return None
        (first, before), (last, now) = self._seen[0], self._seen[-1]
        return (now - before) / (last - first) if last > first and now > before else None


def bar_layout(doing: str, counts: Progress, rate: float | None, columns: int) -> str:
    """Returns what tqdm makes a line of, as long as there is room for: narrow terminals get the figures, and no bar.

    Args:
        doing: What is done, such as "extracting".
        counts: How far it is.
        rate: How many a second; None where that is not known.
        columns: How wide the line may be.

    Returns:
        A text in which `{bar}` stands for the bar, if there is room for one.
    """
    layouts = list(_layouts(doing, counts, rate))
    return next((each for each in layouts if _width(each) <= columns), layouts[-1][:columns])


def log_line(seconds: float, counts: Progress, rate: float | None) -> str:
    """Returns a line for a log.

    Args:
        seconds: Since it began.
        counts: How far it is.
        rate: How many a second; None where that is not known.
    """
    stage = f"{counts.stage}, " if counts.stage else ""
    if _in_passes(counts):
        return f"{seconds:.0f} s: {counts.passes} passes{_at(rate, ' passes')}"
    if counts.stage and not counts.planned:
        return f"{seconds:.0f} s: {counts.stage}"
    left = _left(counts, rate)
    return (
        f"{seconds:.0f} s: {stage}{_done(counts)} of {counts.planned} images, {counts.failed} failed"
        f"{_at(rate, ' images')}, {_waiting(counts) if left is None else f'{left:.0f} s left'}"
    )


def _layouts(doing: str, counts: Progress, rate: float | None) -> Iterator[str]:
    """Yields what may be shown, the longest first."""
    name = f"{doing}: {counts.stage}" if counts.stage else doing
    if _in_passes(counts):
        yield f"{name}: {counts.passes} passes{_at(rate, ' passes')}"
        yield f"{counts.passes} passes{_at(rate)}"
        return
    if not counts.planned:
        skipped = f", {counts.skipped:,} skipped" if counts.skipped else ""
        yield f"{doing}: {counts.stage or _waiting(counts)}{skipped}"
        yield f"{counts.stage or _waiting(counts)}{skipped}"
        return
    done, left = _done(counts), _left(counts, rate)
    share = f"{100 * done // counts.planned:3} %"
    time = tqdm.format_interval(left) if left else ""
    rest = f", {time} left" if time else ""
    named = ((counts.failed, "failed"), (counts.skipped, "skipped"))
    others = "".join(f", {count:,} {word}" for count, word in named if count)
    images = f"{done:,} of {counts.planned:,}"
    yield f"{name} {share} {{bar}} {images} images{_at(rate, ' images')}{rest}{others}"
    yield f"{name} {share} {{bar}} {images}{_at(rate)}{rest}{others}"
    yield f"{name} {share} {{bar}} {images}{_at(rate)}{rest}"
    for words in ([name, share, f"{done}/{counts.planned}"], [counts.stage or doing, share], [share]):
        yield " ".join(filter(None, [*words, "" if rate is None else f"{rate:.1f}/s", time]))


def _in_passes(counts: Progress) -> bool:
    return counts.passes > 0 and counts.done >= counts.planned


def _done(counts: Progress) -> int:
    """Returns how many are done; what is prepared ahead of the last step of a training is not there yet."""
    return min(counts.done, counts.planned)


def _left(counts: Progress, rate: float | None) -> float | None:
    return (counts.planned - _done(counts)) / rate if rate else None


def _waiting(counts: Progress) -> str:
    """Returns a word for why there is no pace."""
    if not counts.planned:
        return "planning"
    return "waiting" if counts.done else "starting"


def _at(rate: float | None, unit: str = "") -> str:
    return "" if rate is None else f", {rate:.1f}{unit}/s"


def _width(layout: str) -> int:
    return len(layout.replace("{bar}", " " * _LEAST_BAR))
