"""python -m pipelines.extract: image URIs in, a committed feature table out.

    python -m pipelines.extract --runner=DirectRunner
    python -m pipelines.extract --input=photos/ --labels_from=parent --conv_base=VGG16 --output=store

Without --input it draws sample pictures and computes their features with random weights, offline.
Exit codes: 0 done; 1 the run failed, and the sentence says if anything of it is visible; 2 the command cannot start as
it was given; 3 its --time_budget was used up, nothing of it is visible, and the next run goes on from there.
"""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any, Final

from deltalake.exceptions import DeltaError

from pipelines.console import (
    check_figure_files,
    committed_before_text,
    extraction_text,
    planned_counts,
    planned_text,
    run_counts,
    run_figures,
    with_first_failures,
    write_summary,
)
from pipelines.functions import ExtractionResult, make_callable, printed
from pipelines.jobs import (
    Job,
    asked_columns,
    committed_before,
    find_images,
    find_store,
    new_job,
    open_or_create_store,
    resolved_spec,
    run_job,
    stored_rules,
    updated_columns,
)
from pipelines.monitoring import are_metrics_wanted, export_metrics
from pipelines.options import (
    Parser,
    add_extraction_options,
    add_inputs,
    add_run_name_options,
    add_source_options,
    run_main,
)
from pipelines.runners import parse_command
from schemas.errors import ConvbaseError, RunFailed, RunStopped, first_line
from schemas.store import FeatureStore, RunState
from schemas.tables import check_carried
from transforms.machine import find_measured
from transforms.planning import RetryFailures, known_by_partition, plan_run
from transforms.sources import ListingRules, Source

_FIRST: Final = (
    "input", "output", "labels_from", "conv_base", "weights", "layers", "pooling", "exclude", "dry_run", "time_budget",
)  # fmt: skip


def parser() -> Parser:
    """Returns the command's parser."""
    command = Parser.of_command("pipelines.extract", __doc__, first=_FIRST, epilog="Beam's own options pass through.")
    add_inputs(command)
    add_source_options(command)
    add_extraction_options(command)
    add_run_name_options(command)
    return command


def main(arguments: Sequence[str]) -> int:
    """Runs the command, prints what it has done, and returns its exit code.

    Raises:
        ConvbaseError: If it cannot start, or the run fails.
    """
    return printed(run(arguments))


def run(arguments: Sequence[str]) -> ExtractionResult:
    """Runs the command and returns what it has done.

    Raises:
        ConvbaseError: If it cannot start, or the run fails.
    """
    given, beam_arguments = parse_command(parser(), arguments)
    check_figure_files(given)
    before = None if given.dry_run else committed_before(given)
    if before is not None:
        return _committed_before(given, *before)
    sources, rules = find_images(given)
    check_carried(asked_columns(given), rules.carried)
    if given.dry_run:
        return dry_run(given, sources, rules)
    store = open_or_create_store(given)
    job = new_job(given, sources, rules, store, beam_arguments)
    row: Mapping[str, Any] | None = None
    try:
        row = run_job(job)
    except RunFailed as error:
        raise with_first_failures(error, store, job.run.run_id) from error
    finally:
        tell_figures(given, job, row)
    if row is None:
        return ExtractionResult(
            text="The job is written down as a template; once it is started, its row in `runs` has its result."
        )
    if row["state"] == RunState.STOPPED:
        raise RunStopped(row["message"])
    if row["started_at"] != job.run.started_at:
        return _committed_before(given, store, row)
    return _extracted(row, store)


def tell_figures(given: argparse.Namespace, job: Job, row: Mapping[str, Any] | None) -> None:
    """Writes the closing figures of a run where they are wanted, as far as it has a row that tells them.

    Args:
        given: The command's options.
        job: The run's job.
        row: Its row in `runs`; None where it has not been read, because the run failed.
    """
    if not (given.summary or are_metrics_wanted(given.metrics_file)):
        return
    ended = row or _recorded(job)
    if ended is not None and given.summary:
        write_summary(given.summary, ended)
    code = {RunState.COMPLETE: 0, RunState.STOPPED: RunStopped.exit_code}.get(ended["state"], 1) if ended else 1
    labels = {"command": "extract", "store": job.store.uri}
    export_metrics(given.metrics_file, labels, [ended] if ended else [], job.store, code)


def _recorded(job: Job) -> Mapping[str, Any] | None:
    """Returns the row of a run that failed; None where there is none, or it cannot be read: the run's error is told."""
    try:
        return job.store.find_run(job.run.run_id, job.run.started_at)
    except (ConvbaseError, DeltaError, OSError):
        return None


def _extracted(row: Mapping[str, Any], store: FeatureStore, before: str = "") -> ExtractionResult:
    text = before + extraction_text(row, store)
    return ExtractionResult(text=text, store=store, counts=run_figures(row), shown=run_counts(row))


def _committed_before(given: argparse.Namespace, store: FeatureStore, row: Mapping[str, Any]) -> ExtractionResult:
    """Returns, and writes into the summary, what a run of the same name has committed."""
    if given.summary:
        write_summary(given.summary, row)
    return _extracted(row, store, f"{committed_before_text(row['run_id'])}\n")


def dry_run(given: argparse.Namespace, sources: Sequence[Source], rules: ListingRules) -> ExtractionResult:
    """Plans without doing anything, and returns what would be done.

    Raises:
        RunFailed: If an input cannot be listed.
    """
    store = find_store(given)
    spec = resolved_spec(given) if store is None else store.spec
    try:
        rules = stored_rules(rules, store)
        annotations = updated_columns(given, sources, rules)
        known = known_by_partition(store, RetryFailures(given.retry_failures), annotations)
        counts = plan_run(sources, rules, known, annotations)
    except OSError as error:
        raise RunFailed(f"The input cannot be listed: {first_line(error)}") from error
    shown = planned_counts(counts, given.shard_size, spec)
    text = planned_text(counts, given.shard_size, spec, find_measured(store.uri) if store else None)
    return ExtractionResult(text=text, store=store, counts=dict(shown), shown=shown)


if __name__ == "__main__":
    run_main(main)
else:
    make_callable(__name__)
