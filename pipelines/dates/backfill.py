"""The runs of a backfill: dates one after the other, a run each, and what becomes of them."""

import argparse
import contextlib
import dataclasses
import datetime
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from deltalake.exceptions import DeltaError

from pipelines.dates.dated_runs import DatedRuns
from pipelines.dates.dates import asked_dates, check_templates, dates_between, inputs_of, sources_of
from pipelines.dates.results import DatePlan, DateResult, DateState
from pipelines.jobs import (
    Job,
    asked_columns,
    find_store,
    listing_rules,
    named_store,
    new_job,
    open_or_create_store,
    run_job,
    stored_rules,
    updated_columns,
)
from pipelines.monitoring import listed_images, set_subject
from schemas.errors import ConvbaseError, RunFailed, RunInterrupted, UsageError, first_line
from schemas.fragments import Totals
from schemas.store import FeatureStore, InputCounts, RunResult, RunState, read_drift, record_drift
from schemas.tables import check_carried
from transforms.exploration import measure_nightly_drift
from transforms.planning import RetryFailures, before_deadline, known_by_partition, plan_run
from transforms.sources import ListingRules, Source, take_first_look

Images: TypeAlias = tuple[list[Source], ListingRules]


class Backfill:
    """The runs of some dates, none of them begun yet.

    Attributes:
        dates: The dates, in the order in which they are done.
        store: The store; None while there is none.
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
        self._listed_again = {ds for ds in dates if looked_back_to <= ds < last}
        self._deadline = datetime.datetime.now(datetime.UTC) + given.time_budget if given.time_budget else None
        self.store = find_store(given)
        self._past = DatedRuns.read(self.store, dates)
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

    def listed(self, results: Sequence[DateResult]) -> dict[datetime.date, int]:
        """Returns how many images the input of each date had that was asked for, by its last run; 0 without one."""
        before = listed_images(self.store)
        now = {result.ds: result.row["listed"] for result in results if result.row is not None}
        return {ds: now.get(ds, before.get(ds, 0)) for ds in self._asked}

    def compared(self, results: Sequence[DateResult]) -> Iterator[tuple[int, DateResult]]:
        """Compares the images of each date that got some with those of the dates before, and records that.

        A date that got none has the difference that was recorded before: a job that is tried again finds it again.

        Yields:
            The places of results, and these with their difference.
        """
        if self.store is None:
            return
        known = {row["ds"]: row for row in read_drift(self.store.uri)}
        for number, result in enumerate(results):
            if result.row is not None and result.row["extracted"] and result.state == DateState.COMPLETE:
                found = measure_nightly_drift(self.store, result.ds)
                row = None if found is None else found.row(result.row["run_id"])
                if row is not None:
                    record_drift(self.store.uri, row)
                yield number, dataclasses.replace(result, drift=row)
            elif result.ds in known and result.ds not in self._listed_again:
                yield number, dataclasses.replace(result, drift=known[result.ds])

    def plans(self) -> list[DatePlan]:
        """Plans without doing anything.

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
        known = known_by_partition(self.store, retry, sorted(set().union(*compared.values())))
        plans = []
        for ds in self.dates:
            found = images.get(ds)
            if found is None:
                plans.append(DatePlan(ds, None, DateState.EMPTY if ds in images else DateState.SKIPPED))
                continue
            with _listing_of(ds):
                plans.append(DatePlan(ds, plan_run(*found, known, compared[ds], refresh=self._given.refresh)))
        return plans

    def _is_skipped(self, ds: datetime.date) -> bool:
        if self._given.refresh or ds in self._listed_again:
            return False
        inputs = inputs_of(self._given.input, ds)
        return self._past.is_complete(ds, inputs, self._given.extensions, self._given.labels_from)

    def _images_of(self, ds: datetime.date) -> Images | None:
        """Looks at the inputs of a date, or returns None if there is no image in any of them."""
        sources = sources_of(self._given, ds)
        rules = stored_rules(listing_rules(self._given, sources), self.store)
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
        store = self.store = self.store or open_or_create_store(self._given)
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
