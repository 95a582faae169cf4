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
from schemas.store import FeatureStore
from tests.conftest import SMALL_BASE, extract, write_pictures
from tests.support.power_cuts import Files, watched

IMAGES = 6
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


def test_whatever_a_power_cut_leaves_the_next_run_puts_right(begun: Path, tmp_path: Path) -> None:
    watched_store = tmp_path / "watched"
    shutil.copytree(begun / "store", watched_store)
    before = rows(watched_store)
    with watched(watched_store) as moments:
        assert extract_command.main(options(begun, watched_store)) == 0
    right = rows(watched_store)
    assert len(right) == IMAGES

    states = distinct([state for moment in moments for state in moment.states()])
    assert len(states) > 30
    repaired = 0
    for number, state in enumerate(states):
        store = tmp_path / f"state-{number}"
        for path, content in state.items():
            (store / path).parent.mkdir(parents=True, exist_ok=True)
            (store / path).write_bytes(content)
        try:
            found = rows(store)
        except SENTENCES:
            found = {}
        else:
            assert found in (before, right), "A reader sees all of the run or nothing of it."
        assert all(right[uri] == row for uri, row in found.items())
        try:
            assert extract_command.main(options(begun, store)) == 0
        except SENTENCES:
            repaired += 1
            assert maintain_command.main([str(store), "check", "--deep", "--repair"]) == 0
            assert extract_command.main(options(begun, store)) == 0
        assert rows(store) == right
        shutil.rmtree(store)
    print(f"{len(moments)} moments, {len(states)} states, {repaired} of them repaired")

    store = tmp_path / "sure"
    for path, content in moments[-1].earliest().items():
        (store / path).parent.mkdir(parents=True, exist_ok=True)
        (store / path).write_bytes(content)
    assert rows(store) == right, "What a command that has ended has committed is on the disk."
    assert len(Scan(FeatureStore.open(str(store)).runs()).to_arrow()) == 2
