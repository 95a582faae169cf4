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
import contextlib
import dataclasses
import datetime
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from deltalake.exceptions import DeltaError

from pipelines.console import (
    HEADS,
    DatePlan,
    DateResult,
    DateState,
    check_drift,
    check_figure_files,
    check_results,
    drift_line,
    planned_lines,
    write_json,
)
from pipelines.jobs import (
    DEFAULT_STORE,
    DatedRuns,
    Job,
    asked_columns,
    asked_dates,
    check_templates,
    dates_between,
    find_store,
    inputs_of,
    listing_rules,
    new_job,
    open_or_create_store,
    resolved_spec,
    run_job,
    sources_of,
    stored_rules,
    updated_columns,
)
from pipelines.monitoring import (
    ExpectedImages,
    check_number_of_images,
    export_metrics,
    listed_images,
    set_subject,
    told_at_its_end,
)
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
from schemas.errors import ConvbaseError, RunFailed, RunInterrupted, UsageError, first_line
from schemas.fragments import Totals
from schemas.storage import canonical_uri
from schemas.store import FeatureStore, InputCounts, RunResult, RunState, read_drift, record_drift
from schemas.tables import check_carried
from transforms.exploration import measure_nightly_drift
from transforms.machine import find_measured
from transforms.planning import RetryFailures, before_deadline, known_by_partition, past_rate, plan_run
from transforms.sources import ListingRules, Source, take_first_look

Images: TypeAlias = tuple[list[Source], ListingRules]

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
        print("\n".join(Backfill(given, beam_arguments).priced()))
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


def named_store(given: argparse.Namespace) -> str:
    """Returns the store that was asked for, in its canonical form if it has one, whether there is one or not."""
    uri: str = given.output or DEFAULT_STORE
    try:
        return canonical_uri(uri)
    except (ConvbaseError, ImportError, ValueError):
        return uri


def run_all(given: argparse.Namespace, backfill: "Backfill", results: list[DateResult]) -> None:
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
        print(result.line(), flush=True)
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
        write_json(uri, [each.figures() for each in sorted(results, key=lambda each: each.ds)])


class Backfill:
    """The runs of some dates, none of them begun yet.

    Attributes:
        dates: The dates, in the order in which they are done.
    """

    def __init__(self, given: argparse.Namespace, beam_arguments: Sequence[str]) -> None:
        """Looks at what was asked for; its time begins now.

        Args:
            given: The command's options.
            beam_arguments: Beam's own arguments, checked.

        Raises:
            UsageError: If the dates or the inputs are none.
            SpecMismatch: If the store holds features of another spec than the one asked.
        """
        if not given.input:
            raise UsageError("Say where the images of a date are, as in --input='uploads/{ds}/'.")
        if any(argument.startswith("--template_location") for argument in beam_arguments):
            raise UsageError("A backfill runs a job a date and cannot be a template; pipelines.extract can.")
        self._asked = asked = asked_dates(given)
        first, last = asked[0], asked[-1]
        looked_back_to = last - datetime.timedelta(days=given.lookback)
        dates = dates_between(min(first, looked_back_to), last)
        check_templates(given.input, dates)
        self._given = given
        self._beam_arguments = beam_arguments
        self._listed_anew = {ds for ds in dates if looked_back_to <= ds < last}
        self._deadline = datetime.datetime.now(datetime.UTC) + given.time_budget if given.time_budget else None
        self._store = find_store(given)
        self._past = DatedRuns.read(self._store, dates)
        self.dates = sorted(dates, key=lambda ds: (self._past.refreshed_at(ds), ds)) if given.refresh else dates

    def run(self) -> Iterator[DateResult]:
        """Runs the dates one after the other.

        Yields:
            The result of each of them.

        Raises:
            UsageError: If there is no store yet and none can be made.
        """
        for ds in self.dates:
            if self._is_skipped(ds):
                yield DateResult(ds, DateState.SKIPPED)
            elif not before_deadline(self._deadline):
                yield DateResult(ds, DateState.NOT_BEGUN)
            else:
                yield self._run_date(ds)

    @property
    def store(self) -> FeatureStore | None:
        """The store; None while there is none."""
        return self._store

    def listed(self, results: Sequence[DateResult]) -> dict[datetime.date, int]:
        """Returns how many images the input of each date had that was asked for, by its last run; 0 without one."""
        before = listed_images(self._store)
        now = {result.ds: result.row["listed"] for result in results if result.row is not None}
        return {ds: now.get(ds, before.get(ds, 0)) for ds in self._asked}

    def compared(self, results: Sequence[DateResult]) -> Iterator[tuple[int, DateResult]]:
        """Compares the images of each date that got some with those of the dates before, and records that.

        A date that got none has the difference that was recorded before: a job that is tried again finds it again.

        Yields:
            The places of results, and these with their difference.
        """
        if self._store is None:
            return
        known = {row["ds"]: row for row in read_drift(self._store.uri)}
        for number, result in enumerate(results):
            if result.row is not None and result.row["extracted"] and result.state == DateState.COMPLETE:
                found = measure_nightly_drift(self._store, result.ds)
                row = None if found is None else found.row(result.row["run_id"])
                if row is not None:
                    record_drift(self._store.uri, row)
                yield number, dataclasses.replace(result, drift=row)
            elif result.ds in known and result.ds not in self._listed_anew:
                yield number, dataclasses.replace(result, drift=known[result.ds])

    def priced(self) -> Iterator[str]:
        """Plans without doing anything, and yields the lines that say what would be done.

        Raises:
            RunFailed: If an input cannot be listed.
        """
        retry = RetryFailures.ALL if self._given.refresh else RetryFailures(self._given.retry_failures)
        images: dict[datetime.date, Images | None] = {}
        for ds in self.dates:
            if not self._is_skipped(ds):
                with _listing_of(ds):
                    images[ds] = self._images_of(ds)
        compared = {ds: updated_columns(self._given, *found) for ds, found in images.items() if found}
        known = known_by_partition(self._store, retry, sorted(set().union(*compared.values())))
        plans = []
        for ds in self.dates:
            found = images.get(ds)
            if found is None:
                plans.append(DatePlan(ds, None, DateState.EMPTY if ds in images else DateState.SKIPPED))
                continue
            with _listing_of(ds):
                plans.append(DatePlan(ds, plan_run(*found, known, compared[ds], refresh=self._given.refresh)))
        computed = any(date.counts for date in plans)
        spec = self._store.spec if self._store else resolved_spec(self._given) if computed else None
        measured = find_measured(self._store.uri) if self._store else None
        yield from planned_lines(plans, spec, past_rate(self._store), measured)

    def _is_skipped(self, ds: datetime.date) -> bool:
        if self._given.refresh or ds in self._listed_anew:
            return False
        inputs = inputs_of(self._given.input, ds)
        return self._past.is_complete(ds, inputs, self._given.extensions, self._given.labels_from)

    def _images_of(self, ds: datetime.date) -> Images | None:
        """Looks at the inputs of a date, or returns None if there is no image in any of them."""
        sources = sources_of(self._given, ds)
        rules = stored_rules(listing_rules(self._given, sources), self._store)
        check_carried(asked_columns(self._given), rules.carried)
        found = take_first_look(sources, rules, expect_files=self._given.max_failure_ratio < 1)
        return (sources, rules) if found else None

    def _run_date(self, ds: datetime.date) -> DateResult:
        set_subject(ds=ds, store=named_store(self._given))
        try:
            images = self._images_of(ds)
        except (ConvbaseError, OSError) as error:
            return DateResult(ds, DateState.FAILED, message=first_line(error))
        if images is None:
            return DateResult(ds, DateState.EMPTY)
        # What is wrong with a store that is to be made is wrong for every date, and is raised.
        store = self._store = self._store or open_or_create_store(self._given)
        try:
            job = self._job(ds, images, store)
        except (ConvbaseError, DeltaError, OSError) as error:
            return DateResult(ds, DateState.FAILED, message=first_line(error))
        try:
            row = run_job(job)
        except RunInterrupted:
            raise
        except (ConvbaseError, DeltaError, OSError) as error:
            return _failed(job, first_line(error))
        return DateResult(ds, DateState(row["state"]), row)

    def _job(self, ds: datetime.date, images: Images, store: FeatureStore) -> Job:
        refresh = self._past.next_refresh(ds) if self._given.refresh else None
        left = self._deadline - datetime.datetime.now(datetime.UTC) if self._deadline else None
        of_date = {
            "input": inputs_of(self._given.input, ds),
            "ds": ds,
            "run_id": self._past.next_run_id(ds, refresh),
            "time_budget": left,
        }
        given = argparse.Namespace(**{**vars(self._given), **of_date})
        return new_job(given, *images, store, self._beam_arguments, refresh=refresh)


@contextlib.contextmanager
def _listing_of(ds: datetime.date) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunFailed(f"The input of {ds} cannot be listed: {first_line(error)}") from error


def _failed(job: Job, message: str) -> DateResult:
    """Returns the result of a date whose run failed, and has the store's `runs` say so as far as that is possible."""
    result = RunResult(RunState.FAILED, InputCounts(), Totals(), message)
    try:
        job.store.recover_run(job.run.run_id)  # If it has committed before it failed.
        job.store.record_run(job.run, result)  # Nothing where it has a row: it is the same commit.
        row = job.store.find_run(job.run.run_id, job.run.started_at)
    except (ConvbaseError, DeltaError, OSError):
        row = None
    return DateResult(job.run.ds, DateState.FAILED, row, message)


if __name__ == "__main__":
    run_main(main)
