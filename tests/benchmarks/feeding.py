"""How many pictures one process feeds to a base, and how long each of them holds Python's lock there.

An extraction whose base costs nothing, with pictures that are decoded in threads and in processes, local and remote.
The lock is sampled by py-spy, where that is installed and may look into its child. A thread that waits for a core while
it holds the lock counts too, so the CPU of the process says more where decoders take every core.
"""

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from tests.benchmarks.pictures import write_list
from tests.benchmarks.results import Figure
from tests.benchmarks.workshop import Unmeasurable, Workshop

SMALL_SIDE: Final = 32
SIDE: Final = 224
SAMPLES_PER_SECOND: Final = 250

# Threads that load pictures begin here; the others are the main thread's, which feeds in `feed`.
_THREAD: Final = "_bootstrap (threading.py"
_FEEDING: Final = "feed (tests/benchmarks/fed.py"
# One process leaves a core to the process that feeds.
_DECODERS: Final[Mapping[str, Sequence[str]]] = {
    "threads": ["--decode_processes=0"], "processes": [], "one process": ["--decode_processes=1"],
}  # fmt: skip


def feeding(workshop: Workshop, photographs: Sequence[str], count: int, rounds: int) -> list[Figure]:
    """Measures small pictures, of which decoding is a small part, and photographs, of which it is all.

    Raises:
        Unmeasurable: If a process fails.
    """
    small = small_pictures(count, workshop.kept("small"))
    cases = [(f"{SMALL_SIDE} × {SMALL_SIDE} pictures", small, SMALL_SIDE)]
    if photographs:
        cases.append((f"photographs at {SIDE} pixels", photographs[:count], SIDE))
    figures = []
    for name, paths, side in cases:
        pictures = write_list(paths, workshop.scratch("fed").with_suffix(".txt"))
        for where, how in (("local", []), ("remote", ["--remote"])):
            for decoders, option in _DECODERS.items():
                command = ["-m", "tests.benchmarks.fed", f"--pictures={pictures}", f"--side={side}", *how, *option]
                called = f"{name}, {where}, decoded in {decoders}"
                figures += [*_speed(workshop, called, command, rounds), _lock(workshop, called, command)]
    return figures


def _speed(workshop: Workshop, name: str, command: Sequence[str], rounds: int) -> list[Figure]:
    fed = [fed_by(workshop, [sys.executable, *command]) for _ in range(rounds)]
    # The lock is held for no longer than this, where nobody else wants the cores.
    cpu = tuple(1000 * one["cpu_seconds"] / one["pictures"] for one in fed)
    return [
        Figure(name, tuple(one["pictures"] / one["seconds"] for one in fed), "images/s"),
        Figure(f"{name}: CPU of the process that feeds", cpu, "ms/image"),
    ]


def _lock(workshop: Workshop, name: str, command: Sequence[str]) -> Figure:
    name = f"{name}: Python's lock"
    sampler = shutil.which("py-spy", path=f"{Path(sys.executable).parent}") or shutil.which("py-spy")
    if sampler is None:
        return Figure(name, (), "ms/image", "py-spy is not installed")
    samples = workshop.scratch("samples")
    samples.parent.mkdir(parents=True, exist_ok=True)
    record = [sampler, "record", "--gil", "--format=raw", f"--rate={SAMPLES_PER_SECOND}", f"--output={samples}"]
    try:
        fed = fed_by(workshop, [*record, "--", sys.executable, *command])
    except Unmeasurable as error:
        return Figure(name, (), "ms/image", str(error))
    held = samples_of_feeding(samples.read_text()) / SAMPLES_PER_SECOND
    return Figure(name, (1000 * held / fed["pictures"],), "ms/image")


def samples_of_feeding(stacks: str) -> int:
    """Returns the samples of py-spy's raw format that are not of the start-up."""
    lines = [line.rpartition(" ") for line in stacks.splitlines()]
    return sum(int(count) for stack, _, count in lines if stack.startswith(_THREAD) or _FEEDING in stack)


def fed_by(workshop: Workshop, command: Sequence[str]) -> dict[str, float]:
    """Runs a command of `fed`, and returns what it has measured.

    Raises:
        Unmeasurable: If it fails.
    """
    figures_file = workshop.scratch("figures").with_suffix(".json")
    figures_file.parent.mkdir(parents=True, exist_ok=True)
    done = workshop.run([*command, f"--store={workshop.scratch('fed-store')}", f"--figures={figures_file}"])
    if done.exit_code:
        raise Unmeasurable(done.message)
    figures: dict[str, float] = json.loads(figures_file.read_text())
    return figures


def small_pictures(count: int, folder: Path) -> list[str]:
    """Draws JPEGs of noise of `SMALL_SIDE` pixels, and returns their paths; those that are there are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:06}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        if not path.exists():
            pixels = np.random.default_rng(number).integers(0, 256, (SMALL_SIDE, SMALL_SIDE, 3), np.uint8)
            Image.fromarray(pixels).save(path)
    return [str(path) for path in paths]
