"""A dry run counts what a run counts, and needs no Beam for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.store import FeatureStore, InputCounts
from tests.conftest import REPOSITORY, SMALL_BASE, extract, write_pictures
from transforms.planning import RetryFailures, known_by_partition, plan_run, shards_of
from transforms.sources import ListingRules, find_sources


def plan(store: FeatureStore | None, *inputs: Path, retry: str = "transient") -> InputCounts:
    known = known_by_partition(store, RetryFailures(retry))
    return plan_run(find_sources(map(str, inputs)), ListingRules(), known)


@pytest.mark.parametrize(("pictures", "shards"), [(1, 1), (3, 1), (4, 2), (100, 34)])
def test_shards_are_full_but_for_the_last(pictures: int, shards: int, tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures", pictures)
    planned = plan(None, tmp_path / "pictures")
    assert (planned, shards_of(planned.planned, 3)) == (InputCounts(listed=pictures), shards)


def test_a_dry_run_counts_what_the_run_counts(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    write_pictures(pictures, 8)
    (pictures / "notes.md").touch()
    (pictures / "broken.jpg").touch()
    (tmp_path / "more.txt").write_text("pictures/000.jpg\npictures/missing.jpg\n")
    inputs = (pictures, tmp_path / "more.txt")
    arguments = (*(f"--input={uri}" for uri in inputs), f"--output={tmp_path}/store", "--max_failure_ratio=1")
    planned = plan(None, *inputs)
    assert planned == InputCounts(listed=10, duplicates=1, left_aside=1)
    ran = extract(*arguments, *SMALL_BASE)
    store = FeatureStore.open(f"{tmp_path}/store")
    write_pictures(pictures, 2, seed=7)
    write_pictures(tmp_path / "other", 1)[0].rename(pictures / "new.jpg")
    planned_again = plan(store, *inputs)
    assert planned_again == InputCounts(listed=11, skipped=8, duplicates=1, left_aside=1)
    assert shards_of(planned_again.planned, 3) == 1
    assert plan(store, *inputs, retry="all").skipped == 6
    for reported, counts in ((ran, planned), (extract(*arguments), planned_again)):
        found = InputCounts(*(reported[name] for name in ("listed", "skipped", "duplicates", "left_aside")))
        assert found == counts


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--help",), 0),
        (("--shard_size=0",), 2),
        (("--input=nowhere", "--runner=DirectRunner"), 2),
        (("--input=pictures", "--output=store", "--runner", "DirectRunner", "--pooling=max"), 2),
        (("--input=pictures", "--output=store", "--dry_run"), 0),
        (("--input=pictures", "--output=other", "--dry_run", *SMALL_BASE), 0),
    ],
)
def test_what_needs_no_beam_does_not_import_it(arguments: tuple[str, ...], code: int, tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures", 1)
    extract(f"--input={tmp_path}/pictures", f"--output={tmp_path}/store", *SMALL_BASE)
    probe = (
        "import atexit, sys\nfrom pipelines import extract\nfrom pipelines.options.parser import run_main\n"
        "atexit.register(lambda: print('apache_beam' in sys.modules))\nrun_main(extract.main)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe, *arguments], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.splitlines()[-1]) == (code, "False"), done.stderr
