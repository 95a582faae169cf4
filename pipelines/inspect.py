"""python -m pipelines.inspect: what is in a store, or what a conv base is made of.

    python -m pipelines.inspect feature-store
    python -m pipelines.inspect feature-store --runs=30 --html=nights.html
    python -m pipelines.inspect feature-store --freshness=26h
    python -m pipelines.inspect feature-store --failures --run=RUN
    python -m pipelines.inspect feature-store --coverage --input='uploads/{ds}/' --start=2026-01-01
    python -m pipelines.inspect --conv_base=VGG16 --input_shape=150,150,3
    python -m pipelines.inspect --conv_base=mine.onnx
    python -m pipelines.inspect --conv_base=keras_hub:presets/vit

Exit codes: 0 done; 1 --coverage found that something is missing; 2 the command cannot start as it was given; 4 the last
images came longer ago than --freshness allows.
"""

import argparse
import datetime
from collections.abc import Sequence
from typing import Final

from pipelines.console import coverage_report, failure_lines, last_runs, run_table, store_lines
from pipelines.monitoring import NIGHT_COLUMNS, check_freshness, nights_html, set_subject
from pipelines.options import (
    Parser,
    add_date_options,
    add_look_options,
    add_source_options,
    add_spec_options,
    run_main,
    spec_options,
)
from schemas.errors import UsageError, with_count
from schemas.spec import NO_WEIGHTS, FeatureSpec
from schemas.storage import check_file, write_file
from schemas.store import FeatureStore, read_drift

_FIRST: Final = (
    "store", "runs", "html", "freshness", "failures", "run", "coverage", "input", "conv_base", "weights", "input_shape",
    "limit",
)  # fmt: skip

_RUNS_ON_PAGE: Final = 30


def parser() -> Parser:
    """Returns the command's parser."""
    command = Parser.of_command("pipelines.inspect", __doc__, first=_FIRST)
    command.add_argument("store", nargs="?", help="the store to look at")
    add_look_options(command)
    add_source_options(command, without_input="none; --coverage needs one")
    add_date_options(command)
    add_spec_options(command)
    return command


def main(arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit code.

    Raises:
        ConvbaseError: If there is no such store or conv base, or an input cannot be compared with the store.
    """
    given = parser().begin(arguments)
    if given.store:
        set_subject(store=given.store)
        return _look(FeatureStore.open(given.store), given)
    if given.coverage or given.runs or given.failures or given.freshness or given.html or not given.conv_base:
        raise UsageError("Name a store, or a conv base with --conv_base=NAME.")
    from transforms.conv_bases import summarise_conv_base
    from transforms.origins import said_by_preset, with_saved_network

    asked = with_saved_network(spec_options(given))
    print(summarise_conv_base(FeatureSpec(**{"weights": NO_WEIGHTS, **said_by_preset(asked), **asked})))
    return 0


def _look(store: FeatureStore, given: argparse.Namespace) -> int:
    if given.html:
        _write_page(store, given)
    if given.freshness:
        print(check_freshness(store, given.freshness, datetime.datetime.now(datetime.UTC)))
    if given.coverage:
        lines, missing = coverage_report(given, store)
        print("\n".join(lines))
        return 1 if missing else 0
    if given.failures:
        for line in failure_lines(store.uri, given.run):
            print(line)
        return 0
    if given.runs or not (given.freshness or given.html):
        print("\n".join(run_table(store, given.runs) if given.runs else store_lines(store)))
    return 0


def _write_page(store: FeatureStore, given: argparse.Namespace) -> None:
    """Writes the page of the last runs.

    Raises:
        UsageError: If it cannot be written.
    """
    check_file(f"--html={given.html}", given.html)
    rows = last_runs(store, NIGHT_COLUMNS).slice(0, given.runs or _RUNS_ON_PAGE).to_pylist()
    drift = {row["run_id"]: row for row in read_drift(store.uri)}
    write_file(given.html, nights_html(store.uri, rows, drift, datetime.datetime.now(datetime.UTC)).encode())
    print(f"{with_count(len(rows), 'run')} written to {given.html}.")


if __name__ == "__main__":
    run_main(main)
