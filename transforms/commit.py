"""Committing a run: what survives the shuffle becomes visible, once. Pure of Beam.

The order is failures, features, run. A reader of `features` sees all of a run or nothing; the row in `runs` comes last,
so that a run that has one is complete.
"""

import logging
from collections.abc import Iterable
from typing import Final

from schemas.errors import RunFailed
from schemas.fragments import Fragment, TableName
from schemas.runs import InputCounts, Run, RunOutcome, RunState, outcome_of
from schemas.store import FeatureStore

_LOGGER: Final = logging.getLogger(__name__)


def commit_run(store: FeatureStore, run: Run, fragments: Iterable[Fragment], counts: InputCounts) -> RunOutcome:
    """Makes a run visible, or records why not. Doing it again, after a crash anywhere in it, changes nothing.

    Args:
        store: The store.
        run: The run.
        fragments: All fragments of the run, complete on storage.
        counts: What planning made of the input.

    Returns:
        What became of it. A run that is not committed has the state `failed`, a message, and its row in `runs`.

    Raises:
        FileNotFoundError: If a fragment is missing.
    """
    written = list(fragments)
    outcome = outcome_of(written, counts)
    problem = _problem(outcome, run.max_failure_ratio)
    if problem is not None:
        outcome = outcome_of(written, counts, RunState.FAILED, problem)
    else:
        by_table = {name: [fragment for fragment in written if fragment.table == name] for name in TableName}
        store.commit_fragments(TableName.FAILURES, run.run_id, by_table[TableName.FAILURES])
        version = store.commit_fragments(TableName.FEATURES, run.run_id, by_table[TableName.FEATURES])
        outcome = outcome_of(written, counts, table_version=version)
    store.record_run(run, outcome)
    listed = outcome.counts.listed
    _LOGGER.info("Run %s is %s: coverage %.4f of %d images.", run.run_id, outcome.state, outcome.coverage, listed)
    return outcome


def _problem(outcome: RunOutcome, max_failure_ratio: float) -> str | None:
    planned = outcome.counts.planned
    if outcome.extracted + outcome.failed != planned:
        return (
            f"{planned} images were to be processed, {outcome.extracted} were extracted and {outcome.failed} failed; "
            "nothing was committed."
        )
    if outcome.failed and outcome.failure_ratio > max_failure_ratio:
        codes = ", ".join(f"{count} {code}" for code, count in outcome.failures_by_code.items())
        return (
            f"{outcome.failed} of {planned} images failed ({outcome.failure_ratio:.1%}; {codes}), more than "
            f"--max_failure_ratio={max_failure_ratio:g} allows; nothing was committed."
        )
    return None


def check_committed(outcome: RunOutcome) -> None:
    """Raises if a run was not committed.

    Raises:
        RunFailed: With the reason.
    """
    if outcome.state == RunState.FAILED:
        raise RunFailed(outcome.message or "The run failed.")
