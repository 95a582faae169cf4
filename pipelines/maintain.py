"""python -m pipelines.maintain: upkeep of a store or of predictions, while others read them and write to them.

    python -m pipelines.maintain feature-store compact
    python -m pipelines.maintain feature-store vacuum --retention=7d --dry_run
    python -m pipelines.maintain feature-store takedown --uris=gone.txt --reason="withdrawn by the owner"
    python -m pipelines.maintain feature-store takedown --uris=gone.txt --verify
    python -m pipelines.maintain feature-store history
    python -m pipelines.maintain feature-store restore --table_version=12
    python -m pipelines.maintain feature-store republish
    python -m pipelines.maintain feature-store check --deep

A folder of predictions knows compact, vacuum, history and check.
Exit codes: 0 done; 1 it could not be completed, `check` found damage, or `takedown --verify` found rows; 2 the command
cannot start as it was given.
"""

import argparse
import datetime
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from deltalake.exceptions import DeltaError

from pipelines.console import padded_line
from pipelines.jobs import pinned_version
from pipelines.monitoring import logged_work
from pipelines.options import Parser, add_log_options, positive, retention, run_main, version
from schemas.delta import damaged_entries, find_table, remove_entry, table_history
from schemas.errors import RunFailed, RunInterrupted, UsageError, first_line
from schemas.fragments import TableName
from schemas.maintenance import (
    LEAST_RETENTION,
    RETENTION,
    TARGET_BYTES,
    Checked,
    CheckedIndexes,
    Compaction,
    all_damage,
    check_indexes,
    compact,
    drop_files,
    find_traces,
    find_waste,
    mark_taken_out,
    plan_compaction,
    plan_restoration,
    plan_takedown,
    planned,
    remove_damaged,
    remove_waste,
    restore,
    take_down,
    taken_down,
)
from schemas.search import INDEXES
from schemas.storage import canonical_uri, join
from schemas.store import FeatureStore, PredictionTables
from transforms.sources import listed_uris

Tables = FeatureStore | PredictionTables

_VERSIONS_SHOWN: Final = 20
_MB: Final = 10**6


def parser() -> Parser:
    """Returns the command's parser."""
    command = Parser.of_command("pipelines.maintain", __doc__)
    command.add_argument("store", help="the store, or the folder of predictions")
    commands = command.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    for build in _PARSERS:
        build(commands)
    return command


def main(arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit code.

    Raises:
        ConvbaseError: If it cannot start, or cannot be completed.
    """
    given = parser().begin(arguments)
    if given.run is _check:
        _check_logs(canonical_uri(given.store), repair=given.repair and not given.dry_run)
    tables = _open(given.store, given.command)
    with logged_work(f"maintain {given.command}", tables.uri):
        try:
            for line in given.run(tables, given):
                print(line)
        except (OSError, DeltaError) as error:
            raise RunFailed(f"{given.command} of {tables.uri} could not be completed: {first_line(error)}") from error
        except KeyboardInterrupt as error:
            raise RunInterrupted.by(
                error,
                f"{given.command} of {tables.uri} is interrupted; the tables are whole, and the command given again "
                "does what is left.",
            ) from error
    return 0


def _open(uri: str, command: str) -> Tables:
    """Opens a store, or a folder of predictions.

    Raises:
        StoreNotFound: If there is neither.
        UsageError: If there are predictions, and the command is for stores.
    """
    store = FeatureStore.find(uri)
    predictions = PredictionTables.find(uri) if store is None else None
    if predictions is None:
        return store or FeatureStore.open(uri)
    if command in _OF_STORES:
        raise UsageError(f"{uri} is a folder of predictions; {command} is for feature stores.")
    return predictions


def _subparser(
    commands: "argparse._SubParsersAction[Parser]", name: str, run: Callable[..., Iterator[str]], what: str
) -> Parser:
    command = commands.add_parser(name, prog=f"pipelines.maintain STORE {name}", description=what, help=what)
    command.set_defaults(run=run)
    command.add_argument("--dry_run", action="store_true", help="say what would be done, and stop")
    add_log_options(command, in_subcommand=True)
    return command


def _compact_parser(commands: "argparse._SubParsersAction[Parser]") -> None:
    command = _subparser(commands, "compact", _compact, "merge small files; readers and runs go on meanwhile")
    command.add_argument(
        "--target_mb",
        type=positive,
        default=TARGET_BYTES // _MB,
        metavar="N",
        help=f"about the largest file that is written, in megabytes (default: {TARGET_BYTES // _MB})",
    )


def _vacuum_parser(commands: "argparse._SubParsersAction[Parser]") -> None:
    command = _subparser(
        commands, "vacuum", _vacuum, "remove files of older versions, and what runs that died have left"
    )
    command.add_argument(
        "--retention",
        type=retention,
        default=RETENTION,
        metavar="7d|36h",
        help="how old a file has to be; versions older than this can no longer be read or restored (default: 7d)",
    )
    command.add_argument(
        "--allow_short_retention",
        action="store_true",
        help="take a --retention of less than 24h: readers of older versions fail from then on",
    )


def _takedown_parser(commands: "argparse._SubParsersAction[Parser]") -> None:
    command = _subparser(
        commands, "takedown", _takedown, "remove the rows of images, and keep them from ever coming back"
    )
    command.add_argument(
        "--uris", required=True, metavar="FILE", help="a .txt of URIs, or a manifest with a column `uri`"
    )
    command.add_argument("--reason", metavar="TEXT", help="why; stands in the table `takedowns`")
    command.add_argument(
        "--verify",
        action="store_true",
        help="take nothing down, but read every file of the store, those of older versions too, for rows of images; "
        "the exit code is 1 if there are any",
    )


def _history_parser(commands: "argparse._SubParsersAction[Parser]") -> None:
    command = _subparser(commands, "history", _history, "list the versions of `features`, or of `predictions`")
    command.add_argument(
        "--limit",
        type=positive,
        default=_VERSIONS_SHOWN,
        metavar="N",
        help=f"how many versions (default: {_VERSIONS_SHOWN})",
    )


def _restore_parser(commands: "argparse._SubParsersAction[Parser]") -> None:
    command = _subparser(
        commands, "restore", _restore, "make an older version of `features` the newest, as a new version"
    )
    command.add_argument(
        "--table_version", type=version, required=True, metavar="N", help="the version; `history` lists them"
    )


def _republish_parser(commands: "argparse._SubParsersAction[Parser]") -> None:
    _subparser(
        commands,
        "republish",
        _republish,
        "export the conv base again, as this version of the program does; the features and the fingerprint stay",
    )


def _check_parser(commands: "argparse._SubParsersAction[Parser]") -> None:
    command = _subparser(commands, "check", _check, "look for files that are missing, cut off or altered")
    command.add_argument(
        "--deep", action="store_true", help="read every page, and every index, and compare it with its checksum"
    )
    command.add_argument(
        "--repair",
        action="store_true",
        help="take damaged files out of the tables, so that the next run computes their rows again, and remove damaged "
        "indexes",
    )


_OF_STORES: Final = frozenset({"takedown", "restore", "republish"})
_PARSERS: Final = (
    _compact_parser, _vacuum_parser, _takedown_parser, _history_parser, _restore_parser, _republish_parser,
    _check_parser,
)  # fmt: skip


def _compact(tables: Tables, given: argparse.Namespace) -> Iterator[str]:
    target = given.target_mb * _MB
    for name in TableName:
        table = find_table(join(tables.uri, name))
        if table is not None and given.dry_run:
            yield _compaction_text(name, planned(table, plan_compaction(table, target)), "would become")
        elif table is not None:
            yield _compaction_text(name, compact(tables.uri, name, target), "became")


def _compaction_text(name: TableName, done: Compaction, became: str) -> str:
    text = f"{name}: {done.merged} of {done.files} files, {_megabytes(done.size)}, {became} {done.written}"
    if done.repeats:
        text += f"; {done.repeats} rows of images that failed again later are left out"
    return f"{text}; {done.lost} more were left, for others changed their files meanwhile." if done.lost else f"{text}."


def _vacuum(tables: Tables, given: argparse.Namespace) -> Iterator[str]:
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
        f"{'Would remove' if given.dry_run else 'Removed'} {len(waste.old)} files of older versions, "
        f"{len(waste.uncommitted)} uncommitted fragments and {len(waste.receipts)} receipts, {_megabytes(waste.size)}."
    )
    if waste.indexes:
        yield f"Files of indexes with features of these: {len(waste.indexes)}; pipelines.index makes another one."
    if waste.live_runs:
        yield f"Uncommitted files of live runs stay: {', '.join(waste.live_runs)}."
    if waste.young:
        yield f"{waste.young} uncommitted files of upkeep and of superseding commits stay for a day."


def _takedown(store: FeatureStore, given: argparse.Namespace) -> Iterator[str]:
    uris = listed_uris(given.uris)
    if given.verify:
        yield from _verified(store, uris)
        return
    done = plan_takedown(store.uri, uris) if given.dry_run else take_down(store.uri, uris, given.reason)
    rows = ", ".join(f"{count} of {name}" for name, count in done.rows.items())
    yield (
        f"{done.uris} images {'would be' if given.dry_run else 'are'} taken down, {done.recorded} of them newly; "
        f"rows removed: {rows}."
    )
    if done.absent:
        yield f"{done.absent} of them have no row in the store; should they come later, they are not extracted."
    if not given.dry_run:
        yield (
            "Their bytes are in older versions until `vacuum` removes these, as `takedown --verify` shows; published "
            "predictions are not touched."
        )


def _verified(store: FeatureStore, uris: pa.Array) -> Iterator[str]:
    """Yields each file that holds rows of images.

    Raises:
        RunFailed: If there is one, or one that cannot be read, or an image has not been taken down.
    """
    traces = list(find_traces(store.uri, uris))
    for trace in traces:
        where = "the newest version" if trace.is_current else "older versions only, or uncommitted"
        yield f"{trace.file_uri}: {trace.how or f'{trace.rows:,} rows'}, in {where}."
    left = len(uris) - (pc.sum(taken_down(store.uri, uris)).as_py() or 0)
    if left:
        raise RunFailed(f"{left} of the {len(uris)} images have not been taken down.")
    if any(trace.is_current for trace in traces):
        raise RunFailed("The newest version has files with rows of these images, or that cannot be read.")
    if traces:
        raise RunFailed(
            f"{len(traces)} files hold rows of these images, or cannot be read, until `vacuum` removes them."
        )
    yield f"No file of features and failures holds a row of the {len(uris)} images, which are all taken down."


def _history(tables: Tables, given: argparse.Namespace) -> Iterator[str]:
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


def _restore(store: FeatureStore, given: argparse.Namespace) -> Iterator[str]:
    pinned = pinned_version(store, given.table_version)
    done = plan_restoration(store.uri, pinned) if given.dry_run else restore(store.uri, pinned)
    yield (
        f"{'Would restore' if given.dry_run else 'Restored'} version {pinned} of features over version "
        f"{done.version}: {done.gone} rows leave, {done.back - done.kept_down} come back."
    )
    if done.kept_down:
        yield f"{done.kept_down} rows of images that were taken down do not come back."
    yield "`failures` and `runs` stay as they are; the next extraction computes again what is missing."


def _republish(store: FeatureStore, given: argparse.Namespace) -> Iterator[str]:
    from transforms.conv_bases import republish

    done = republish(store, dry_run=given.dry_run)
    compared = f"{done.pictures} pictures of the store" if done.pictures else "noise, for no picture can be read"
    yield (
        f"{'Would publish' if given.dry_run else 'Published'} the network of {store.spec.conv_base} again; compared on "
        f"{compared}, its features differ by {done.difference:.1e} of the largest from the old one's."
    )


def _check(tables: Tables, given: argparse.Namespace) -> Iterator[str]:
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
        yield f"{name}: {len(damages)} files are taken out, as a new version of the table."
    if indexes.damages:
        remove_damaged(tables.uri, indexes.damages)
        yield f"indexes: {len(indexes.damages)} are removed; pipelines.index makes others."
    if base and of_base:
        unpublish(base, of_base)
        yield "The next pipelines.extract on this store publishes the conv base again."


def _check_logs(store_uri: str, *, repair: bool) -> None:
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
    damaged = f"{len(checked.damages)} damaged, {rows} rows" if checked.damages else "none damaged"
    return f"{name}: {checked.files} files, {damaged}."


def _check_indexes_text(checked: CheckedIndexes) -> str:
    damaged = f"{len(checked.damages)} damaged" if checked.damages else "none damaged"
    if not checked.outdated:
        return f"indexes: {checked.indexes}, {damaged}."
    return (
        f"indexes: {checked.indexes}, {damaged}; features of {checked.outdated:,} rows that have left the table are in "
        "them, until pipelines.index brings them up to it, or a vacuum removes them."
    )


def _megabytes(size: int) -> str:
    return f"{size / _MB:,.1f} MB"


if __name__ == "__main__":
    run_main(main)
