"""The progress of a run: a bar on a terminal and in a notebook, lines in a log."""

import functools
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from tqdm import tqdm

from transforms.runtime import Progress, progress_of_processes

_SECONDS_BETWEEN_LINES: Final = 30.0
_SECONDS_BETWEEN_REFRESHES: Final = 0.2


@contextmanager
def shown_progress(doing: str = "extracting") -> Iterator[None]:
    """Shows how far the run in this process and its children is: a bar where one moves, else a line every 30 s."""
    done = threading.Event()
    show = functools.partial(_show_bar, doing) if _bars_move() else _show_lines
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
    """Gives what is told a step and the share of it that is done, 0 to 1: a bar where one moves, or lines."""
    if _bars_move():
        form = "{desc:<18} {percentage:3.0f} % {bar} {elapsed}"
        with _bar_class()(total=1.0, bar_format=form, leave=False, dynamic_ncols=True) as bar:
            yield functools.partial(_show_step, bar)
        return
    shown = time.monotonic()

    def say(step: str, share: float) -> None:
        nonlocal shown
        if time.monotonic() - shown > _SECONDS_BETWEEN_LINES:
            shown = time.monotonic()
            print(f"{step}: {share:.0%}", file=sys.stderr, flush=True)

    yield say


def _bars_move() -> bool:
    return sys.stderr.isatty() or _in_notebook()


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and "IPKernelApp" in shell.config


def _bar_class() -> "type[tqdm[None]]":
    """Returns tqdm's bar for where this runs: a widget in a notebook that has them, else text."""
    if not _in_notebook():
        return tqdm
    with warnings.catch_warnings(action="ignore"):  # That there are no widgets.
        from tqdm.auto import tqdm as bar
    return bar


def _show_step(bar: "tqdm[None]", step: str, share: float) -> None:
    bar.set_description_str(step, refresh=False)
    bar.n = share
    bar.refresh()


def _show_bar(doing: str, progress: Callable[[], Progress], done: threading.Event) -> None:
    with _bar_class()(total=0, unit=" images", desc=doing, smoothing=0.1, dynamic_ncols=True) as bar:
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
