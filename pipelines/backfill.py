"""python -m pipelines.backfill: the images of dates into a store, a run a date; nothing twice, nothing lost.

    python -m pipelines.backfill --input='gs://bucket/uploads/{ds}/' --output=gs://bucket/store
    python -m pipelines.backfill --input='uploads/{ds}/' --start=2026-01-01 --end=2026-01-31 --dry_run

The rows of a date are a partition of the table, `ds`. A date is complete when a backfill over the same input is that
began after the date was over (UTC), as long as no restoration or repair has taken out what it committed. A complete
date is skipped, whatever has come since; --lookback looks for that. A date without an image is empty, which is no
error, and is looked at again by every backfill that covers it. A date that fails does not stop the others, and
--time_budget is for all of them. With --check_drift the images of each date that got some are compared with those of
the dates before it.

Exit codes: 0 every date is complete or empty; 1 a date failed, the others are as the table says, or the images of one
differ more than --max_drift allows; 2 the command cannot start as it was given; 3 its --time_budget was used up, no
date failed, and the next backfill goes on from there; 4 all that came is in the store, but fewer images came than
--expect_images allows.
"""

import argparse
from collections.abc import Iterator, Sequence
from typing import Final

from pipelines.console import (
    HEADS,
    check_drift,
    check_figure_files,
    check_results,
    drift_line,
    planned_lines,
    result_figures,
    result_line,
    write_json,
)
from pipelines.dates import Backfill, DateResult
from pipelines.jobs import named_store, resolved_spec
from pipelines.monitoring import ExpectedImages, check_number_of_images, export_metrics, set_subject, told_at_its_end
from pipelines.options import (
    Parser,
    add_backfill_options,
    add_date_options,
    add_expectation_option,
    add_extraction_options,
    add_inputs,
    add_nightly_drift_options,
    add_source_options,
    run_main,
)
from pipelines.runners import parse_command
from schemas.errors import UsageError
from transforms.machine import find_measured
from transforms.planning import past_rate

_FIRST: Final = (
    "input", "output", "start", "end", "labels_from", "conv_base", "lookback", "dry_run", "time_budget", "summary",
)  # fmt: skip


def parser() -> Parser:
    """Returns the command's parser."""
    command = Parser.of_command("pipelines.backfill", __doc__, first=_FIRST, epilog="Beam's own options pass through.")
    add_inputs(command)
    add_source_options(command, without_input="none; it has to be given, with {ds} where the date is")
    add_date_options(command)
    add_backfill_options(command)
    add_expectation_option(command)
    add_nightly_drift_options(command)
    add_extraction_options(command)
    return command


def main(arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit code.

    Raises:
        ConvbaseError: If it cannot start, a date fails, or the time is up.
    """
    given, beam_arguments = parse_command(parser(), arguments)
    check_figure_files(given)
    if given.max_drift is not None and not given.check_drift:
        raise UsageError("--max_drift judges what --check_drift finds; give both.")
    if given.dry_run:
        print("\n".join(priced(given, Backfill(given, beam_arguments))))
        return 0
    results: list[DateResult] = []
    backfill: Backfill | None = None

    def tell(code: int) -> None:
        rows = [result.row for result in results if result.row is not None]
        labels = {"command": "backfill", "store": named_store(given)}
        export_metrics(given.metrics_file, labels, rows, backfill.store if backfill else None, code)

    with told_at_its_end(tell):
        backfill = Backfill(given, beam_arguments)
        run_all(given, backfill, results)
    return 0


def priced(given: argparse.Namespace, backfill: Backfill) -> Iterator[str]:
    """Plans without doing anything, and yields the lines that say what would be done.

    Raises:
        RunFailed: If an input cannot be listed.
    """
    plans, store = backfill.plans(), backfill.store
    is_computed = any(date.counts for date in plans)
    spec = store.spec if store else resolved_spec(given) if is_computed else None
    yield from planned_lines(plans, spec, past_rate(store), find_measured(store.uri) if store else None)


def run_all(given: argparse.Namespace, backfill: Backfill, results: list[DateResult]) -> None:
    """Runs the dates, and checks what has become of them.

    Args:
        given: The command's options.
        backfill: The runs.
        results: Gets the results.

    Raises:
        ConvbaseError: If a date fails, the time is up, images are missing, or they differ from those before.
    """
    print(HEADS)
    for result in backfill.run():
        print(result_line(result), flush=True)
        results.append(result)
        write_results(given.summary, results)
    set_subject(store=named_store(given))
    if given.check_drift:
        for number, compared in backfill.compared(results):
            results[number] = compared
            print(drift_line(compared), flush=True)
        write_results(given.summary, results)
    check_results(results)
    if given.expect_images:
        expected = ExpectedImages.parse(given.expect_images)
        for line in check_number_of_images(expected, backfill.listed(results), backfill.store):
            print(line)
    check_drift(results, given.max_drift, given.output)


def write_results(uri: str | None, results: Sequence[DateResult]) -> None:
    """Writes the summary for machines, if one is wanted: the results so far, by date."""
    if uri:
        write_json(uri, [result_figures(each) for each in sorted(results, key=lambda each: each.ds)])


if __name__ == "__main__":
    run_main(main)
