"""What it costs that files are on the disk before others vouch for them: a run with syncs, and one without.

python -m tests.benchmarks.syncs synced OPTIONS      is pipelines.extract OPTIONS
python -m tests.benchmarks.syncs unsynced OPTIONS    is the same, and syncs nothing
"""

import os
import statistics
import sys
from collections.abc import Sequence

from pipelines import extract
from pipelines.options import run_main
from tests.benchmarks.cases import Case, our_command
from tests.benchmarks.measuring import Measurement
from tests.benchmarks.pictures import write_list
from tests.benchmarks.results import Figure
from tests.benchmarks.workshop import Unmeasurable, Workshop


def syncs(workshop: Workshop, case: Case, rounds: int) -> list[Figure]:
    """Measures extractions of a case's pictures in pairs, with and without syncs, each first in every second pair.

    Raises:
        Unmeasurable: If one fails.
    """
    published = workshop.published(case)
    pictures = write_list(case.paths[: case.count], workshop.scratch("pictures").with_suffix(".txt"))
    taken: dict[bool, list[float]] = {True: [], False: []}
    for number in range(rounds):
        for with_syncs in (True, False) if number % 2 == 0 else (False, True):
            command = our_command(case, workshop.warm_store(published), pictures)
            place = command.index("pipelines.extract")
            command[place : place + 1] = [__name__, "synced" if with_syncs else "unsynced"]
            taken[with_syncs].append(_seconds(workshop.run(command)))
    shares = [100 * (synced / unsynced - 1) for synced, unsynced in zip(taken[True], taken[False], strict=True)]
    return [
        Figure(f"{case.count} pictures, synced", tuple(taken[True]), "s"),
        Figure(f"{case.count} pictures, not synced", tuple(taken[False]), "s"),
        Figure("what syncs add, by pairs", tuple(shares), "%"),
        Figure("what syncs add, of the medians", (_share_of_medians(taken[True], taken[False]),), "%"),
    ]


def _share_of_medians(synced: Sequence[float], unsynced: Sequence[float]) -> float:
    return 100 * (statistics.median(synced) / statistics.median(unsynced) - 1)


def _seconds(measured: Measurement) -> float:
    if measured.exit_code:
        raise Unmeasurable(measured.message)
    return measured.seconds


if __name__ == "__main__":
    if sys.argv.pop(1) == "unsynced":
        os.fsync = lambda _: None
    run_main(extract.main)
