"""The progress of a run on the terminal."""

import functools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from tqdm import tqdm

from transforms.runtime import Progress, progress_of_processes

_SECONDS_BETWEEN_LINES: Final = 30.0
_SECONDS_BETWEEN_REFRESHES: Final = 0.2


@contextmanager
def shown_progress(doing: str = "extracting") -> Iterator[None]:
    """Shows how far the run in this process and its children is: a bar on a terminal, else a line every 30 s."""
    done = threading.Event()
    show = functools.partial(_show_bar, doing) if sys.stderr.isatty() else _show_lines
    with progress_of_processes() as progress:
        thread = threading.Thread(target=show, args=(progress, done), name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


@contextmanager
def shown_steps() -> Iterator[Callable[[str, float], None]]:
    """Gives what is told a step and the share of it that is done, 0 to 1: a bar on a terminal, or lines."""
    if sys.stderr.isatty():
        form = "{desc:<18} {percentage:3.0f} % {bar} {elapsed}"
        with tqdm(total=1.0, bar_format=form, leave=False, dynamic_ncols=True) as bar:
            yield functools.partial(_show_step, bar)
        return
    shown = time.monotonic()

    def say(step: str, share: float) -> None:
        nonlocal shown
        if time.monotonic() - shown > _SECONDS_BETWEEN_LINES:
            shown = time.monotonic()
            print(f"{step}: {share:.0%}", file=sys.stderr, flush=True)

    yield say


def _show_step(bar: "tqdm[None]", step: str, share: float) -> None:
    bar.set_description_str(step, refresh=False)
    bar.n = share
    bar.refresh()


def _show_bar(doing: str, progress: Callable[[], Progress], done: threading.Event) -> None:
    with tqdm(total=0, unit=" images", desc=doing, smoothing=0.1, dynamic_ncols=True) as bar:
        while not done.wait(_SECONDS_BETWEEN_REFRESHES):
            _update(bar, progress())
        _update(bar, progress())


def _update(bar: "tqdm[None]", counts: Progress) -> None:
    bar.total = counts.planned
    bar.n = counts.extracted + counts.failed
    bar.set_postfix_str(f"{counts.failed} failed, {counts.skipped} skipped", refresh=False)
    bar.refresh()


def _show_lines(progress: Callable[[], Progress], done: threading.Event) -> None:
    started = time.monotonic()
    while not done.wait(_SECONDS_BETWEEN_LINES):
        seconds = time.monotonic() - started
        counts = progress()
        images = counts.extracted + counts.failed
        rate = images / seconds
        left = f"{(counts.planned - images) / rate:.0f} s left" if rate else "planning"
        print(
            f"{seconds:.0f} s: {images} of {counts.planned} images, {counts.failed} failed, "
            f"{rate:.1f} images/s, {left}",
            file=sys.stderr,
            flush=True,
        )
