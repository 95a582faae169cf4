"""The progress of a run on the terminal."""

import functools
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tqdm import tqdm

from transforms.runtime import PROGRESS

_SECONDS_BETWEEN_LINES: Final = 30.0
_SECONDS_BETWEEN_REFRESHES: Final = 0.2


@contextmanager
def shown_progress(doing: str = "extracting") -> Iterator[None]:
    """Shows how far the run in this process is: a bar on a terminal, a plain line every 30 s elsewhere."""
    PROGRESS.reset()
    done = threading.Event()
    show = functools.partial(_show_bar, doing) if sys.stderr.isatty() else _show_lines
    thread = threading.Thread(target=show, args=(done,), name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _show_bar(doing: str, done: threading.Event) -> None:
    with tqdm(total=0, unit=" images", desc=doing, smoothing=0.1, dynamic_ncols=True) as bar:
        while not done.wait(_SECONDS_BETWEEN_REFRESHES):
            _update(bar)
        _update(bar)


def _update(bar: "tqdm[None]") -> None:
    bar.total = PROGRESS.planned
    bar.n = PROGRESS.extracted + PROGRESS.failed
    bar.set_postfix_str(f"{PROGRESS.failed} failed, {PROGRESS.skipped} skipped", refresh=False)
    bar.refresh()


def _show_lines(done: threading.Event) -> None:
    started = time.monotonic()
    while not done.wait(_SECONDS_BETWEEN_LINES):
        seconds = time.monotonic() - started
        images = PROGRESS.extracted + PROGRESS.failed
        rate = images / seconds
        left = f"{(PROGRESS.planned - images) / rate:.0f} s left" if rate else "planning"
        print(
            f"{seconds:.0f} s: {images} of {PROGRESS.planned} images, {PROGRESS.failed} failed, "
            f"{rate:.1f} images/s, {left}",
            file=sys.stderr,
            flush=True,
        )
