"""Versions: those of a table, an older one put back, and the conv base's network made again."""

import argparse
from collections.abc import Iterator

from pipelines.console import padded_line
from pipelines.jobs import pinned_version
from schemas.delta import table_history
from schemas.fragments import TableName
from schemas.maintenance import plan_restoration, restore
from schemas.storage import join
from schemas.store import FeatureStore, PredictionTables


def run_history(tables: FeatureStore | PredictionTables, given: argparse.Namespace) -> Iterator[str]:
    """Yields the newest versions of the table, a line each."""
    if given.dry_run:
        yield "Would list the versions; nothing is ever changed by it."
        return
    widths = (7, 2, -21, -16, -26, 12, 12)
    yield padded_line(("version", "", "committed (UTC)", "operation", "run", "rows", "change"), widths)
    name = TableName.FEATURES if isinstance(tables, FeatureStore) else TableName.PREDICTIONS
    for entry in table_history(join(tables.uri, name), given.limit):
        rows = "" if entry.rows is None else f"{entry.rows:,}"
        change = "" if entry.change is None else f"{entry.change:+,}"
        committed = f"{entry.committed_at:%Y-%m-%d %H:%M:%S}" if entry.committed_at else ""
        yield padded_line(
            (str(entry.version), "", committed, entry.operation, entry.run_id or "", rows, change), widths
        )


def run_restore(store: FeatureStore, given: argparse.Namespace) -> Iterator[str]:
    """Makes a table of features what it was at an older version, and yields what that changes."""
    pinned = pinned_version(store, given.table_version)
    done = plan_restoration(store.uri, pinned) if given.dry_run else restore(store.uri, pinned)
    yield (
        f"{'Would restore' if given.dry_run else 'Restored'} version {pinned} of features over version "
        f"{done.version}: {done.gone} rows leave, {done.back - done.kept_down} come back."
    )
    if done.kept_down:
        yield f"{done.kept_down} rows of images that were taken down do not come back."
    yield "`failures` and `runs` stay as they are; the next extraction computes again what is missing."


def run_republish(store: FeatureStore, given: argparse.Namespace) -> Iterator[str]:
    """Makes the published network of the conv base again, and yields how far its features differ."""
    from transforms.conv_bases import republish

    done = republish(store, dry_run=given.dry_run)
    compared = f"{done.pictures} pictures of the store" if done.pictures else "noise, for no picture can be read"
    yield (
        f"{'Would publish' if given.dry_run else 'Published'} the network of {store.spec.conv_base} again; compared on "
        f"{compared}, its features differ by {done.difference:.1e} of the largest from the old one's."
    )
