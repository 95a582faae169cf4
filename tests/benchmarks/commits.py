"""Commits: one of many fragments, and a table of many commits.

python -m tests.benchmarks.commits --fragments=10000 --commits=1000 --output=figures.json
"""

import argparse
import dataclasses
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from schemas.delta import paths_of
from schemas.fragments import Fragment, FragmentWriter, TableName
from schemas.store import FeatureStore
from tests.benchmarks.planning import SPEC, fragment_schema, rows_of
from tests.benchmarks.results import Figure
from tests.benchmarks.workshop import Unmeasurable, Workshop, local_path
from transforms.planning import Snapshot

FRAGMENTS: Final = 10_000
_AVERAGED: Final = 20
_OPENED: Final = 5
_ROWS: Final = 100
_FOLDER: Final = "ds=2026-01-31"


def commits(workshop: Workshop, fragments: int, commits: int) -> list[Figure]:
    """Measures in a process of its own; the fragments are written before, links to one file.

    Raises:
        Unmeasurable: If it fails.
    """
    file = workshop.scratch("figures").with_suffix(".json")
    command = [sys.executable, "-m", "tests.benchmarks.commits", f"--fragments={fragments}", f"--commits={commits}"]
    measured = workshop.run([*command, f"--output={file}"])
    if measured.exit_code:
        raise Unmeasurable(measured.message)
    figures = json.loads(file.read_text())
    return [Figure(name, tuple(values), unit) for name, values, unit in figures]


def _written(store: FeatureStore, count: int) -> list[Fragment]:
    """Writes one fragment, and copies of it."""
    schema = fragment_schema(store)
    with FragmentWriter(f"{store.uri}/features", TableName.FEATURES, f"{_FOLDER}/0.parquet", schema) as writer:
        writer.write(rows_of(range(_ROWS), schema))
    first = writer.fragment()
    folder = Path(local_path(store.uri), "features")
    copies = [dataclasses.replace(first, path=f"{_FOLDER}/{number}.parquet") for number in range(1, count)]
    for copy in copies:
        os.link(folder / first.path, folder / copy.path)
    return [first, *copies]


def _seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def one_of_many_fragments(folder: Path, count: int) -> list[tuple[str, list[float], str]]:
    """Commits many fragments at once to a new store, then one more."""
    store = FeatureStore.create(str(folder), SPEC)
    written = _written(store, count + 1)
    features, planned_on = TableName.FEATURES, Snapshot.newest(store).versions
    many = _seconds(lambda: store.commit_fragments(features, "many", written[:-1], planned_on))
    after = Snapshot.newest(store).versions
    log = sum(path.stat().st_size for path in Path(folder, "features", "_delta_log").iterdir())
    return [
        (f"a commit of {count:,} fragments", [many], "s"),
        (f"a commit of one beside {count:,} files", [
            _seconds(lambda: store.commit_fragments(features, "one", written[-1:], after))
        ], "s"),
        (f"opening {count:,} files and their paths", [
            _seconds(lambda: paths_of(store.features())) for _ in range(_OPENED)
        ], "s"),
        (f"the log of {count:,} files", [log / 1e6], "MB"),
    ]  # fmt: skip


def many_commits(folder: Path, count: int) -> list[tuple[str, list[float], str]]:
    """Commits one fragment after the other to a new store."""
    store = FeatureStore.create(str(folder), SPEC)
    taken = []
    for number, fragment in enumerate(_written(store, count)):
        started = time.perf_counter()
        planned_on = Snapshot.newest(store).versions
        store.commit_fragments(TableName.FEATURES, str(number), [fragment], planned_on)
        taken.append(time.perf_counter() - started)
    logs = [path.name for path in Path(folder, "features", "_delta_log").iterdir()]
    return [
        (f"the first {_AVERAGED} commits, each", [statistics.mean(taken[:_AVERAGED])], "s"),
        (f"the last {_AVERAGED} of {count:,} commits, each", [statistics.mean(taken[-_AVERAGED:])], "s"),
        (f"opening the table at {count:,} commits", [_seconds(store.features) for _ in range(_OPENED)], "s"),
        (f"reading the table at {count:,} commits", [
            _seconds(lambda: store.scan(["uri", "version"]).to_arrow()) for _ in range(_OPENED)
        ], "s"),
        ("commits in the log", [sum(name.endswith(".json") for name in logs)], "files"),
        ("checkpoints in the log", [sum(name.endswith(".checkpoint.parquet") for name in logs)], "files"),
    ]  # fmt: skip


def main() -> None:
    """Measures once, and writes the figures."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--fragments", type=int, required=True)
    parser.add_argument("--commits", type=int, required=True)
    parser.add_argument("--output", required=True)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        figures = one_of_many_fragments(folder / "fragments", given.fragments)
        figures += many_commits(folder / "commits", given.commits)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    Path(given.output).write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
