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

from pipelines.monitoring import subject_prefix
from pipelines.runners.progress_text import Pace, bar_layout, log_line
from pipelines.runners.remote import Waiting, is_submitting, waited_for
from transforms.runtime import Progress, progress_of_processes

_SECONDS_TO_FIRST_LINE: Final = 10.0
_SECONDS_BETWEEN_LINES: Final = 30.0
# A runner's metrics are asked for over its network.
_SECONDS_BETWEEN_METRICS: Final = 10.0
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
    with progress_of_processes() as local:
        thread = threading.Thread(target=show, args=(_RunProgress(local), done), name="progress", daemon=True)
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


class _RunProgress:
    """How far a run is: by the counts of this machine's processes, or by the metrics of a runner elsewhere."""

    def __init__(self, local: Callable[[], Progress]) -> None:
        """Takes what reads the counts of this machine's processes."""
        self._local = local
        self._remote: Progress | None = None
        self._asked = float("-inf")

    def read(self) -> Progress | None:
        """Returns how far it is; None if that cannot be seen from here."""
        counts, waiting = self._local(), waited_for()
        if waiting is None or counts != Progress():
            return counts
        if time.monotonic() - self._asked > _SECONDS_BETWEEN_METRICS:
            self._remote, self._asked = waiting.job.progress(), time.monotonic()
        return self._remote


def _show_bar(doing: str, progress: _RunProgress, done: threading.Event) -> None:
    pace = Pace()
    with _bar_class()(total=0, bar_format=doing, leave=True, dynamic_ncols=True) as bar:
        while not done.wait(_SECONDS_BETWEEN_REFRESHES):
            _update(bar, doing, progress.read(), pace)
        _update(bar, doing, progress.read(), pace)


def _update(bar: "tqdm[None]", doing: str, counts: Progress | None, pace: Pace) -> None:
    if counts is None:
        bar.bar_format = f"{doing}: how far it is cannot be seen from here"
        bar.refresh()
        return
    pace.observe(time.monotonic(), counts.done + counts.passes)
    if _in_notebook() and bar.total != counts.planned:
        bar.reset(counts.planned)  # Which tells the widget.
    columns = _COLUMNS_OF_NOTEBOOKS if _in_notebook() else bar.format_dict["ncols"] or 80
    bar.total, bar.n = counts.planned, min(counts.done, counts.planned)
    bar.bar_format = bar_layout(doing, counts, pace.rate, columns)
    bar.refresh()


def _show_lines(progress: _RunProgress, done: threading.Event) -> None:
    started, pace, due = time.monotonic(), Pace(), _SECONDS_TO_FIRST_LINE
    while not done.wait(_SECONDS_BETWEEN_LOOKS):
        counts, seconds = progress.read(), time.monotonic() - started
        if counts is not None:
            pace.observe(seconds, counts.done + counts.passes)
        if seconds >= due:
            due += _SECONDS_BETWEEN_LINES
            line = progress_line(seconds, counts, waited_for(), pace.rate)
            print(f"{subject_prefix()}{line}", file=sys.stderr, flush=True)


def progress_line(seconds: float, counts: Progress | None, waiting: Waiting | None, rate: float | None) -> str:
    """Returns the line that says how far a run is.

    Args:
        seconds: How long it takes already.
        counts: How far it is; None if that cannot be seen from here.
        waiting: The job elsewhere that is waited for, if there is one.
        rate: Images, or passes, a second; None where that is not known.
    """
    if is_submitting():
        return f"{seconds:.0f} s: the job is being submitted"
    if counts is None or (waiting is not None and counts == Progress()):
        return f"{seconds:.0f} s: {_unseen(waiting)}"
    return log_line(seconds, counts, rate)


def _unseen(waiting: Waiting | None) -> str:
    if waiting is None:
        return "how far it is cannot be seen from here"
    if waiting.start is not None and not waiting.start.has_started():
        return f"no worker of job {waiting.job.name} has started yet"
    return f"job {waiting.job.name} is running; how far it is cannot be seen from here"
