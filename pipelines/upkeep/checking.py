"""Checks: files of tables, logs, indexes and the conv base are what was written, or are taken out."""

import argparse
from collections.abc import Iterator

from schemas.delta import damaged_entries, remove_entry
from schemas.errors import RunFailed, with_count
from schemas.fragments import TableName
from schemas.maintenance import (
    Checked,
    CheckedIndexes,
    all_damage,
    check_indexes,
    drop_files,
    mark_taken_out,
    remove_damaged,
)
from schemas.search import INDEXES
from schemas.storage import join
from schemas.store import FeatureStore, PredictionTables


def run_check(tables: FeatureStore | PredictionTables, given: argparse.Namespace) -> Iterator[str]:
    """Compares files with what was recorded of them, repairs if it is asked to, and yields what is wrong.

    Raises:
        RunFailed: If something is damaged that is not repaired.
    """
    from transforms.conv_bases import damaged_files, unpublish

    base = tables.conv_base() if isinstance(tables, FeatureStore) else None
    of_base = damaged_files(base) if base else []
    yield from (f"{join(base.uri, name)}: it is not the file that was published." for name in of_base if base)
    found = dict(all_damage(tables.uri, deep=given.deep))
    for name, checked in found.items():
        yield from (f"{join(tables.uri, name, damage.path)}: {damage.how}." for damage in checked.damages)
        yield _check_text(name, checked)
    indexes = check_indexes(tables.uri, deep=given.deep)
    yield from (f"{join(tables.uri, INDEXES, damage.path)}: {damage.how}." for damage in indexes.damages)
    if indexes.indexes:
        yield _check_indexes_text(indexes)
    damaged = {name: checked.damages for name, checked in found.items() if checked.damages}
    if not (of_base or damaged or indexes.damages):
        return
    if given.dry_run or not given.repair:
        raise RunFailed(f"{tables.uri} is damaged; --repair takes what is damaged out of it.")
    for name, damages in damaged.items():
        drop_files(tables.uri, name, [damage.path for damage in damages])
        yield f"{name}: {with_count(len(damages), 'file is', 'files are')} taken out, as a new version of the table."
    if indexes.damages:
        remove_damaged(tables.uri, indexes.damages)
        yield f"indexes: {with_count(len(indexes.damages), 'is', 'are')} removed; pipelines.index makes others."
    if base and of_base:
        unpublish(base, of_base)
        yield "The next pipelines.extract on this store publishes the conv base again."


def check_logs(store_uri: str, *, repair: bool) -> None:
    """Names the entries of the tables' logs that cannot be read, without which no table can be opened.

    Raises:
        RunFailed: If there are any that are not taken away.
    """
    by_table = {name: damaged_entries(join(store_uri, name)) for name in TableName}
    damaged = [entry for entries in by_table.values() for entry in entries]
    for entry in damaged:
        print(f"{entry.uri}: {entry.how}.")
    left = [entry for entry in damaged if not (repair and entry.is_newest and entry.version)]
    if left:
        raise RunFailed(
            f"{left[0].uri} is damaged, and with it the table. --repair takes away entries at the end of a log; "
            "put others back from a copy."
        )
    for entry in damaged:
        remove_entry(entry)
        print(f"It is taken away: version {entry.version - 1} of the table is the newest again.")
    if by_table[TableName.FEATURES] or by_table[TableName.FAILURES]:
        mark_taken_out(store_uri)


def _check_text(name: TableName, checked: Checked) -> str:
    rows = sum(damage.rows for damage in checked.damages)
    damaged = f"{len(checked.damages)} damaged, {with_count(rows, 'row')}" if checked.damages else "none damaged"
    return f"{name}: {with_count(checked.files, 'file')}, {damaged}."


def _check_indexes_text(checked: CheckedIndexes) -> str:
    damaged = f"{len(checked.damages)} damaged" if checked.damages else "none damaged"
    if not checked.outdated:
        return f"indexes: {checked.indexes}, {damaged}."
    left = with_count(checked.outdated, "row that has left", "rows that have left")
    return (
        f"indexes: {checked.indexes}, {damaged}; features of {left} the table are in them, until pipelines.index "
        "brings them up to it, or a vacuum removes them."
    )
