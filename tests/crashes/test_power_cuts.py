"""The power is cut at any moment of an extraction: whatever the disk holds then, the next run puts it right.

Every sync and every rename of a small run is a moment; at each the disk may hold what programs saw, only what was sure,
or either with one file the other way: unsynced data lost or zeros, names without files, renames in another order.
"""

import hashlib
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake.exceptions import DeltaError

from pipelines import extract as extract_command
from pipelines import maintain as maintain_command
from schemas.delta import Scan
from schemas.errors import ConvbaseError
from schemas.storage import PublishedBase
from schemas.store import FeatureStore, RunState
from tests.conftest import SMALL_BASE, extract, write_pictures
from tests.support.nights import World, worker_of
from tests.support.power_cuts import Files, watched
from transforms.conv_bases.published import damaged_files, fetch_published, is_published
from transforms.conv_bases.publishing import PreparedConvBase
from transforms.extraction import Worker
from transforms.origins import CONV_BASE_FILES

IMAGES = 6
# Each so many states the next run is the command; else it is what the command does, in a hundredth of a second.
BY_THE_COMMAND = 20
# What ends a command as one sentence.
SENTENCES = (ConvbaseError, OSError, pa.ArrowInvalid, DeltaError)


def options(folder: Path, store: Path) -> list[str]:
    return [f"--input={folder}/pictures", f"--output={store}", "--shard_size=1", "--max_failure_ratio=0.5"]


def rows(store: Path) -> dict[str, tuple[object, ...]]:
    """Version, label and features by URI; every URI is there once."""
    found = FeatureStore.open(str(store)).scan().to_arrow().to_pylist()
    (column,) = (name for name in FeatureStore.open(str(store)).spec.layers)
    assert len({row["uri"] for row in found}) == len(found)
    return {row["uri"]: (row["version"], tuple(row[column])) for row in found}


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures, a store of half of them, and a file that is none."""
    folder = tmp_path_factory.mktemp("begun")
    write_pictures(folder / "pictures" / "first", IMAGES // 2)
    extract(*options(folder, folder / "store"), *SMALL_BASE)
    write_pictures(folder / "pictures" / "second", IMAGES // 2, seed=1)
    (folder / "pictures" / "page.jpg").write_bytes(b"<html>not found</html>")
    return folder


def distinct(states: list[Files]) -> list[Files]:
    """States that differ, by a hash of their files."""
    by_hash = {}
    for state in states:
        digest = hashlib.sha256()
        for path in sorted(state):
            digest.update(f"{path}\0{len(state[path])}\0".encode() + state[path])
        by_hash[digest.digest()] = state
    return list(by_hash.values())


def put_back(state: Files, store: Path) -> None:
    for path, content in state.items():
        (store / path).parent.mkdir(parents=True, exist_ok=True)
        (store / path).write_bytes(content)


def next_run(pictures: Path, store: Path, worker: Worker | None) -> bool:
    """Runs an extraction, after a repair where it is refused; returns whether that was needed.

    Args:
        pictures: Its input.
        store: The store.
        worker: What computes, without the command around it; None for the command itself.
    """

    def extracted() -> None:
        if worker is None:
            assert extract_command.main(options(pictures.parent, store)) == 0
        else:
            assert World.of(FeatureStore.open(str(store)), pictures, worker).extract().state == RunState.COMPLETE

    try:
        extracted()
    except SENTENCES:
        assert maintain_command.main([str(store), "check", "--deep", "--repair"]) == 0
        extracted()
        return True
    return False


def test_whatever_a_power_cut_leaves_the_next_run_puts_right(begun: Path, tmp_path: Path) -> None:
    watched_store = tmp_path / "watched"
    shutil.copytree(begun / "store", watched_store)
    before = rows(watched_store)
    with watched(watched_store) as moments:
        assert extract_command.main(options(begun, watched_store)) == 0
    right = rows(watched_store)
    assert len(right) == IMAGES
    worker = worker_of(FeatureStore.open(str(watched_store)))

    states = distinct([state for moment in moments for state in moment.states()])
    assert len(states) > 30
    repaired = 0
    for number, state in enumerate(states):
        store = tmp_path / "state"
        put_back(state, store)
        try:
            found = rows(store)
        except SENTENCES:
            found = {}
        else:
            assert found in (before, right), "A reader sees all of the run or nothing of it."
        assert all(right[uri] == row for uri, row in found.items())
        repaired += next_run(begun / "pictures", store, None if number % BY_THE_COMMAND == 0 else worker)
        assert rows(store) == right
        shutil.rmtree(store)
    print(f"{len(moments)} moments, {len(states)} states, {repaired} of them repaired")

    store = tmp_path / "sure"
    put_back(moments[-1].earliest(), store)
    assert rows(store) == right, "What a command that has ended has committed is on the disk."
    assert len(Scan(FeatureStore.open(str(store)).runs()).to_arrow()) == 2


def test_a_power_cut_while_a_conv_base_is_published_leaves_all_of_it_or_none(begun: Path, tmp_path: Path) -> None:
    published = FeatureStore.open(f"{begun}/store")
    spec = published.spec
    prepared = PreparedConvBase(spec, tmp_path / "built")
    prepared.folder.mkdir()
    fetch_published(published.conv_base(), CONV_BASE_FILES, prepared.folder)
    (tmp_path / "watched").mkdir()
    with watched(tmp_path / "watched") as moments:
        base = prepared.publish(str(tmp_path / "watched"))
    assert damaged_files(base) == []
    states = distinct([state for moment in moments for state in moment.states()])
    assert len(states) > 10
    for state in states:
        store = tmp_path / "state"
        store.mkdir()
        put_back(state, store)
        folder = PublishedBase(f"{store}/conv_bases/{spec.fingerprint}")
        assert not (is_published(folder) and damaged_files(folder)), "What counts as published is whole."
        prepared.publish(str(store))
        assert damaged_files(folder) == []
        shutil.rmtree(store)
    print(f"{len(moments)} moments, {len(states)} states")
