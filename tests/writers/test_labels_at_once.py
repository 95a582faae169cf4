"""Extractions at once, as processes, that say different things of the same images: the table ends with one of them."""

from pathlib import Path

import pytest

from schemas.delta import Scan
from schemas.store import FeatureStore
from tests.conftest import SMALL_BASE, extract, write_pictures
from tests.support.children import CONTEXT, start_extraction

IMAGES = 12


@pytest.mark.parametrize(("writers", "known"), [(8, True), (3, False)])
def test_runs_at_once_end_with_the_labels_of_one_of_them(writers: int, known: bool, tmp_path: Path) -> None:
    """All of them look at the same snapshot, and meet before they commit. None mixes with another within a row."""
    paths = write_pictures(tmp_path / "pictures", IMAGES)
    first = paths if known else paths[:1]
    (tmp_path / "first.txt").write_text("".join(f"{path}\n" for path in first))
    extract(f"--input={tmp_path}/first.txt", f"--output={tmp_path}/store", "--shard_size=5", *SMALL_BASE)
    barrier = CONTEXT.Barrier(writers)
    processes = []
    for number in range(writers):
        lines = [f"{path},class {number},{('train', 'test')[number % 2]},run {number}" for path in paths]
        manifest = tmp_path / f"{number}.csv"
        manifest.write_text("\n".join(["uri,label,split,source", *lines, ""]))
        options = (f"--input={manifest}", f"--output={tmp_path}/store", f"--run_id=run-{number}")
        processes.append(start_extraction(options, tmp_path / f"{number}.log", meet=barrier))
    for process in processes:
        process.join(240)
    logs = "".join(path.read_text() for path in tmp_path.glob("*.log"))
    assert [process.exitcode for process in processes] == [0] * writers, logs
    store = FeatureStore.open(f"{tmp_path}/store")
    rows = store.scan(["uri", "label", "split", "source"]).to_arrow().to_pylist()
    assert len({row["uri"] for row in rows}) == len(rows) == IMAGES
    ((label, split, source),) = {(row["label"], row["split"], row["source"]) for row in rows}
    number = int(label.removeprefix("class "))
    assert (split, source) == (("train", "test")[number % 2], f"run {number}")
    updated = Scan(store.runs()).to_arrow()["labels_updated"].to_pylist()
    assert sorted(updated) == [0, IMAGES if known else 1, *[IMAGES] * (writers - 1)]
