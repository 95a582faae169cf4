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

from pipelines.runners.progress_text import Pace, bar_layout, log_line
from transforms.runtime import Progress, progress_of_processes

_SECONDS_TO_FIRST_LINE: Final = 10.0
_SECONDS_BETWEEN_LINES: Final = 30.0
_SECONDS_BETWEEN_REFRESHES: Final = 0.2
_SECONDS_BETWEEN_LOOKS: Final = 1.0
_COLUMNS_OF_NOTEBOOKS: Final = 120


@contextmanager
def shown_progress(doing: str = "extracting") -> Iterator[None]:
    """Shows how far the run in this process and its children is: a bar where one moves, else a line every 30 s.

    What is printed meanwhile goes through `print_above`.

    Args:
        doing: One word for what is done.
    """
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


def print_above(line: str) -> None:
    """Prints a line, above the bar where there is one."""
    tqdm.write(line, file=sys.stdout)
    sys.stdout.flush()


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
    pace = Pace()
    with _bar_class()(total=0, bar_format=doing, leave=True, dynamic_ncols=True) as bar:
        while not done.wait(_SECONDS_BETWEEN_REFRESHES):
            _update(bar, doing, progress(), pace)
        _update(bar, doing, progress(), pace)


def _update(bar: "tqdm[None]", doing: str, counts: Progress, pace: Pace) -> None:
    pace.observe(time.monotonic(), counts.done + counts.passes)
    if _in_notebook() and bar.total != counts.planned:
        bar.reset(counts.planned)  # Which tells the widget.
    columns = _COLUMNS_OF_NOTEBOOKS if _in_notebook() else bar.format_dict["ncols"] or 80
    bar.total, bar.n = counts.planned, min(counts.done, counts.planned)
    bar.bar_format = bar_layout(doing, counts, pace.rate, columns)
    bar.refresh()


def _show_lines(progress: Callable[[], Progress], done: threading.Event) -> None:
    started, pace, due = time.monotonic(), Pace(), _SECONDS_TO_FIRST_LINE
    while not done.wait(_SECONDS_BETWEEN_LOOKS):
        counts, seconds = progress(), time.monotonic() - started
        pace.observe(seconds, counts.done + counts.passes)
        if seconds >= due:
            due += _SECONDS_BETWEEN_LINES
            print(log_line(seconds, counts, pace.rate), file=sys.stderr, flush=True)
