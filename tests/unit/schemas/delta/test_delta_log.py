"""The log of a table stays short, whatever the number of commits: checkpoints, and the end of what is old."""

import datetime
import os
import time
from pathlib import Path

import pytest

from schemas.delta import open_table, table_history
from schemas.delta.log_entries import entry_actions
from schemas.errors import DamagedFile
from schemas.fragments import TableName
from schemas.store import FeatureStore
from tests.conftest import Run
from tests.support.fragments import SPEC, fragment

INTERVAL = 3


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    """A checkpoint comes after every third commit instead of every hundredth."""
    store = FeatureStore.create(str(tmp_path / "store"), SPEC)
    store.features().alter.set_table_properties({"delta.checkpointInterval": str(INTERVAL)})
    return store


def commit(store: FeatureStore, *numbers: int) -> None:
    for number in numbers:
        written = fragment(store, {f"file:///{number}.jpg": 1.0})
        store.commit_fragments(TableName.FEATURES, f"run-{number}", [written], {})


def log(tmp_path: Path, kind: str) -> list[Path]:
    return sorted(Path(tmp_path, "store", "features", "_delta_log").glob(f"*.{kind}"))


def test_commits_of_fragments_write_checkpoints(store: FeatureStore, tmp_path: Path) -> None:
    commit(store, *range(7))
    assert len(log(tmp_path, "checkpoint.parquet")) == 3
    # What is before a checkpoint is not needed any more, neither to read nor to tell that a commit is there.
    for path in log(tmp_path, "json")[:-2]:
        path.unlink()
    assert store.scan().to_arrow().num_rows == 7
    again = fragment(store, {"file:///0.jpg": 2.0})
    assert store.commit_fragments(TableName.FEATURES, "run-6", [again], {}).totals.extracted == 1
    assert store.scan().to_arrow().num_rows == 7


@pytest.mark.parametrize("said", ["{}", '{"timestamp": "x", "operation": 0.5}', '{"timestamp": 1e300}', "null"])
def test_a_commit_of_which_its_writer_says_little_is_a_version_too(
    said: str, store: FeatureStore, tmp_path: Path
) -> None:
    commit(store, 0)
    entry = log(tmp_path, "json")[-1]
    entry.write_text(f'{{"commitInfo": {said}}}\n')
    (newest,) = table_history(f"{store.uri}/features", 1)
    assert (newest.committed_at, newest.run_id) == (None, None)
    assert newest.version == int(entry.stem)


@pytest.mark.parametrize("content", [b"{", b"\xa8", b"[" * 100_000, b"5", b'{"commitInfo": 5}'])
def test_an_entry_that_is_none_is_named(content: bytes, store: FeatureStore, tmp_path: Path) -> None:
    commit(store, 0)
    entry = log(tmp_path, "json")[-1]
    entry.write_bytes(content)
    with pytest.raises(DamagedFile, match=entry.name):
        entry_actions(f"{store.uri}/features", int(entry.stem))


def test_a_command_says_in_a_sentence_what_delta_finds_wrong(store: FeatureStore, tmp_path: Path, run: Run) -> None:
    commit(store, *range(7))
    log(tmp_path, "checkpoint.parquet")[-1].write_bytes(b"PAR1")
    done = run("inspect", store.uri)
    assert done.returncode == 1
    (sentence,) = done.stderr.splitlines()
    assert "check --deep` says what is wrong" in sentence


def test_logs_older_than_their_retention_go_with_the_next_checkpoint(store: FeatureStore, tmp_path: Path) -> None:
    commit(store, *range(4))
    before = time.time() - datetime.timedelta(days=31).total_seconds()
    for path in log(tmp_path, "json"):
        os.utime(path, (before, before))
    commit(store, *range(4, 8))
    assert log(tmp_path, "json")[0].stem.endswith("2")  # The first checkpoint's version; it begins with 0.
    assert store.scan().to_arrow().num_rows == 8
    newest = open_table(f"{store.uri}/features").version()
    assert [entry.version for entry in table_history(f"{store.uri}/features", 3)] == [newest, newest - 1, newest - 2]
