"""The promises of nightly runs hold, and each is broken by putting back the mistake that it guards against."""

import contextlib
import dataclasses
import types
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote

import pytest
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import DeltaError

from schemas.commits import Commit, conflicts
from schemas.commits import commit as commit_module
from schemas.delta import TableAction, commit_properties, conflict_token, open_table, paths_of, transactions
from schemas.errors import DamagedFile, FailureCode, ImageError
from schemas.fragments import Fragment, Keep, TableName, receipts, rewriting, write_again
from schemas.storage import join
from schemas.store import FeatureStore, Run, RunResult, recorded_runs
from tests.promises import promises
from tests.promises.promises import Promise
from tests.support import nights
from tests.support.nights import World
from transforms.extraction.run_commit import commit_run
from transforms.images import BadImage, ImageFile, decoder, fetching
from transforms.planning import Snapshot, adoption, known_images

PROMISES = (
    promises.nights_that_meet_both_land,
    promises.overlapping_nights_leave_each_picture_once,
    promises.a_shard_that_was_tried_twice_is_there_once,
    promises.a_system_fault_is_no_bad_image,
    promises.a_lost_answer_is_no_lost_commit,
    promises.a_killed_commit_is_done_once_when_it_is_tried_again,
    promises.what_a_killed_run_finished_is_not_computed_again,
    promises.a_fragment_that_is_not_whole_is_not_adopted,
    promises.what_was_taken_down_is_not_computed,
    promises.a_takedown_between_plan_and_commit_keeps_the_rows_away,
    promises.a_takedown_right_before_a_commit_keeps_the_rows_away,
    promises.a_compaction_right_before_a_commit_brings_nothing_back,
    promises.committed_files_never_change,
)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(transactions, "_FIRST_PAUSE_SECONDS", 0.001)
    return World(tmp_path)


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_it_is_kept(promise: Promise, world: World) -> None:
    promise(world)


Patch = pytest.MonkeyPatch


def check_then_write(patch: Patch) -> None:
    """The log is looked at first, and then the next version is written, whoever has written it meanwhile."""
    write_atomically = commit_module.write_actions

    def write(table: DeltaTable, actions: Sequence[TableAction], properties: CommitProperties) -> None:
        log = Path(unquote(table.table_uri).removeprefix("file://"), "_delta_log")
        (log / f"{table.version() + 1:020}.json").unlink(missing_ok=True)
        write_atomically(table, actions, properties)

    patch.setattr(commit_module, "write_actions", write)


def commit_by_listing(patch: Patch) -> None:
    """What is committed is what is in the folder, not what the shuffle has handed on."""
    commit = FeatureStore.commit_fragments

    def commit_what_is_there(
        self: FeatureStore,
        name: TableName,
        commit_id: str,
        _: object,
        planned_on: Mapping[TableName, int],
        **refresh: bool,
    ) -> Commit:
        table_uri = join(self.uri, name)
        folder = Path(table_uri.removeprefix("file://"))
        there = {path.relative_to(folder).as_posix() for path in folder.glob("ds=*/*.parquet")}
        new = sorted(there - paths_of(open_table(table_uri)))
        listed = [write_again(table_uri, name, [path], "listed") for path in new]
        return commit(self, name, commit_id, listed, planned_on, **refresh)

    patch.setattr(FeatureStore, "commit_fragments", commit_what_is_there)


def every_exception_is_a_bad_image(patch: Patch) -> None:
    """Whatever goes wrong with an image is said to be its fault."""
    decode, fetch = decoder.Decoder.decode_one, fetching.Fetcher.fetch

    def decoded(self: decoder.Decoder, *arguments: Any) -> decoder.Decoded:
        try:
            return decode(self, *arguments)
        except Exception as error:  # noqa: BLE001 (the mistake)
            return decoder.Decoded(ImageError(FailureCode.DECODER_ERROR, str(error)), 0)

    def fetched(self: fetching.Fetcher, numbered: tuple[int, Any]) -> ImageFile | BadImage:
        try:
            return fetch(self, numbered)
        except Exception as error:  # noqa: BLE001 (the mistake)
            return BadImage(numbered[0], ImageError(FailureCode.DECODER_ERROR, str(error)))

    patch.setattr(decoder.Decoder, "decode_one", decoded)
    patch.setattr(fetching.Fetcher, "fetch", fetched)


def errors_are_believed(patch: Patch) -> None:
    """A commit that raises is made again, without a look whether it has landed."""

    def commit(uri: str, _: str, write: Callable[[DeltaTable], bool]) -> DeltaTable:
        while True:
            with contextlib.suppress(DeltaError, OSError):
                write(open_table(uri))
                return open_table(uri)

    patch.setattr(commit_module, "commit_once", commit)
    patch.setattr(recorded_runs, "commit_once", commit)


def attempts_have_no_name(patch: Patch) -> None:
    """A commit that is tried again is taken for another one."""

    def commit(snapshot: Snapshot, run: Run, *written: object) -> RunResult:
        return commit_run(snapshot, dataclasses.replace(run, attempt=uuid.uuid4().hex), *written)

    patch.setattr(nights, "commit_run", commit)


def no_turns(patch: Patch) -> None:
    """Commits go behind whatever was committed since they looked."""

    def without_turn(
        commit_id: str, reported: Mapping[str, str], _: int, marks: Mapping[str, int] = MappingProxyType({})
    ) -> CommitProperties:
        return commit_properties(commit_id, reported, marks=marks)

    patch.setattr(commit_module, "commit_properties", without_turn)
    patch.setattr(conflict_token, "commit_properties", without_turn)


def takedowns_are_no_matter_to_planning(patch: Patch) -> None:
    files = known_images._files

    def without_takedowns(snapshot: Snapshot, name: TableName, rows_together: int) -> Iterator[known_images.KnownFiles]:
        return iter(()) if name == TableName.TAKEDOWNS else files(snapshot, name, rows_together)

    patch.setattr(known_images, "_files", without_takedowns)


def takedowns_are_no_matter_to_commits(patch: Patch) -> None:
    checked = {
        name: tuple(other for other in others if other != TableName.TAKEDOWNS)
        for name, others in commit_module._CHECKED.items()
    }
    patch.setattr(commit_module, "_CHECKED", checked)


def half_a_receipt_is_read(patch: Patch) -> None:
    """A receipt that is there is taken for whole."""

    def read(store_uri: str, _: str = "") -> Iterator[tuple[str, Fragment]]:
        for path in sorted(Path(store_uri.removeprefix("file://"), "receipts").rglob("*.json")):
            yield str(path), receipts._described(path.read_bytes())

    patch.setattr(receipts, "_receipts", read)


def fragments_are_taken_for_whole(patch: Patch) -> None:
    """A fragment that has a receipt is adopted, whatever has become of the file."""
    patch.setattr(adoption, "_is_whole", lambda *_: True)


def receipts_are_not_read(patch: Patch) -> None:
    patch.setattr(adoption, "read_receipts", lambda _: iter(()))


def rests_are_named_by_their_number(patch: Patch) -> None:
    """What is left of a fragment has a name that says how many rows were taken out, whoever does it."""

    def keep(table_uri: str, fragment: Fragment, _: str, keep: Keep) -> Fragment:
        return keep_rows(table_uri, fragment, Path(fragment.path).stem, keep)

    keep_rows = rewriting.keep_rows
    patch.setattr(rewriting, "uuid", types.SimpleNamespace(uuid4=lambda: "less-1"))
    patch.setattr(conflicts, "keep_rows", keep)


MISTAKES = (
    (check_then_write, promises.nights_that_meet_both_land),
    (commit_by_listing, promises.a_shard_that_was_tried_twice_is_there_once),
    (every_exception_is_a_bad_image, promises.a_system_fault_is_no_bad_image),
    (errors_are_believed, promises.a_lost_answer_is_no_lost_commit),
    (attempts_have_no_name, promises.a_killed_commit_is_done_once_when_it_is_tried_again),
    (no_turns, promises.overlapping_nights_leave_each_picture_once),
    (no_turns, promises.a_compaction_right_before_a_commit_brings_nothing_back),
    (no_turns, promises.a_takedown_right_before_a_commit_keeps_the_rows_away),
    (takedowns_are_no_matter_to_planning, promises.what_was_taken_down_is_not_computed),
    (takedowns_are_no_matter_to_commits, promises.a_takedown_between_plan_and_commit_keeps_the_rows_away),
    (half_a_receipt_is_read, promises.what_a_killed_run_finished_is_not_computed_again),
    (receipts_are_not_read, promises.what_a_killed_run_finished_is_not_computed_again),
    (fragments_are_taken_for_whole, promises.a_fragment_that_is_not_whole_is_not_adopted),
    (rests_are_named_by_their_number, promises.committed_files_never_change),
)
BROKEN = (AssertionError, pytest.fail.Exception, FileNotFoundError, ValueError, DamagedFile)


@pytest.mark.parametrize(("mistake", "promise"), MISTAKES, ids=lambda value: value.__name__)
def test_it_is_broken_by(mistake: Callable[[Patch], None], promise: Promise, world: World, monkeypatch: Patch) -> None:
    mistake(monkeypatch)
    with pytest.raises(BROKEN):
        promise(world)
