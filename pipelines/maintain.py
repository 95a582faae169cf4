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
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from deltalake.exceptions import DeltaError

from pipelines.monitoring import logged_work
from pipelines.options import Parser, add_log_options, positive, retention, run_main, version
from pipelines.upkeep import (
    check_logs,
    run_check,
    run_compact,
    run_history,
    run_republish,
    run_restore,
    run_takedown,
    run_vacuum,
)
from schemas.errors import RunFailed, RunInterrupted, UsageError, first_line
from schemas.maintenance import RETENTION, TARGET_BYTES
from schemas.storage import canonical_uri
from schemas.store import FeatureStore, PredictionTables

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
    if given.run is run_check:
        check_logs(canonical_uri(given.store), repair=given.repair and not given.dry_run)
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
    command = _subparser(commands, "compact", run_compact, "merge small files; readers and runs go on meanwhile")
    command.add_argument(
        "--target_mb",
        type=positive,
        default=TARGET_BYTES // _MB,
        metavar="N",
        help=f"about the largest file that is written, in megabytes (default: {TARGET_BYTES // _MB})",
    )


def _vacuum_parser(commands: "argparse._SubParsersAction[Parser]") -> None:
    command = _subparser(
        commands, "vacuum", run_vacuum, "remove files of older versions, and what runs that died have left"
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
        commands, "takedown", run_takedown, "remove the rows of images, and keep them from ever coming back"
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
    command = _subparser(commands, "history", run_history, "list the versions of `features`, or of `predictions`")
    command.add_argument(
        "--limit",
        type=positive,
        default=_VERSIONS_SHOWN,
        metavar="N",
        help=f"how many versions (default: {_VERSIONS_SHOWN})",
    )


def _restore_parser(commands: "argparse._SubParsersAction[Parser]") -> None:
    command = _subparser(
        commands, "restore", run_restore, "make an older version of `features` the newest, as a new version"
    )
    command.add_argument(
        "--table_version", type=version, required=True, metavar="N", help="the version; `history` lists them"
    )


def _republish_parser(commands: "argparse._SubParsersAction[Parser]") -> None:
    _subparser(
        commands,
        "republish",
        run_republish,
        "export the conv base again, as this version of the program does; the features and the fingerprint stay",
    )


def _check_parser(commands: "argparse._SubParsersAction[Parser]") -> None:
    command = _subparser(commands, "check", run_check, "look for files that are missing, cut off or altered")
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


if __name__ == "__main__":
    run_main(main)
