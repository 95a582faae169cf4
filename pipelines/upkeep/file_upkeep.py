"""Compact and vacuum: fewer files, and no more of them than versions need."""

import argparse
import datetime
from collections.abc import Iterator
from typing import Final

from pipelines.console import size_text
from schemas.delta import find_table
from schemas.errors import UsageError, with_count
from schemas.fragments import TableName
from schemas.maintenance import (
    LEAST_RETENTION,
    Compaction,
    compact,
    find_waste,
    plan_compaction,
    planned,
    remove_waste,
)
from schemas.storage import join
from schemas.store import FeatureStore, PredictionTables

_MB: Final = 10**6


def run_compact(tables: FeatureStore | PredictionTables, given: argparse.Namespace) -> Iterator[str]:
    """Makes fewer, larger files of each table, and yields what became of them."""
    target = given.target_mb * _MB
    for name in TableName:
        table = find_table(join(tables.uri, name))
        if table is not None and given.dry_run:
            yield _compaction_text(name, planned(table, plan_compaction(table, target)), "would become")
        elif table is not None:
            yield _compaction_text(name, compact(tables.uri, name, target), "became")


def _compaction_text(name: TableName, done: Compaction, became: str) -> str:
    text = f"{name}: {done.merged} of {done.files} files, {size_text(done.size)}, {became} {done.written}"
    if done.repeats:
        text += f"; {done.repeats} rows of images that failed again later are left out"
    return f"{text}; {done.lost} more were left, for others changed their files meanwhile." if done.lost else f"{text}."


def run_vacuum(tables: FeatureStore | PredictionTables, given: argparse.Namespace) -> Iterator[str]:
    """Removes what no version within the retention needs, and yields what that was.

    Raises:
        UsageError: If the retention is short, and that was not said to be meant.
    """
    if given.retention < LEAST_RETENTION and not given.allow_short_retention:
        raise UsageError(
            "A --retention of less than 24h takes files away from readers and runs of today; "
            "say --allow_short_retention if that is meant."
        )
    waste = find_waste(tables.uri, given.retention, datetime.datetime.now(datetime.UTC))
    if given.dry_run:
        yield from waste.uris
    else:
        remove_waste(tables.uri, waste)
    yield (
        f"{'Would remove' if given.dry_run else 'Removed'} {with_count(len(waste.old), 'file')} of older versions, "
        f"{with_count(len(waste.uncommitted), 'uncommitted fragment')} and "
        f"{with_count(len(waste.receipts), 'receipt')}, {size_text(waste.size)}."
    )
    if waste.indexes:
        yield f"Files of indexes with features of these: {len(waste.indexes)}; pipelines.index makes another one."
    if waste.live_runs:
        yield f"Uncommitted files of live runs stay: {', '.join(waste.live_runs)}."
    if waste.young:
        of = "of upkeep and of superseding commits"
        yield f"{with_count(waste.young, f'uncommitted file {of} stays', f'uncommitted files {of} stay')} for a day."
