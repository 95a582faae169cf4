"""The command pipelines.measure: what it finds, keeps and recommends, and what it refuses."""

import dataclasses
import json
import os
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipelines import extract as extract_command
from pipelines import measure
from pipelines.jobs import new_job
from schemas.errors import RunFailed, SpecMismatch, UsageError
from schemas.store import FeatureStore
from tests.conftest import SMALL_BASE, extract, write_pictures
from transforms.machine import BaseSpeed, find_measured, keep_measured
from transforms.sources import ListingRules


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures and a store of them; do not change it."""
    folder = tmp_path_factory.mktemp("measured")
    write_pictures(folder / "pictures", 6)
    (folder / "pictures" / "bad.jpg").write_text("no picture")
    extract(f"--input={folder}/pictures", f"--output={folder}/store", "--max_failure_ratio=1", *SMALL_BASE)
    return folder


def test_a_store_is_measured_with_its_own_pictures_and_dry_runs_tell_time_by_it(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = shutil.copytree(folder / "store", tmp_path / "store")
    found = measure(store, seconds=1, price_per_hour=0.1)
    measured = found.measured
    assert find_measured(str(store)) == measured
    assert (measured.precision, measured.decode, measured.price_per_hour) == ("float32", "exact", 0.1)
    assert {base.batch_size for base in measured.bases} >= {1}
    assert all(base.images_per_second > 0 for base in measured.bases)
    assert measured.pictures.pictures == 6
    assert 0 < measured.limit("float32", "exact") <= measured.best("float32").images_per_second
    scaled = measured.agreement("scaled")
    assert scaled.cosine == pytest.approx(1.0, abs=1e-6), "pictures as small as these are not scaled"
    assert "cost" in repr(found)
    assert "a million in" in found._repr_html_()
    write_pictures(tmp_path / "more", 3, seed=9)
    extract_command.main([f"--input={tmp_path}/more", f"--output={store}", "--dry_run"])
    assert "images/s, as measured on 20" in capsys.readouterr().out
    FeatureStore.open(str(store)).scan().count()


def test_a_store_that_cannot_be_written_is_refused_before_anything_is_measured(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # Root may write everywhere.
    monkeypatch.setattr(measure, "_measured", None)
    with pytest.raises(UsageError, match=r"^The store .*/store cannot be written: Permission denied: '.*/store'\.$"):
        measure(folder / "store")


def test_a_named_base_is_measured_with_pictures_of_the_input(folder: Path) -> None:
    found = measure(
        input=folder / "pictures", conv_base="MobileNet", conv_base_arg={"alpha": 0.25}, weights="none",
        input_shape=(32, 32, 3), seconds=1,
    )  # fmt: skip
    assert (found.measured.pictures.pictures, found.measured.pictures.unreadable) == (6, 1)
    recommended = next(line for line in repr(found).splitlines() if line.startswith("Recommended: "))
    words = shlex.split(recommended)[4:]
    given = extract_command.parser().parse_args(words)
    assert (given.input, given.conv_base, given.input_shape) == ([str(folder / "pictures")], "MobileNet", (32, 32, 3))
    assert given.batch_size == found.measured.best("float32").batch_size
    assert given.streams == found.measured.best("float32").streams


def test_streams_change_no_feature(folder: Path, tmp_path: Path) -> None:
    extract(
        f"--input={folder}/pictures", f"--output={tmp_path}/store", "--max_failure_ratio=1", "--threads=2",
        "--streams=1", *SMALL_BASE,
    )  # fmt: skip
    one, all_streams = (
        FeatureStore.open(f"{where}/store").scan().to_arrow().sort_by("uri") for where in (tmp_path, folder)
    )
    layer = FeatureStore.open(f"{folder}/store").spec.layers[0]
    first, second = (np.stack(table[layer].to_pylist()) for table in (one, all_streams))
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_what_cannot_be_measured_is_refused_in_a_sentence(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Name a store, or a conv base"):
        measure()
    with pytest.raises(SpecMismatch):
        measure(folder / "store", conv_base="VGG16")
    (tmp_path / "bad.jpg").write_text("no picture")
    with pytest.raises(RunFailed, match="None of the pictures"):
        measure(folder / "store", input=tmp_path / "bad.jpg", seconds=1)
    assert not (folder / "store" / "measured.json").exists()


def test_the_file_is_json_of_each_machine(folder: Path, tmp_path: Path) -> None:
    store = shutil.copytree(folder / "store", tmp_path / "store")
    (store / "measured.json").write_text(json.dumps({"Another CPU, 64 cores": {"cores": 64}}))
    measure(store, seconds=1, pictures=1)
    assert len(json.loads((store / "measured.json").read_text())) == 2


def test_a_run_that_is_tuned_takes_what_was_fastest_here(folder: Path, tmp_path: Path) -> None:
    store = shutil.copytree(folder / "store", tmp_path / "store")
    write_pictures(tmp_path / "more", 3, seed=9)
    extract(f"--input={tmp_path}/more", f"--output={store}", "--tune")
    measured = find_measured(str(store))
    fastest = BaseSpeed("openvino", "float32", 4, 1, 10**6)
    keep_measured(str(store), dataclasses.replace(measured, bases=(*measured.bases, fastest)))
    given = extract_command.parser().parse_args([f"--output={store}", "--tune"])
    made = new_job(given, [], ListingRules(), FeatureStore.open(str(store)), [])
    assert (made.extraction.batch_size, made.extraction.streams) == (4, 1)
    given.batch_size = 8
    assert new_job(given, [], ListingRules(), FeatureStore.open(str(store)), []).extraction.batch_size == 8
