"""python -m pipelines.inspect: what is in a store, or what a conv base is made of.

python -m pipelines.inspect feature-store
python -m pipelines.inspect --conv_base=VGG16 --input_shape=150,150,3
"""

import argparse
import json
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.options import Parser, add_spec_options, run_main, spec_options
from schemas.errors import UsageError
from schemas.scan import Scan
from schemas.spec import NO_WEIGHTS, FeatureSpec
from schemas.store import FeatureStore

_RUNS_SHOWN = 10


def parser() -> argparse.ArgumentParser:
    """Returns the command's parser."""
    command = Parser("pipelines.inspect", __doc__.partition("\n")[2].strip())
    command.add_argument("store", nargs="?", help="the store to look at")
    add_spec_options(command)
    return command


def main(arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit code.

    Raises:
        ConvbaseError: If there is no such store or conv base.
    """
    given = parser().parse_args(list(arguments))
    if given.store:
        print("\n".join(_store_lines(FeatureStore.open(given.store))))
    elif given.conv_base:
        from transforms.publishing import summarise_conv_base

        print(summarise_conv_base(FeatureSpec(**{"weights": NO_WEIGHTS, **spec_options(given)})))
    else:
        raise UsageError("Name a store, or a conv base with --conv_base=NAME.")
    return 0


def _store_lines(store: FeatureStore) -> Iterator[str]:
    files = pa.table(store.features().get_add_actions(flatten=True))
    size = pc.sum(files["size_bytes"]).as_py() or 0
    yield f"Store {store.uri}, version {store.features().version()}"
    yield f"  {store.features().count():,} rows in {files.num_rows:,} files, {size / 1e6:,.1f} MB"
    yield f"  conv base {store.conv_base_uri}"
    yield ""
    yield f"Spec {store.fingerprint}"
    for name, value in store.spec.to_dict().items():
        yield f"  {name:<18} {value if isinstance(value, str) else json.dumps(value)}"
    yield ""
    yield from _run_lines(store)
    yield ""
    yield from _failure_lines(store)


def _run_lines(store: FeatureStore) -> Iterator[str]:
    columns = ["ended_at", "run_id", "state", "listed", "skipped", "extracted", "failed", "images_per_second"]
    runs = Scan(store.runs(), columns).to_arrow().sort_by([("ended_at", "descending")])
    yield f"Runs: {runs.num_rows}, the last of them:"
    heads = f"{'listed':>10}{'skipped':>10}{'new':>10}{'failed':>8}{'img/s':>8}"
    yield f"  {'ended (UTC)':<20}{'run':<26}{'state':<10}{heads}"
    for run in runs.slice(0, _RUNS_SHOWN).to_pylist():
        yield (
            f"  {run['ended_at']:%Y-%m-%d %H:%M:%S} {run['run_id']:<26}{run['state']:<10}{run['listed']:>10,}"
            f"{run['skipped']:>10,}{run['extracted']:>10,}{run['failed']:>8,}{run['images_per_second']:>8.1f}"
        )


def _failure_lines(store: FeatureStore) -> Iterator[str]:
    failures = Scan(store.failures(), ["stage", "code", "permanent"]).to_arrow()
    yield f"Failures: {failures.num_rows}" + (", by code:" if failures.num_rows else "")
    grouped = failures.group_by(["stage", "code", "permanent"]).aggregate([([], "count_all")])
    for row in grouped.sort_by([("count_all", "descending")]).to_pylist():
        kind = "permanent" if row["permanent"] else "tried again"
        yield f"  {row['count_all']:>8,}  {row['stage']:<8}{row['code']:<22}{kind}"


if __name__ == "__main__":
    run_main(main)
