"""Images with the same bytes go through the conv base once, and each of them has its row."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from schemas.delta import Scan
from schemas.store import FeatureStore
from tests.conftest import SMALL_BASE, extract, write_pictures


def rows(store: Path) -> dict[str, tuple[bytes, int, str]]:
    """What is known of each image, by its name."""
    scan = FeatureStore.open(str(store)).scan(["uri", "conv_pw_13_relu", "width", "sha256"])
    return {
        row["uri"].rpartition("/")[2]: (
            np.array(row["conv_pw_13_relu"], np.float32).tobytes(),
            row["width"],
            row["sha256"],
        )
        for row in scan.to_arrow().to_pylist()
    }


@pytest.mark.parametrize("shard_size", [1, 3, 100])
def test_copies_are_computed_once_and_stored_each(shard_size: int, submitted: list[int], tmp_path: Path) -> None:
    paths = write_pictures(tmp_path / "pictures", 4)
    for number in range(6):
        shutil.copy(paths[number % 2], tmp_path / "pictures" / f"copy-{number}.jpg")
    summary = extract(
        f"--input={tmp_path}/pictures", f"--output={tmp_path}/store", f"--shard_size={shard_size}", *SMALL_BASE
    )
    assert (summary["extracted"], summary["reused"], sum(submitted)) == (10, 6, 4)
    found = rows(tmp_path / "store")
    assert len(found) == 10
    assert all(found[f"copy-{number}.jpg"] == found[f"00{number % 2}.jpg"] for number in range(6))


@pytest.mark.parametrize(("reuse", "computed"), [("store", 1), ("run", 5), ("none", 5)])
def test_a_file_that_was_only_touched_keeps_its_features(
    reuse: str, computed: int, submitted: list[int], tmp_path: Path
) -> None:
    paths = write_pictures(tmp_path / "pictures", 4)
    extract(f"--input={tmp_path}/pictures", f"--output={tmp_path}/store", *SMALL_BASE)
    before = rows(tmp_path / "store")
    for path in paths:
        os.utime(path, (1, 1))
    write_pictures(tmp_path / "more", 1, seed=5)
    submitted.clear()
    summary = extract(
        f"--input={tmp_path}/pictures", f"--input={tmp_path}/more/000.jpg", f"--output={tmp_path}/store",
        f"--reuse={reuse}",
    )  # fmt: skip
    assert (summary["extracted"], summary["reused"], sum(submitted)) == (5, 5 - computed, computed)
    store = FeatureStore.open(f"{tmp_path}/store")
    assert store.features().count() == 5
    assert {name: row for name, row in rows(tmp_path / "store").items() if name != "000.jpg"} == {
        name: row for name, row in before.items() if name != "000.jpg"
    }
    (last,) = Scan(store.runs(), ["options"], [("run_id", "=", summary["run_id"])]).to_numpy("options")
    assert json.loads(last)["reuse"] == reuse


def test_copies_of_a_bad_image_fail_as_it_does(submitted: list[int], tmp_path: Path) -> None:
    (good,) = write_pictures(tmp_path / "pictures", 1)
    for number in range(3):
        Path(tmp_path / "pictures" / f"bad-{number}.jpg").write_bytes(good.read_bytes()[:-100])
    summary = extract(
        f"--input={tmp_path}/pictures", f"--output={tmp_path}/store", "--max_failure_ratio=1", *SMALL_BASE
    )
    assert (summary["extracted"], summary["failures_by_code"]) == (1, {"truncated": 3})
    assert sum(submitted) == 1


def test_a_run_takes_no_features_of_an_earlier_one_of_its_name_whose_files_are_gone(tmp_path: Path) -> None:
    """As in a notebook, where both are in the same process."""
    write_pictures(tmp_path / "pictures", 3)
    for _ in range(2):
        shutil.rmtree(tmp_path / "store", ignore_errors=True)
        summary = extract(f"--input={tmp_path}/pictures", f"--output={tmp_path}/store", "--run_id=night", *SMALL_BASE)
        assert (summary["extracted"], summary["reused"]) == (3, 0)
