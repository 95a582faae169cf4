"""Vacuum: removes unreferenced files from a store, or from a folder of predictions.

Three kinds of files go, the first two once they are older than the retention:

- files of older versions, which a compaction, a takedown or a changed image took out of a table;
- uncommitted fragments, and the receipts beside them, of runs that are not live;
- indexes that hold features of files that go or have gone, and what is left of others; with the features of an image
  that was taken down, every copy of them goes.

A run is live while its youngest fragment or receipt is younger than the retention, and in any case for a day: then all
of its files stay, however old, for it may still commit them or the next run adopt them. Fragments that another run has
adopted and committed meanwhile are files of the table like all others: where a compaction and a vacuum with a short
retention remove one before its own run commits, that run fails, and its rows are in the table.
"""

import dataclasses
import datetime
from collections.abc import Iterable, Mapping
from typing import Any, Final

from deltalake import DeltaTable

from schemas.delta import data_files, find_table, paths_of
from schemas.fragments import RECEIPTS, TableName, run_of
from schemas.search import abandoned_files
from schemas.storage import file_system, files_below, join, modified_at

# What Delta's own `delta.deletedFileRetentionDuration` is unless it is set.
RETENTION: Final = datetime.timedelta(days=7)
# No shorter retention than this without saying so: readers and runs of the day still need their files.
LEAST_RETENTION: Final = datetime.timedelta(hours=24)

_TABLES: Final = tuple(TableName)
_OF_RUNS: Final = (TableName.FEATURES, TableName.FAILURES, TableName.PREDICTIONS)
_PARQUET: Final = ".parquet"


@dataclasses.dataclass(frozen=True)
class Waste:
    """Files that a vacuum removes.

    Attributes:
        old: URIs of files of older versions.
        uncommitted: URIs of fragments that were never committed.
        receipts: URIs of receipts of runs that will never be adopted.
        indexes: URIs of files of indexes.
        size: Bytes of all of them.
        live_runs: Runs whose uncommitted files stay because the run is live.
        young: How many uncommitted files of no run stay because a commit that is under way may need them.
    """

    old: tuple[str, ...]
    uncommitted: tuple[str, ...]
    receipts: tuple[str, ...]
    indexes: tuple[str, ...]
    size: int
    live_runs: tuple[str, ...]
    young: int

    @property
    def uris(self) -> tuple[str, ...]:
        """All of them, in the order in which they may go: a receipt before the fragment that it describes."""
        return (*self.indexes, *self.receipts, *self.uncommitted, *self.old)


@dataclasses.dataclass(frozen=True)
class _File:
    """A file of the store: its URI, the run or else the file that decides whether it is live, its age and bytes."""

    uri: str
    owner: str
    modified: datetime.datetime
    size: int


def find_waste(store_uri: str, retention: datetime.timedelta, now: datetime.datetime) -> Waste:
    """Finds what a vacuum removes; changes nothing.

    Args:
        store_uri: The store.
        retention: How old files have to be, in whole hours.
        now: The present (UTC).
    """
    hours = int(retention / datetime.timedelta(hours=1))
    listed = {name: _listed(store_uri, name) for name in _TABLES}
    receipts = _listed_receipts(store_uri)
    of_runs = [*(file for name in _OF_RUNS for file in listed[name].values()), *receipts.values()]
    alive = _live_owners(of_runs, now - max(retention, LEAST_RETENTION))
    old: list[_File] = []
    uncommitted: list[_File] = []
    for name in _TABLES:
        table = find_table(join(store_uri, name))
        if table is not None:
            removed = _vacuumed(table, hours, full=False)
            old += [listed[name][path] for path in sorted(removed & listed[name].keys())]
            strays = sorted((_vacuumed(table, hours, full=True) - removed) & listed[name].keys())
            uncommitted += [listed[name][path] for path in strays]
    dead = [file for file in uncommitted if file.owner not in alive]
    kept = {file.owner for file in (*uncommitted, *receipts.values())} & alive
    of_runs_kept = {owner for owner in kept if not owner.endswith(_PARQUET)}
    going = {file.uri for file in (*old, *dead)}
    left = [path for path, file in listed[TableName.FEATURES].items() if file.uri not in going]
    indexes = list(abandoned_files(store_uri, left, now - LEAST_RETENTION))
    forgotten = [file for file in receipts.values() if file.owner not in alive]
    return Waste(
        old=tuple(file.uri for file in old),
        uncommitted=tuple(file.uri for file in dead),
        receipts=tuple(file.uri for file in forgotten),
        indexes=tuple(uri for uri, _ in indexes),
        size=sum(file.size for file in (*old, *dead, *forgotten)) + sum(size for _, size in indexes),
        live_runs=tuple(sorted(of_runs_kept)),
        young=len(kept - of_runs_kept),
    )


def remove_waste(store_uri: str, waste: Waste) -> None:
    """Removes the files, but none that a run has adopted or a restoration has brought back since they were found.

    Files that another vacuum has removed meanwhile are no matter.
    """
    tables = {name: find_table(join(store_uri, name)) for name in _TABLES}
    needed = {join(store_uri, name, path) for name, table in tables.items() if table for path in paths_of(table)}
    for uri in waste.uris:
        if uri in needed:
            continue
        fs, path = file_system(uri)
        try:
            fs.rm_file(path)
        except FileNotFoundError:
            continue


def _vacuumed(table: DeltaTable, hours: int, *, full: bool) -> set[str]:
    """Returns the paths that Delta would remove: of older versions, or of all files that no version names."""
    return set(table.vacuum(hours, dry_run=True, enforce_retention_duration=False, full=full))


def _live_owners(files: Iterable[_File], since: datetime.datetime) -> set[str]:
    return {file.owner for file in files if file.modified > since}


def _listed(store_uri: str, name: TableName) -> dict[str, _File]:
    """Returns the data files under a table's folder by their path, committed or not."""
    folder = join(store_uri, name)
    # A file of no run is its own owner.
    return {path: _file(folder, path, info, run_of(path) or path) for path, info in data_files(folder)}


def _listed_receipts(store_uri: str) -> dict[str, _File]:
    folder = join(store_uri, RECEIPTS)
    return {path: _file(folder, path, info, path.partition("/")[0]) for path, info in files_below(folder)}


def _file(folder: str, path: str, info: Mapping[str, Any], owner: str) -> _File:
    return _File(join(folder, path), owner, modified_at(info), info["size"])
