"""What is in a store, as text: its spec, its last runs, its failures."""

import itertools
import json
import shlex
from collections.abc import Iterator, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.console.padded_lines import padded_line, size_text
from pipelines.console.runs import COLUMNS, HEADS, run_line
from schemas.delta import Scan, files_of
from schemas.errors import RunFailed, printable, with_count
from schemas.store import FeatureStore, PredictionTables, read_drift, read_failures, read_other_failures

_RUNS_SHOWN: Final = 10
_FAILURES_SHOWN: Final = 5


def store_lines(store: FeatureStore) -> Iterator[str]:
    """Yields the overview of a store, one screen long."""
    files = files_of(store.features())
    size = pc.sum(files["size_bytes"]).as_py() or 0
    yield f"Store {store.uri}, version {store.features().version()}"
    rows = with_count(store.features().count(), "row")
    if store.spec.augmentation:
        rows = f"{with_count(store.scan_images().count(), 'image')}, {rows}"
    yield f"  {rows} in {with_count(files.num_rows, 'file')}, {size_text(size)}"
    yield f"  conv base {store.conv_base_uri}"
    yield ""
    yield f"Spec {store.fingerprint}"
    for name, value in store.spec.to_dict().items():
        yield f"  {name:<18} {printable(value) if isinstance(value, str) else json.dumps(value)}"
    yield ""
    yield from _run_lines(store)
    yield ""
    yield from _failure_lines(store)


def run_table(store: FeatureStore, shown: int) -> Iterator[str]:
    """Yields the last runs of a store as a table, the newest first.

    Args:
        store: The store.
        shown: The most runs that are shown.
    """
    runs = last_runs(store, [*COLUMNS, "ended_at"])
    drift = {row["run_id"]: row for row in read_drift(store.uri)}
    yield HEADS
    yield from (run_line(row, drift.get(row["run_id"])) for row in runs.slice(0, shown).to_pylist())
    if runs.num_rows > shown:
        yield f"… and {runs.num_rows - shown:,} earlier ones."


def last_runs(store: FeatureStore, columns: Sequence[str]) -> pa.Table:
    """Returns all runs of a store, the newest first.

    Args:
        store: The store.
        columns: Columns of `runs`, `ended_at` among them.
    """
    return Scan(store.runs(), list(columns)).to_arrow().sort_by([("ended_at", "descending")])


def _run_lines(store: FeatureStore) -> Iterator[str]:
    columns = ["ended_at", "run_id", "state", "listed", "skipped", "extracted", "failed", "images_per_second"]
    runs = last_runs(store, columns)
    yield f"Runs: {runs.num_rows}, the last of them:"
    shown = runs.slice(0, _RUNS_SHOWN).to_pylist()
    longest = max((len(run["run_id"]) for run in shown), default=3)
    widths = (-21, -longest - 2, -10, 10, 10, 10, 8, 8)
    heads = ("ended (UTC)", "run", "state", "listed", "skipped", "new", "failed", "img/s")
    yield "  " + padded_line(heads, widths)
    for run in shown:
        ended, *others = (run[name] for name in columns)
        yield "  " + padded_line((f"{ended:%Y-%m-%d %H:%M:%S}", *others), widths)


def _failure_lines(store: FeatureStore) -> Iterator[str]:
    failures = Scan(store.failures(), ["stage", "code", "permanent"]).to_arrow()
    yield f"Failures: {failures.num_rows}" + (", by code:" if failures.num_rows else "")
    grouped = failures.group_by(["stage", "code", "permanent"]).aggregate([([], "count_all")])
    for row in grouped.sort_by([("count_all", "descending")]).to_pylist():
        kind = "permanent" if row["permanent"] else "tried again"
        yield padded_line((row["count_all"], "", row["stage"], row["code"], kind), (10, 2, -8, -22, 0))
    others = sum(rows.num_rows for rows in read_other_failures(store.uri))
    if others:
        yield f"  --failures lists {others:,} more, of runs that were not committed or that later runs have replaced."


def failure_lines(store_uri: str, run_id: str | None = None) -> Iterator[str]:
    """Yields a line for each time that an image failed: when (UTC), code, URI and message, separated by tabs."""
    for batch in read_failures(store_uri, run_id):
        for row in batch.to_pylist():
            said = (row["code"], printable(row["uri"]), printable(row["message"]))
            yield f"{row['failed_at']:%Y-%m-%d %H:%M:%S}\t" + "\t".join(said)


def with_first_failures(error: RunFailed, store: FeatureStore | PredictionTables, run_id: str) -> RunFailed:
    """Returns the error of a run with its first failures below it, and of a store how the others are listed."""
    lines = list(itertools.islice(failure_lines(store.uri, run_id), _FAILURES_SHOWN + 1))
    if not lines:
        return error
    shown = ["  " + "  ".join(line.split("\t")[1:]) for line in lines[:_FAILURES_SHOWN]]
    if len(lines) > _FAILURES_SHOWN:
        listing = f"python -m pipelines.inspect {shlex.quote(store.uri)} --failures --run={run_id}"
        shown.append(f"  … all of them: {listing}" if isinstance(store, FeatureStore) else "  … and others")
    return RunFailed("\n".join([str(error), *shown]))
