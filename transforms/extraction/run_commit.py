"""Committing a run: what survives the shuffle becomes visible, once. Pure of Beam.

The order is failures, features, run. A reader of `features` sees all of a run or nothing; the row in `runs` comes last,
so that a run that has one is complete.
"""

import dataclasses
import logging
from collections.abc import Iterable, Sequence
from typing import Final

from schemas.commits import FileUpdate
from schemas.delta import committed
from schemas.errors import RunFailed
from schemas.fragments import Fragment, TableName, Totals
from schemas.measures import Measures
from schemas.store import FACTS, InputCounts, Run, RunResult, RunState
from transforms.planning import Snapshot

_LOGGER: Final = logging.getLogger(__name__)


def commit_run(
    snapshot: Snapshot,
    run: Run,
    fragments: Iterable[Fragment],
    counts: InputCounts,
    measures: Measures | None = None,
    *,
    updates: Sequence[FileUpdate] = (),
) -> RunResult:
    """Makes a run visible, or records why not. Doing it again, after a crash anywhere in it, changes nothing.

    Images that others have committed since the run planned count as skipped. Where another attempt at a run of this
    name has committed meanwhile, nothing is committed and nothing recorded.

    Args:
        snapshot: The store, and the state of it on which the run planned.
        run: The run.
        fragments: All fragments of the run, complete on storage.
        counts: What planning made of the input.
        measures: What the work cost, for the record.
        updates: Files of `features` that are written again with new annotations.

    Returns:
        Its result. A run that is not committed has the state `failed` or `stopped`, a message, and its row in
        `runs`.

    Raises:
        FileNotFoundError: If a fragment is missing.
        RunFailed: If the storage stays at fault.
    """
    written = list(fragments)
    totals = Totals.of(written)
    state, message = judge_run(totals, counts, run.max_failure_ratio)
    if state == RunState.COMPLETE:
        earlier = _committed_by_another(snapshot, run)
        if earlier is not None:
            return earlier
        result = _commit_tables(snapshot, run, written, counts, updates)
    else:
        result = RunResult(state, counts, totals, message)
    result = dataclasses.replace(result, measures=measures, planned_on=snapshot.versions)
    snapshot.store.record_run(run, result)
    listed = result.counts.listed
    _LOGGER.info("Run %s is %s: coverage %.4f of %d images.", run.run_id, result.state, result.coverage, listed)
    return result


def _committed_by_another(snapshot: Snapshot, run: Run) -> RunResult | None:
    """Returns the result of a run whose name another attempt has committed under meanwhile; None if none has."""
    row = snapshot.store.committed_run(run.run_id)
    if row is None or committed(snapshot.store.runs(), run.commit_id):
        return None
    message = f"A run {run.run_id} has committed meanwhile, and a run commits once; this one commits nothing."
    _LOGGER.warning(message)
    counts = InputCounts(listed=row["listed"], skipped=row["listed"])
    return RunResult(RunState.COMPLETE, counts, Totals(), message, row["table_version"])


def _commit_tables(
    snapshot: Snapshot, run: Run, written: Sequence[Fragment], counts: InputCounts, updates: Sequence[FileUpdate]
) -> RunResult:
    commits = {
        name: snapshot.store.commit_fragments(
            name,
            run.commit_id,
            [fragment for fragment in written if fragment.table == name],
            snapshot.versions,
            updates=updates if name == TableName.FEATURES else (),
            refresh=run.refresh is not None,
            about={FACTS: run.facts(counts)},
        )
        for name in (TableName.FAILURES, TableName.FEATURES)
    }
    totals = sum((commit.totals for commit in commits.values()), Totals())
    counts += InputCounts(skipped=counts.planned - totals.images)
    return RunResult(RunState.COMPLETE, counts, totals, table_version=commits[TableName.FEATURES].version)


def judge_run(
    totals: Totals, counts: InputCounts, max_failure_ratio: float, done: str = "extracted"
) -> tuple[RunState, str | None]:
    """Returns the state of a run, and why it is not committed if it is not.

    Args:
        totals: What its fragments hold.
        counts: What planning made of the input.
        max_failure_ratio: The greatest share of failures among the images processed with which it is committed, 0 to 1.
        done: What was done with the images that did not fail, for the message.
    """
    planned, remaining = counts.planned, counts.remaining
    if totals.images + remaining != planned:
        left = f", {remaining} were left" if remaining else ""
        return RunState.FAILED, (
            f"{planned} images went in, {totals.extracted} were {done} and {totals.failed} failed{left}; nothing was "
            "committed."
        )
    if remaining:
        return RunState.STOPPED, (
            f"The time was up with {remaining:,} of {planned:,} images left; nothing is committed yet, and the next "
            "run goes on from there."
        )
    # Divided, for 0.29 times 100 is less than 29.
    if totals.failed and totals.failed / totals.images > max_failure_ratio:
        codes = ", ".join(f"{count} {code}" for code, count in totals.failures_by_code.items())
        return RunState.FAILED, (
            f"{totals.failed} of {planned} images failed ({totals.failed / totals.images:.1%}; {codes}), more than "
            f"--max_failure_ratio={max_failure_ratio:g} allows; nothing was committed."
        )
    return RunState.COMPLETE, None


def check_committed(result: RunResult) -> None:
    """Raises if a run could not be committed. One that stopped in time has done what it was asked to.

    Raises:
        RunFailed: With the reason.
    """
    if result.state == RunState.FAILED:
        raise RunFailed(result.message or "The run failed.")
