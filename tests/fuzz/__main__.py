"""python -m tests.fuzz: tries inputs that nobody would write, and says of which something does not hold.

    make fuzz                                   ten minutes, divided among all targets
    make fuzz FUZZ=decoding,uris SECONDS=3600   an hour for two of them
    make fuzz FUZZ=decoding SEED=7              other inputs
    make fuzz FUZZ=decoding SEED=7 INPUT=1234   one of them, with the whole traceback

Inputs depend on seed and number alone. The exit code is 1 if something does not hold.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Final

from tests.fuzz.driver import Tally, fuzz
from tests.fuzz.targets import TARGETS

_WITHOUT_END: Final = 2**62
_OUTCOMES: Final = 8


def parser() -> argparse.ArgumentParser:
    """Returns the command's parser."""
    command = argparse.ArgumentParser(
        "python -m tests.fuzz", "%(prog)s [options]", __doc__.partition("\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    command.add_argument(
        "--targets", type=_names, default=tuple(TARGETS), metavar="A,B", help=f"of {','.join(TARGETS)} (default: all)"
    )
    command.add_argument("--seconds", type=float, default=600, metavar="S", help="for all together (default: 600)")
    command.add_argument("--inputs", type=int, default=_WITHOUT_END, metavar="N", help="the most of each target")
    command.add_argument("--seed", type=int, default=0, metavar="N", help="decides the inputs (default: 0)")
    command.add_argument("--input", type=int, metavar="N", help="only this one of each target")
    return command


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    for name in names:
        if name not in TARGETS:
            raise argparse.ArgumentTypeError(f"there is no target {name}; there are {', '.join(TARGETS)}")
    return names


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzzes targets, and returns the exit code."""
    given = parser().parse_args(arguments)
    single = given.input is not None
    numbers = range(given.input, given.input + 1) if single else range(given.inputs)
    failed = False
    for name in given.targets:
        started = time.monotonic()
        done = fuzz(TARGETS[name], given.seed, numbers, given.seconds / len(given.targets))
        print(f"{name}: {_summary(done, time.monotonic() - started)}")
        print("".join(f"  {line}\n" for line in _faults(name, given.seed, done, in_full=single)), end="", flush=True)
        failed = failed or bool(done.faults)
    return int(failed)


def _summary(done: Tally, seconds: float) -> str:
    (slowest, slow), (memory, large) = done.slowest, done.peak_memory
    outcomes = ", ".join(f"{outcome} {count:,}" for outcome, count in done.outcomes.most_common(_OUTCOMES))
    return (
        f"{done.tried:,} inputs in {seconds:.0f} s, {len(done.faults)} faults; slowest {slowest:.2f} s "
        f"(input {slow}), peak memory {memory / 1e6:.0f} MB (input {large}); {outcomes}"
    )


def _faults(name: str, seed: int, done: Tally, *, in_full: bool) -> Iterator[str]:
    for kind, fault in done.faults.items():
        yield f"FAULT {kind}, {fault.times} times; again: make fuzz FUZZ={name} SEED={seed} INPUT={fault.number}"
        lines = fault.details.rstrip().splitlines()
        yield from (f"    {line}" for line in (lines if in_full else lines[-1:]))


if __name__ == "__main__":
    sys.exit(main())
