"""An extraction that is killed at any moment loses at most its shards in flight, and nobody ever sees half of it."""

import shutil
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipelines import extract as extract_command
from pipelines.console import run_table
from schemas.delta import Scan
from schemas.errors import RunStopped
from schemas.fragments import read_receipts
from schemas.store import FeatureStore
from tests.conftest import SMALL_BASE, extract, write_pictures
from tests.support.children import Kill, start_extraction
from transforms.extraction import beam as extraction_beam
from transforms.extraction import shard as shard_module
from transforms.images.decoder import Content, LocalFile
from transforms.images.decoder_processes import DecoderProcess

IMAGES = 12
BAD = "bad.jpg"
OPTIONS = ("--shard_size=3", "--batch_size=2", "--max_failure_ratio=0.5")

# Where an extraction is killed, whether its features are in the table then, and how many of its five shards have left
# a receipt at least.
KILLS = {
    "before anything": (Kill("transforms.sources.beam:list_part"), False, 0),
    "while decoding": (Kill("transforms.images.decoder_processes:DecoderProcess.decode", call=3), False, 1),
    "while writing a fragment": (Kill("schemas.fragments.fragment:FragmentWriter.write", call=4), False, 1),
    "with a fragment half flushed": (Kill("schemas.fragments.fragment:FragmentWriter._flush", call=3), False, 1),
    "between fragment and receipt": (Kill("transforms.extraction.shard:leave_receipt", call=3), False, 2),
    "between receipt and commit": (Kill("transforms.extraction.beam:commit_run"), False, 4),
    "before the failures": (Kill("schemas.commits.commit:write_actions"), False, 4),
    "between failures and features": (Kill("schemas.commits.commit:write_actions", done=True), False, 4),
    "in the middle of the commit": (Kill("schemas.commits.commit:write_actions", call=2), False, 4),
    "before it knows of its commit": (Kill("schemas.commits.commit:write_actions", call=2, done=True), True, 4),
    "between the tables": (Kill("schemas.store.feature_store:FeatureStore.record_run"), True, 4),
    "before the receipts go": (Kill("pipelines.jobs.job:remove_receipts"), True, 4),
}


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a conv base and no rows; to be copied."""
    folder = tmp_path_factory.mktemp("empty")
    write_pictures(folder / "pictures", 1)
    extract(f"--input={folder}/pictures", f"--output={folder}/made", *SMALL_BASE)
    shutil.copytree(folder / "made" / "conv_bases", folder / "store" / "conv_bases")
    FeatureStore.create(f"{folder}/store", FeatureStore.open(f"{folder}/made").spec)
    return folder / "store"


@pytest.fixture
def folder(empty_store: Path, tmp_path: Path) -> Path:
    """A folder of 12 pictures and a bad one, with an empty store."""
    shutil.copytree(empty_store, tmp_path / "store")
    write_pictures(tmp_path / "pictures", IMAGES)
    (tmp_path / "pictures" / BAD).write_bytes(b"no picture")
    return tmp_path


def arguments(folder: Path) -> list[str]:
    return [f"--input={folder}/pictures", f"--output={folder}/store", *OPTIONS]


def uris(folder: Path) -> list[str]:
    return sorted(FeatureStore.open(f"{folder}/store").scan(["uri"]).to_numpy("uri"))


@contextmanager
def reader(folder: Path) -> Iterator[set[int]]:
    """Reads the table all the while, and collects the numbers of rows that it saw."""
    seen: set[int] = set()
    done = threading.Event()

    def poll() -> None:
        store = FeatureStore.open(f"{folder}/store")
        while not done.wait(0.02):
            seen.add(store.scan(["uri", "sha256"]).to_arrow().num_rows)

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def kill_one(folder: Path, kill: Kill) -> None:
    process = start_extraction(arguments(folder), folder / "killed.log", kill=kill)
    process.join(300)
    assert process.exitcode == -signal.SIGKILL, (folder / "killed.log").read_text()


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The URIs of the images that are read in this process."""
    read, names = DecoderProcess.read, []

    def noted(self: DecoderProcess, files: Sequence[LocalFile], max_bytes: int) -> list[Content | None]:
        names.extend(f"file://{file.path}" for file in files)
        return read(self, files, max_bytes)

    monkeypatch.setattr(DecoderProcess, "read", noted)
    return names


@pytest.mark.parametrize("moment", KILLS)
def test_a_killed_run_loses_at_most_its_shards_in_flight(moment: str, folder: Path, fetched: list[str]) -> None:
    kill, visible, least_receipts = KILLS[moment]
    with reader(folder) as seen:
        kill_one(folder, kill)
        assert len(uris(folder)) == (IMAGES if visible else 0)
        receipts = list(read_receipts(f"file://{folder}/store"))
        finished = sum(fragment.rows for fragment in receipts)
        assert len(receipts) >= least_receipts
        summary = extract(*arguments(folder))
    assert seen <= {0, IMAGES}
    assert uris(folder) == [f"file://{folder}/pictures/{number:03}.jpg" for number in range(IMAGES)]
    known_failure = moment == "between failures and features" or "middle" in moment
    if visible:
        assert (summary["skipped"], summary["extracted"], summary["adopted"]) == (IMAGES + 1, 0, 0)
        assert fetched == []
        store = FeatureStore.open(f"{folder}/store")
        of_rows = set(store.scan(["run_id"]).to_numpy("run_id"))
        (row,) = (row for row in Scan(store.runs()).to_arrow().to_pylist() if row["run_id"] in of_rows)
        assert (row["listed"], row["extracted"], row["failed"]) == (IMAGES + 1, IMAGES, 1)
        assert row["state"] == ("complete" if moment == "before the receipts go" else "recovered")
        assert sum(row["state"] in line for line in run_table(store, 10)) == (2 if row["state"] == "complete" else 1)
    else:
        assert (summary["extracted"], summary["adopted"]) == (IMAGES, finished)
        assert summary["failed"] == (0 if known_failure else 1)
        assert len(fetched) == IMAGES - finished + (0 if known_failure else 1)
    assert len(Scan(FeatureStore.open(f"{folder}/store").failures()).to_arrow()) == 1
    assert list(read_receipts(f"file://{folder}/store")) == []
    assert extract(*arguments(folder))["skipped"] == IMAGES + 1


def test_a_run_that_adopts_and_is_killed_too_loses_nothing(folder: Path, fetched: list[str]) -> None:
    kill_one(folder, Kill("transforms.extraction.shard:leave_receipt", call=3))
    kill_one(folder, Kill("transforms.extraction.shard:leave_receipt", call=2, done=True))
    finished = sum(fragment.rows for fragment in read_receipts(f"file://{folder}/store"))
    summary = extract(*arguments(folder))
    assert (summary["extracted"], summary["adopted"]) == (IMAGES, finished)
    assert len(uris(folder)) == len(set(uris(folder))) == IMAGES
    assert len(fetched) == IMAGES + 1 - finished


def test_a_receipt_that_is_cut_off_counts_for_nothing(folder: Path) -> None:
    kill_one(folder, Kill("transforms.extraction.beam:commit_run"))
    receipts = sorted((folder / "store" / "receipts").rglob("*.json"))
    receipts[0].write_text(receipts[0].read_text()[:-10])
    receipts[1].write_text("")
    finished = sum(fragment.rows for fragment in read_receipts(f"file://{folder}/store"))
    summary = extract(*arguments(folder))
    assert (summary["extracted"], summary["adopted"]) == (IMAGES, finished)
    assert len(set(uris(folder))) == IMAGES


def test_a_fragment_that_is_gone_is_computed_again(folder: Path) -> None:
    kill_one(folder, Kill("transforms.extraction.beam:commit_run"))
    fragments = sorted((folder / "store" / "features").rglob("*.parquet"))
    fragments[0].unlink()
    fragments[1].write_bytes(fragments[1].read_bytes()[:-1])
    summary = extract(*arguments(folder))
    assert summary["extracted"] == IMAGES
    assert 0 < summary["adopted"] < IMAGES
    assert len(set(uris(folder))) == IMAGES


def test_only_the_images_that_are_wanted_are_adopted(folder: Path) -> None:
    kill_one(folder, Kill("transforms.extraction.beam:commit_run"))
    for number in (0, 5):
        write_pictures(folder / "changed", 1, seed=7 + number)[0].rename(folder / "pictures" / f"{number:03}.jpg")
    (folder / "pictures" / "006.jpg").unlink()
    summary = extract(*arguments(folder))
    assert (summary["listed"], summary["extracted"], summary["adopted"]) == (IMAGES, IMAGES - 1, IMAGES - 3)
    rows = FeatureStore.open(f"{folder}/store").scan(["uri", "version"]).to_arrow()
    assert len(set(rows["uri"].to_pylist())) == rows.num_rows == IMAGES - 1
    assert extract(*arguments(folder))["skipped"] == IMAGES


def test_a_run_that_is_alive_and_adopted_does_no_harm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second run begins and ends between the last shard and the commit of the first."""
    summaries = []
    commit = extraction_beam.commit_run

    def overtaken(*given: object, **named: object) -> object:
        monkeypatch.setattr(extraction_beam, "commit_run", commit)
        summaries.append(extract(*arguments(folder)))
        return commit(*given, **named)

    monkeypatch.setattr(extraction_beam, "commit_run", overtaken)
    summaries.append(extract(*arguments(folder)))
    assert [(each["skipped"], each["extracted"], each["adopted"], each["failed"]) for each in summaries] == [
        (0, IMAGES, IMAGES, 1),
        (IMAGES + 1, 0, 0, 0),
    ]
    assert len(set(uris(folder))) == len(uris(folder)) == IMAGES


def test_a_changed_image_that_was_finished_supersedes(folder: Path) -> None:
    extract(*arguments(folder))
    for path in write_pictures(folder / "changed", 3, seed=5):
        path.rename(folder / "pictures" / path.name)
    kill_one(folder, Kill("transforms.extraction.beam:commit_run"))
    summary = extract(*arguments(folder))
    assert (summary["extracted"], summary["adopted"]) == (3, 3)
    assert len(set(uris(folder))) == len(uris(folder)) == IMAGES


def test_a_time_budget_stops_between_shards_and_the_next_run_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, fetched: list[str]
) -> None:
    shards = iter([True, True, False, False, False])
    monkeypatch.setattr(shard_module, "before_deadline", lambda _: next(shards))
    with pytest.raises(RunStopped, match=r"of 13 images left; nothing is committed yet") as stopped:
        extract_command.main([*arguments(folder), "--time_budget=2h", f"--summary={folder}/stopped.json"])
    assert stopped.value.exit_code == 3
    assert uris(folder) == []
    (row,) = Scan(FeatureStore.open(f"{folder}/store").runs()).to_arrow().to_pylist()
    assert row["state"] == "stopped"
    assert row["listed"] == row["extracted"] + row["failed"] + row["remaining"]
    monkeypatch.undo()
    summary = extract(*arguments(folder), "--time_budget=2h")
    assert (summary["extracted"], summary["adopted"], summary["failed"]) == (IMAGES, row["extracted"], 1)
    assert len(set(uris(folder))) == IMAGES


def test_a_shard_that_fails_and_is_tried_again_is_there_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a runner does that retries: the first attempt has written its fragment and its receipt, and then dies."""
    attempt = extraction_beam._ExtractShard.process
    shards = []

    def twice(self: extraction_beam._ExtractShard, shard: object) -> Iterator[object]:
        shards.append(list(attempt(self, shard)))
        return attempt(self, shard)

    monkeypatch.setattr(extraction_beam._ExtractShard, "process", twice)
    summary = extract(*arguments(folder))
    assert len(shards) == 5
    assert (summary["extracted"], summary["adopted"], summary["failed"]) == (IMAGES, 0, 1)
    assert len(set(uris(folder))) == len(uris(folder)) == IMAGES


ODD_NAMES = (
    "a b.jpg", "a%20b.jpg", "a%2Fb.jpg", "c#d?.jpg", "two\nlines.jpg", "e\u0301.jpg", "\u00e9.jpg", "[0]*.jpg",
    "x::y.jpg",
)  # fmt: skip


def test_odd_names_come_back_exactly_through_a_crash_and_an_adoption(empty_store: Path, tmp_path: Path) -> None:
    folder = tmp_path / "odd #1 e\u0301"
    shutil.copytree(empty_store, folder / "store")
    for path, name in zip(write_pictures(folder / "new", len(ODD_NAMES)), ODD_NAMES, strict=True):
        (folder / "pictures").mkdir(exist_ok=True)
        path.rename(folder / "pictures" / name)
    kill_one(folder, Kill("transforms.extraction.shard:leave_receipt", call=2, done=True))
    summary = extract(*arguments(folder), f"--input={folder}/pictures/a b.jpg")
    assert (summary["extracted"], summary["duplicates"]) == (len(ODD_NAMES), 1)
    assert 0 < summary["adopted"] < len(ODD_NAMES)
    assert uris(folder) == sorted(f"file://{folder}/pictures/{name}" for name in ODD_NAMES)
    assert extract(*arguments(folder))["skipped"] == len(ODD_NAMES)
