"""python -m tests.benchmarks: extraction beside its peers and beside the limit of the machine.

    make bench IMAGES=photos
    make bench IMAGES=photos BENCH_OPTIONS="--bases=ResNet50 --precisions=float32 --only=race"

With its defaults it takes about three hours on two cores; --quick, ten minutes, proves only that everything runs.
Results are written after every process, so that an interruption loses nothing: benchmarks.md, .json and .svg.
"""

import argparse
import json
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tests.benchmarks.archives import MEMBERS, archives
from tests.benchmarks.cases import COLD, PEERS, PRECISIONS, RACED, REMOTE, SCALED, SIDES, WARM, WARM_HALF, Case
from tests.benchmarks.cloud import cloud, pictures_in_s3
from tests.benchmarks.commits import FRAGMENTS, commits
from tests.benchmarks.epochs import TABLE, epochs
from tests.benchmarks.exploring import ROWS as EXPLORED
from tests.benchmarks.exploring import SEARCHED, ExploredBase, exploring
from tests.benchmarks.feeding import feeding
from tests.benchmarks.machine import SECONDS_PER_SIZE
from tests.benchmarks.memory_growth import memory_growth
from tests.benchmarks.nothing_new import nothing_new
from tests.benchmarks.pictures import find_pictures, megapixel_pictures
from tests.benchmarks.planning import COUNTS, planning
from tests.benchmarks.plot import draw
from tests.benchmarks.probes import PROBED, TABLES, probes
from tests.benchmarks.processes import processes
from tests.benchmarks.race import Race
from tests.benchmarks.report import Report
from tests.benchmarks.results import Figure
from tests.benchmarks.syncs import syncs
from tests.benchmarks.training_reads import ROWS, training_reads
from tests.benchmarks.workshop import Unmeasurable, Workshop

ONLY: Final = (
    "race", "megapixels", "race_in_s3", "nothing_new", "syncs", "feeding", "processes", "archives", "cloud",
    "training_reads", "probes", "epochs", "memory", "planning", "commits", "exploring",
)  # fmt: skip
_WITHOUT_PICTURES: Final = frozenset(
    {"feeding", "archives", "training_reads", "probes", "epochs", "planning", "commits", "exploring"}
)
_QUICK: Final = {
    "count": 64, "rounds": 1, "megapixel_count": 16, "known": 64, "rows": 4096, "fed": 256, "members": 500,
    "planned": (10_000,), "fragments": 100, "probe_share": 0.02, "explored": 4000, "searched": 20_000,
}  # fmt: skip
_QUICK_LIMIT_SECONDS: Final = 0.5
_LIGHT_BASE: Final = "MobileNet"
_NAMES_OF_PEERS: Final = {module: name for name, module in PEERS.items()}


def parser() -> argparse.ArgumentParser:
    """Returns the command's parser."""
    command = argparse.ArgumentParser(
        "python -m tests.benchmarks", "%(prog)s --images=FOLDER [options]", __doc__.partition("\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    command.add_argument("--images", type=Path, metavar="FOLDER", help="real JPEGs, of about 500×375")
    command.add_argument("--only", type=_some_of(ONLY), default=ONLY, metavar="A,B", help=f"of {','.join(ONLY)}")
    command.add_argument(
        "--bases",
        type=_some_of(tuple(SIDES)),
        default=RACED,
        metavar="A,B",
        help=f"of {','.join(SIDES)} (default: {','.join(RACED)})",
    )
    command.add_argument(
        "--precisions", type=_some_of(PRECISIONS), default=PRECISIONS, metavar="A,B", help=f"of {','.join(PRECISIONS)}"
    )
    command.add_argument(
        "--peers",
        type=_some_of((*_NAMES_OF_PEERS, "none")),
        default=tuple(_NAMES_OF_PEERS),
        metavar="A,B",
        help=f"of {','.join(_NAMES_OF_PEERS)}, or none",
    )
    command.add_argument(
        "--cold",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also with nothing published or cached (default: yes)",
    )
    command.add_argument("--count", type=int, default=1000, metavar="N", help="pictures a race (default: 1000)")
    command.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds, of which medians (default: 3)")
    command.add_argument(
        "--behind",
        type=float,
        default=1.3,
        metavar="X",
        help="run peers once only that take X times the time of the best one in the first round (default: 1.3)",
    )
    command.add_argument(
        "--megapixel_count", type=int, default=200, metavar="N", help="12-megapixel pictures (default: 200)"
    )
    command.add_argument(
        "--fed", type=int, default=4096, metavar="N", help="pictures fed to a base that costs nothing (default: 4096)"
    )
    command.add_argument(
        "--members", type=int, default=MEMBERS, metavar="N", help=f"members of an archive (default: {MEMBERS})"
    )
    command.add_argument("--known", type=int, default=4000, metavar="N", help="pictures known (default: 4000)")
    command.add_argument(
        "--rows", type=int, default=ROWS, metavar="N", help=f"rows of training reads (default: {ROWS})"
    )
    command.add_argument(
        "--probed",
        type=_some_of(tuple(TABLES)),
        default=PROBED,
        metavar="A,B",
        help=f"tables of linear probes, of {','.join(TABLES)} (default: {','.join(PROBED)})",
    )
    command.add_argument(
        "--probe_share", type=float, default=1.0, metavar="X", help="the share of their rows (default: 1)"
    )
    command.add_argument(
        "--planned", type=_numbers, default=COUNTS, metavar="N,M", help="images that are planned (default: 1e5 to 1e7)"
    )
    command.add_argument(
        "--fragments",
        type=int,
        default=FRAGMENTS,
        metavar="N",
        help=f"fragments of a commit, and a tenth as many commits (default: {FRAGMENTS})",
    )
    command.add_argument(
        "--explored", type=int, default=EXPLORED, metavar="N", help=f"images compared (default: {EXPLORED})"
    )
    command.add_argument(
        "--searched", type=int, default=SEARCHED, metavar="N", help=f"images searched in (default: {SEARCHED})"
    )
    command.add_argument(
        "--explored_base",
        type=ExploredBase.parse,
        action="append",
        default=[],
        metavar="BASE:NAME=VALUE:FILE",
        help="explore --images through this conv base, too, as MobileNet:alpha=0.25:weights.h5; given several times",
    )
    command.add_argument(
        "--memory_base", choices=RACED, default="VGG16", help="base of the memory benchmark (default: VGG16)"
    )
    command.add_argument(
        "--our_options",
        type=lambda text: tuple(shlex.split(text)),
        default=(),
        metavar="OPTIONS",
        help="further options of our command, such as --our_options='--engine=keras --batch_size=32'",
    )
    command.add_argument(
        "--timeout", type=float, default=1800.0, metavar="S", help="seconds a process may take (default: 1800)"
    )
    command.add_argument(
        "--output", type=Path, default=Path("build/benchmarks"), metavar="FOLDER", help="default: build/benchmarks"
    )
    command.add_argument(
        "--quick", action="store_true", help="a smoke run of everything that is not given: few pictures"
    )
    return command


def main() -> int:
    """Runs the benchmarks and returns the exit code: 0, whoever failed in them."""
    command = parser()
    given = command.parse_args()
    if given.quick:
        command.set_defaults(**_QUICK)
        given = command.parse_args()
    if given.images is None and not _WITHOUT_PICTURES.issuperset(given.only):
        command.error(f"--images=FOLDER is needed but for {', '.join(sorted(_WITHOUT_PICTURES))}.")
    if given.explored_base and given.images is None:
        command.error("--explored_base takes the pictures of --images=FOLDER.")
    pictures = find_pictures(given.images) if given.images else ()
    if len(pictures) < given.count and "race" in given.only:
        command.error(f"{given.images} has {len(pictures)} JPEGs; --count={given.count} needs more.")
    # So that `finally` holds, and no process that is being measured outlives this one.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    workshop = Workshop(given.output, given.timeout)
    try:
        Benchmarks(given, workshop, pictures).run()
    finally:
        shutil.rmtree(given.output / "scratch", ignore_errors=True)
    return 0


class Benchmarks:
    """All that was asked for, one after the other."""

    def __init__(self, given: argparse.Namespace, workshop: Workshop, pictures: tuple[str, ...]) -> None:
        self._given = given
        self._workshop = workshop
        self._pictures = pictures
        self._report = Report(vars(given))
        self._started = time.perf_counter()

    def run(self) -> None:
        """Runs them and writes the report, again after each process."""
        self._fill_page_cache()
        self._races()
        for name, measure in self._others():
            self._say(name)
            try:
                self._report.figures[name] = measure()
            except Unmeasurable as error:
                self._report.figures[name] = [Figure(name, (), "", str(error))]
            self._write()

    def _fill_page_cache(self) -> None:
        """Reads every picture once, so that the first contestant has no disadvantage."""
        for path in self._pictures[: max(self._given.count, self._given.known)]:
            Path(path).read_bytes()

    def _races(self) -> None:
        race = Race(self._workshop, _QUICK_LIMIT_SECONDS if self._given.quick else SECONDS_PER_SIZE, self._given.behind)
        for case in self._cases():
            self._say(case.name)
            said = 0
            for number, result in enumerate(race.run(case, self._given.rounds)):
                if not number:
                    self._report.cases.append(result)
                if len(result.outcomes) > said:  # Else it is the limit that was measured.
                    last, said = result.outcomes[-1], len(result.outcomes)
                    self._say(f"  round {last.round}, {last.contestant}: {last.failure or f'{last.seconds:.1f} s'}")
                self._write()

    def _cases(self) -> Iterator[Case]:
        given = self._given
        peers = tuple(_NAMES_OF_PEERS[module] for module in given.peers if module in _NAMES_OF_PEERS)
        if "race" in given.only:
            for conv_base in given.bases:
                for precision in given.precisions:
                    weights = self._workshop.weights(conv_base)
                    everybody = (*peers, WARM, WARM_HALF, *((COLD,) if given.cold else ()))
                    yield Case(
                        "pictures",
                        self._pictures,
                        given.count,
                        conv_base,
                        precision,
                        weights,
                        everybody,
                        given.our_options,
                    )
        if "megapixels" in given.only:
            count = given.megapixel_count
            paths = megapixel_pictures(self._pictures, count, self._workshop.kept("megapixels"))
            weights = self._workshop.weights(_LIGHT_BASE)
            everybody = (*peers, WARM, WARM_HALF, SCALED)
            yield Case(
                "12-megapixel pictures", paths, count, _LIGHT_BASE, PRECISIONS[0], weights, everybody, given.our_options
            )
        if "race_in_s3" in given.only:
            try:
                yield from self._cases_in_s3()
            except Unmeasurable as error:
                self._report.figures["Pictures in S3"] = [Figure("peers", (), "", str(error))]

    def _cases_in_s3(self) -> Iterator[Case]:
        given, paths = self._given, self._pictures[: self._given.count]
        peers = tuple(_NAMES_OF_PEERS[module] for module in given.peers if module in REMOTE)
        with pictures_in_s3(self._workshop, paths) as folder:
            uris = tuple(f"{folder}/{Path(path).name}" for path in paths)
            for conv_base in given.bases:
                weights = self._workshop.weights(conv_base)
                yield Case(
                    "pictures in S3",
                    uris,
                    len(uris),
                    conv_base,
                    PRECISIONS[0],
                    weights,
                    (*peers, WARM),
                    given.our_options,
                )

    def _others(self) -> Iterator[tuple[str, Callable[[], list[Figure]]]]:
        given = self._given
        if "nothing_new" in given.only:
            yield (
                "Nothing new",
                lambda: nothing_new(self._workshop, self._plain(_LIGHT_BASE, given.known), given.rounds),
            )
        if "syncs" in given.only:
            yield "Syncs", lambda: syncs(self._workshop, self._plain(_LIGHT_BASE, given.count), given.rounds)
        if "feeding" in given.only:
            yield (
                "Pictures that one process feeds",
                lambda: feeding(self._workshop, self._pictures, given.fed, given.rounds),
            )
        if "processes" in given.only:
            yield (
                "Two processes",
                lambda: processes(self._workshop, self._plain(_LIGHT_BASE, given.count), given.rounds),
            )
        if "archives" in given.only:
            yield "Archives beside a folder", lambda: archives(self._workshop, given.rounds, given.members)
        if "cloud" in given.only:
            yield (
                "Pictures in a bucket",
                lambda: cloud(self._workshop, self._plain(_LIGHT_BASE, given.count), given.rounds),
            )
        yield from self._of_made_tables()

    def _of_made_tables(self) -> Iterator[tuple[str, Callable[[], list[Figure]]]]:
        given = self._given
        if "training_reads" in given.only:
            yield "Training reads", lambda: training_reads(self._workshop, given.rounds, given.rows)
        if "probes" in given.only:
            tables = [TABLES[name].scaled(given.probe_share) for name in given.probed]
            yield (
                "Linear probes",
                lambda: probes(self._workshop, tables, given.rounds, with_peer="none" not in given.peers),
            )
        if "epochs" in given.only:
            yield "Epochs", lambda: epochs(self._workshop, TABLE.scaled(given.probe_share), given.rounds)
        if "memory" in given.only:
            yield "Memory", lambda: memory_growth(self._workshop, self._plain(given.memory_base, given.count))
        if "planning" in given.only:
            yield "Planning", lambda: planning(self._workshop, given.planned)
        if "exploring" in given.only:
            yield (
                "Exploring",
                lambda: exploring(
                    self._workshop,
                    given.rounds,
                    rows=given.explored,
                    searched=given.searched,
                    pictures=self._pictures,
                    bases=given.explored_base,
                ),
            )
        if "commits" in given.only:
            yield "Commits", lambda: commits(self._workshop, given.fragments, given.fragments // 10)

    def _plain(self, conv_base: str, count: int) -> Case:
        enough = min(count, len(self._pictures))
        weights = self._workshop.weights(conv_base)
        return Case(
            "pictures", self._pictures, enough, conv_base, PRECISIONS[0], weights, (WARM,), self._given.our_options
        )

    def _write(self) -> None:
        folder = self._given.output
        Path(folder, "benchmarks.json").write_text(json.dumps(self._report.to_dict(), indent=2) + "\n")
        Path(folder, "benchmarks.md").write_text(self._report.to_markdown())
        if self._report.cases:
            draw(self._report.cases, folder / "benchmarks.svg")

    def _say(self, text: str) -> None:
        print(f"{time.perf_counter() - self._started:7.0f} s  {text}", flush=True)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(float(number)) for number in text.split(","))


def _some_of(names: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    def read(text: str) -> tuple[str, ...]:
        chosen = tuple(word.strip() for word in text.split(",") if word.strip())
        unknown = [word for word in chosen if word not in names]
        if unknown or not chosen:
            raise argparse.ArgumentTypeError(f"'{text}' is not a list of {', '.join(names)}")
        return chosen

    return read


if __name__ == "__main__":
    sys.exit(main())
