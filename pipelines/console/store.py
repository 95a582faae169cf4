"""What is in a store, as text: its spec, its last runs, its failures."""

import json
from collections.abc import Iterator
from typing import Final

import pyarrow.compute as pc

from pipelines.console.runs import COLUMNS, HEADS, run_line
from schemas.delta import Scan, files_of
from schemas.store import FeatureStore

_RUNS_SHOWN: Final = 10


def store_lines(store: FeatureStore) -> Iterator[str]:
    """Yields the overview of a store, one screen long."""
    files = files_of(store.features())
    size = pc.sum(files["size_bytes"]).as_py() or 0
    yield f"Store {store.uri}, version {store.features().version()}"
    rows = f"{store.features().count():,} rows"
    if store.spec.augmentation:
        rows = f"{store.scan_images().count():,} images, {rows}"
    yield f"  {rows} in {files.num_rows:,} files, {size / 1e6:,.1f} MB"
    yield f"  conv base {store.conv_base_uri}"
    yield ""
    yield f"Spec {store.fingerprint}"
    for name, value in store.spec.to_dict().items():
        yield f"  {name:<18} {value if isinstance(value, str) else json.dumps(value)}"
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
    runs = Scan(store.runs(), [*COLUMNS, "ended_at"]).to_arrow().sort_by([("ended_at", "descending")])
    yield HEADS
    yield from map(run_line, runs.slice(0, shown).to_pylist())
    if runs.num_rows > shown:
        yield f"… and {runs.num_rows - shown:,} earlier ones."


def _run_lines(store: FeatureStore) -> Iterator[str]:
    columns = ["ended_at", "run_id", "state", "listed", "skipped", "extracted", "failed", "images_per_second"]
    runs = Scan(store.runs(), columns).to_arrow().sort_by([("ended_at", "descending")])
    yield f"Runs: {runs.num_rows}, the last of them:"
    heads = f"{'listed':>10}{'skipped':>10}{'new':>10}{'failed':>8}{'img/s':>8}"
    shown = runs.slice(0, _RUNS_SHOWN).to_pylist()
    width = max((len(run["run_id"]) for run in shown), default=3) + 2
    yield f"  {'ended (UTC)':<21}{'run':<{width}}{'state':<10}{heads}"
    for run in shown:
        yield (
            f"  {run['ended_at']:%Y-%m-%d %H:%M:%S}  {run['run_id']:<{width}}{run['state']:<10}{run['listed']:>10,}"
            f"{run['skipped']:>10,}{run['extracted']:>10,}{run['failed']:>8,}{run['images_per_second']:>8.1f}"
        )


def _failure_lines(store: FeatureStore) -> Iterator[str]:
    failures = Scan(store.failures(), ["stage", "code", "permanent"]).to_arrow()
    yield f"Failures: {failures.num_rows}" + (", by code:" if failures.num_rows else "")
    grouped = failures.group_by(["stage", "code", "permanent"]).aggregate([([], "count_all")])
    for row in grouped.sort_by([("count_all", "descending")]).to_pylist():
        kind = "permanent" if row["permanent"] else "tried again"
        yield f"  {row['count_all']:>8,}  {row['stage']:<8}{row['code']:<22}{kind}"
