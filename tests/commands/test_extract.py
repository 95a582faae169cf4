"""An extraction, from pictures to a committed table: nothing lost, nothing there twice, the same bytes each time."""

import datetime
import errno
import hashlib
import json
import logging
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import openvino
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from PIL import Image
from sklearn.linear_model import RidgeClassifier

from pipelines import extract as extract_command
from pipelines.console import extraction as console_extraction
from pipelines.jobs import store as jobs_store
from pipelines.runners import pipeline as pipeline_module
from schemas.delta import Scan
from schemas.errors import RunFailed, StoreNotWritable
from schemas.fragments import FragmentWriter
from schemas.maintenance import restore
from schemas.store import FeatureStore
from tests.conftest import REPOSITORY, SMALL_BASE, Run, extract, write_pictures
from transforms.extraction import beam as extraction_beam
from transforms.images import decoder

FIGURES = ("listed", "skipped", "extracted", "failed")


def figures(summary: dict[str, Any]) -> tuple[int, ...]:
    return tuple(summary[name] for name in FIGURES)


def features(store: object, column: str = "conv_pw_13_relu") -> dict[str, bytes]:
    """The bytes of each image's feature, by the image's name."""
    rows = FeatureStore.open(str(store)).scan(["uri", column]).to_arrow()
    floats = FeatureStore.open(str(store)).scan().to_numpy(column)
    names = [uri.rpartition("/")[2] for uri in rows["uri"].to_pylist()]
    assert len(set(names)) == len(names)
    return {name: values.tobytes() for name, values in zip(names, floats, strict=True)}


def failures(store: object) -> list[dict[str, Any]]:
    return Scan(FeatureStore.open(str(store)).failures()).to_arrow().to_pylist()


def test_the_bare_command_works_offline_and_twice(run: Run) -> None:
    first = run("extract", "--runner=DirectRunner", http_proxy="http://127.0.0.1:9", https_proxy="http://127.0.0.1:9")
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith(
        "No --input: using 144 sample pictures drawn into ./sample-pictures, a conv base with"
    )
    assert "extracted                         144" in first.stdout
    assert first.stderr == ""
    second = run("extract", "--runner=DirectRunner", "--summary=summary.json")
    assert "already in the store              144" in second.stdout
    assert second.stderr == ""


def test_the_samples_have_something_to_find(run: Run, tmp_path: Path) -> None:
    assert run("extract").returncode == 0
    store = FeatureStore.open(str(tmp_path / "feature-store"))
    parts = {}
    for split in ("train", "test"):
        scan = store.scan(["conv_pw_3_relu", "label"], [("split", "=", split)])
        parts[split] = scan.to_numpy(), scan.to_numpy("label")
    (x, y), test = parts["train"], parts["test"]
    assert set(y) == {"discs", "squares", "stripes"}
    classifier = RidgeClassifier().fit(x / x.std(), y)
    assert classifier.score(test[0] / x.std(), test[1]) > 0.9


def test_a_row_says_where_it_came_from(small_store: FeatureStore) -> None:
    row = small_store.scan().to_arrow().slice(0, 1).to_pylist()[0]
    path = Path(row["uri"].removeprefix("file://"))
    assert (row["width"], row["height"]) == (40, 30)
    assert row["label"] == path.parent.name
    assert row["split"] == "train"
    assert row["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert row["ds"] == datetime.datetime.now(datetime.UTC).date()
    run_row = small_store.find_run(row["run_id"])
    assert run_row is not None
    assert run_row["state"] == "complete"
    assert json.loads(run_row["spec"]) == small_store.spec.to_dict()
    assert json.loads(run_row["versions"])["apache-beam"] == beam.__version__
    assert json.loads(run_row["options"])["labels_from"] == "parent"
    assert run_row["table_version"] == small_store.features().version()


def test_the_second_run_takes_what_is_new_or_changed(tmp_path: Path) -> None:
    pictures, store = tmp_path / "pictures", tmp_path / "store"
    write_pictures(pictures, 5)
    options = (f"--input={pictures}", f"--output={store}")
    assert figures(extract(*options, *SMALL_BASE)) == (5, 0, 5, 0)
    assert figures(extract(*options)) == (5, 5, 0, 0)
    before = features(store)
    Image.new("RGB", (40, 30), "red").save(pictures / "001.jpg")
    Image.new("RGB", (40, 30), "blue").save(pictures / "new.jpg")
    assert figures(extract(*options)) == (6, 4, 2, 0)
    after = features(store)
    assert after.keys() == before.keys() | {"new.jpg"}
    assert [name for name in before if after[name] != before[name]] == ["001.jpg"]


def test_an_image_that_is_gone_keeps_its_row(tmp_path: Path) -> None:
    pictures, store = tmp_path / "pictures", tmp_path / "store"
    paths = write_pictures(pictures, 3)
    extract(f"--input={pictures}", f"--output={store}", *SMALL_BASE)
    paths[0].unlink()
    assert figures(extract(f"--input={pictures}", f"--output={store}")) == (2, 2, 0, 0)
    assert len(features(store)) == 3


@pytest.mark.parametrize("options", [("--shard_size=1",), ("--shard_size=7",), ("--shard_size=1000", "--batch_size=5")])
def test_features_do_not_depend_on_the_sharding(options: tuple[str, ...], tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures", 20)
    base = ("--conv_base=ResNet50", "--weights=none", "--input_shape=32,32,3", "--layers=conv1_relu,conv5_block3_out")
    extract(f"--input={tmp_path}/pictures", f"--output={tmp_path}/a", *base)
    shutil.copytree(tmp_path / "a" / "conv_bases", tmp_path / "b" / "conv_bases")
    FeatureStore.create(f"{tmp_path}/b", FeatureStore.open(f"{tmp_path}/a").spec)
    assert figures(extract(f"--input={tmp_path}/pictures", f"--output={tmp_path}/b", *options)) == (20, 0, 20, 0)
    for column in ("conv1_relu", "conv5_block3_out"):
        assert features(tmp_path / "a", column) == features(tmp_path / "b", column)


def test_an_image_mentioned_twice_counts_once(tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures", 3)
    (tmp_path / "list.txt").write_text("pictures/000.jpg\npictures/000.jpg\n")
    summary = extract(
        f"--input={tmp_path}/pictures", f"--input={tmp_path}/list.txt", f"--output={tmp_path}/store", *SMALL_BASE
    )
    assert figures(summary) == (3, 0, 3, 0)
    assert summary["duplicates"] == 2


def test_a_manifests_columns_reach_the_table(tmp_path: Path) -> None:
    write_pictures(tmp_path, 2)
    (tmp_path / "a.csv").write_text("uri,label,breed\n000.jpg,cat,siamese\n")
    extract(f"--input={tmp_path}/a.csv", f"--output={tmp_path}/store", *SMALL_BASE)
    pq.write_table(pa.table({"uri": ["001.jpg"], "tags": [["x", "y"]], "age": [3]}), tmp_path / "b.parquet")
    extract(f"--input={tmp_path}/b.parquet", f"--output={tmp_path}/store")
    rows = FeatureStore.open(f"{tmp_path}/store").scan(["label", "breed", "tags", "age"]).to_arrow().to_pylist()
    assert sorted(rows, key=str) == sorted(
        [
            {"label": "cat", "breed": "siamese", "tags": None, "age": None},
            {"label": None, "breed": None, "tags": ["x", "y"], "age": 3},
        ],
        key=str,
    )


def test_whole_maps_keep_their_shape(tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures", 3)
    extract(
        f"--input={tmp_path}/pictures", f"--output={tmp_path}/store", "--conv_base=VGG16", "--weights=none",
        "--input_shape=64,32,3", "--layers=block3_pool,block5_pool", "--pooling=none",
    )  # fmt: skip
    store = FeatureStore.open(f"{tmp_path}/store")
    assert store.scan().to_numpy("block3_pool").shape == (3, 8, 4, 256)
    assert store.scan().to_numpy("block5_pool").shape == (3, 2, 1, 512)


def bad_files(folder: Path) -> dict[str, str]:
    """Writes one file of each kind of badness; returns the code that each must get."""
    (good,) = write_pictures(folder, 1, seed=9)
    data = good.read_bytes()
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "page.jpg").write_bytes(b"<html>not found</html>")
    (folder / "truncated.jpg").write_bytes(data[:-200])
    Image.new("RGB", (8, 8)).save(folder / "netpbm.jpg", "PPM")
    Image.new("RGB", (200, 200)).save(folder / "wide.png")
    (folder / "heavy.jpg").write_bytes(data + bytes(60_000))
    return {
        "empty.jpg": "empty_file",
        "page.jpg": "not_an_image",
        "truncated.jpg": "truncated",
        "netpbm.jpg": "unsupported_format",
        "wide.png": "too_many_pixels",
        "heavy.jpg": "too_many_bytes",
    }


def test_bad_images_are_rows_in_failures(tmp_path: Path) -> None:
    expected = bad_files(tmp_path / "pictures")
    (tmp_path / "more.txt").write_text("pictures/missing.jpg\n")
    options = (
        f"--input={tmp_path}/pictures", f"--input={tmp_path}/more.txt", f"--output={tmp_path}/store",
        "--max_pixels=10000", "--max_bytes=50000", "--max_failure_ratio=1",
    )  # fmt: skip
    summary = extract(*options, *SMALL_BASE)
    expected["missing.jpg"] = "not_found"
    assert figures(summary) == (8, 0, 1, 7)
    rows = failures(tmp_path / "store")
    assert {row["uri"].rpartition("/")[2]: row["code"] for row in rows} == expected
    assert summary["failures_by_code"] == dict.fromkeys(expected.values(), 1)
    assert all(row["permanent"] and row["message"] and row["run_id"] == summary["run_id"] for row in rows)
    assert {row["stage"] for row in rows} == {"fetch", "decode"}
    # They are not tried again until they change, or are asked for.
    assert figures(extract(*options)) == (8, 8, 0, 0)
    for _ in range(2):
        again = extract(*options, "--retry_failures=all")
        assert figures(again) == (8, 1, 0, 7)
        rows = failures(tmp_path / "store")
        assert {row["uri"].rpartition("/")[2]: row["code"] for row in rows} == expected
        assert [row["run_id"] for row in rows] == [again["run_id"]] * 7, "one row each, the newest"
    write_pictures(tmp_path / "x", 1)[0].rename(tmp_path / "pictures" / "page.jpg")
    assert figures(extract(*options)) == (8, 7, 1, 0)


def test_too_many_failures_commit_nothing(run: Run, tmp_path: Path) -> None:
    bad_files(tmp_path / "pictures")
    done = run("extract", "--input=pictures", "--output=store", "--summary=summary.json", *SMALL_BASE)
    assert done.returncode == 1
    assert done.stderr.startswith("error: 5 of 7 images failed") or "more than --max_failure_ratio=0.1" in done.stderr
    assert "Traceback" not in done.stderr
    store = FeatureStore.open(f"{tmp_path}/store")
    assert store.features().version() == 0
    assert failures(tmp_path / "store") == []
    (row,) = Scan(store.runs()).to_arrow().to_pylist()
    assert row["state"] == "failed"
    assert "nothing was committed" in row["message"]
    assert json.loads((tmp_path / "summary.json").read_text())["state"] == "failed"
    # The next run, with the limit lifted, finds everything as it was.
    assert (
        figures(extract(f"--input={tmp_path}/pictures", f"--output={tmp_path}/store", "--max_failure_ratio=1"))[0] == 7
    )


def test_too_little_memory_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object, **__: object) -> None:
        raise MemoryError

    write_pictures(tmp_path / "pictures", 3)
    monkeypatch.setattr(decoder, "decode_image", exhausted)
    with pytest.raises(RunFailed, match="MemoryError"):
        extract(f"--input={tmp_path}/pictures", f"--output={tmp_path}/store", "--decode_processes=0", *SMALL_BASE)
    assert features(tmp_path / "store") == {}
    assert failures(tmp_path / "store") == []


def test_a_full_disk_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write_pictures(tmp_path / "pictures", 3)
    monkeypatch.setattr(FragmentWriter, "write", full)
    with pytest.raises(RunFailed, match="No space left on device"):
        extract(f"--input={tmp_path}/pictures", f"--output={tmp_path}/store", *SMALL_BASE)
    monkeypatch.undo()
    assert features(tmp_path / "store") == {}
    assert figures(extract(f"--input={tmp_path}/pictures", f"--output={tmp_path}/store")) == (3, 0, 3, 0)


def test_a_real_limit_on_file_sizes_stops_the_run(tmp_path: Path) -> None:
    """The kernel refuses the write, as it does on a full disk; the command says so and commits nothing."""
    write_pictures(tmp_path / "pictures", 40)
    base = ("--conv_base=VGG16", "--weights=none", "--input_shape=32,32,3", "--layers=block1_conv1", "--pooling=none")
    extract(f"--input={tmp_path}/pictures/000.jpg", f"--output={tmp_path}/store", *base)
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.extract", f"--input={tmp_path}/pictures", f"--output={tmp_path}/store"],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(features(tmp_path / "store", "block1_conv1")) == 1


def test_a_dry_run_plans_and_writes_nothing(run: Run, tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures", 5)
    options = ("--input=pictures", "--output=store", "--shard_size=2")
    before = run("extract", *options, *SMALL_BASE, "--dry_run")
    assert before.returncode == 0, before.stderr
    assert [line.split()[-1] for line in before.stdout.splitlines()[1:6]] == ["5", "0", "5", "3", f"{5 * 256 * 4:,}"]
    assert not (tmp_path / "store").exists()
    run("extract", *options, *SMALL_BASE)
    write_pictures(tmp_path / "pictures", 6)
    after = run("extract", *options, "--dry_run")
    assert "to extract" in after.stdout
    assert FeatureStore.open(f"{tmp_path}/store").features().count() == 5


def test_the_options_are_recorded_without_secrets(tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures", 1)
    extract(
        f"--input={tmp_path}/pictures", f"--output={tmp_path}/store", "--direct_num_workers=1",
        "--job_name=nightly", "--s3_secret_access_key=hush", *SMALL_BASE,
    )  # fmt: skip
    (text,) = Scan(FeatureStore.open(f"{tmp_path}/store").runs(), ["options"]).to_numpy("options")
    recorded = json.loads(text)
    assert (recorded["job_name"], recorded["weights"]) == ("nightly", "none")
    assert "hush" not in text


def test_a_run_id_commits_once(tmp_path: Path, submitted: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    write_pictures(tmp_path / "pictures", 3)
    options = (f"--input={tmp_path}/pictures", f"--output={tmp_path}/store", "--run_id=nightly-1", *SMALL_BASE)
    assert figures(extract(*options)) == (3, 0, 3, 0)
    (row,) = Scan(FeatureStore.open(f"{tmp_path}/store").runs()).to_arrow().to_pylist()
    assert row["run_id"] == "nightly-1"

    write_pictures(tmp_path / "pictures", 5)
    submitted.clear()
    capsys.readouterr()
    assert figures(extract(*options)) == (3, 0, 3, 0), "What it has committed is what is said of it."
    assert submitted == []
    assert "A run nightly-1 has committed already, and a run commits once" in capsys.readouterr().out
    store = FeatureStore.open(f"{tmp_path}/store")
    assert (store.features().count(), store.runs().count()) == (3, 1)

    restore(store.uri, 0)
    assert figures(extract(*options)) == (5, 0, 5, 0), "Its rows were there no more."


def test_of_two_runs_of_one_name_at_once_one_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second begins and ends between the last shard and the commit of the first, over other pictures too."""
    write_pictures(tmp_path / "pictures", 3)
    options = (f"--input={tmp_path}/pictures", f"--output={tmp_path}/store", "--run_id=nightly-1", *SMALL_BASE)
    commit = extraction_beam.commit_run
    summaries = []

    def overtaken(*given: object, **named: object) -> object:
        monkeypatch.setattr(extraction_beam, "commit_run", commit)
        write_pictures(tmp_path / "pictures", 4)
        summaries.append(extract(*options))
        return commit(*given, **named)

    monkeypatch.setattr(extraction_beam, "commit_run", overtaken)
    summaries.append(extract(*options))
    assert [figures(summary) for summary in summaries] == [(4, 0, 4, 0)] * 2
    assert FeatureStore.open(f"{tmp_path}/store").runs().count() == 1


@pytest.mark.parametrize(("ratio", "says"), [(0.5, True), (1.7, False)])
def test_a_precision_that_is_slower_here_is_said_once(
    ratio: float, says: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("This CPU does not compute in bfloat16.")
    monkeypatch.setattr(jobs_store, "speed_against_float32", lambda *_: ratio)
    write_pictures(tmp_path / "pictures", 2)
    command = (f"--input={tmp_path}/pictures", f"--output={tmp_path}/store", "--precision=bfloat16", *SMALL_BASE)
    for is_new in (True, False):
        extract(*command)
        said = "On this machine MobileNet runs 0.50 times as fast in bfloat16 as in float32" in capsys.readouterr().out
        assert said == (says and is_new)


def test_a_summary_that_can_no_longer_be_written_does_not_fail_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(console_extraction, "write_file", full)
    write_pictures(tmp_path / "pictures", 2)
    options = (f"--input={tmp_path}/pictures", f"--output={tmp_path}/store", f"--summary={tmp_path}/s.json")
    assert extract_command.main([*options, *SMALL_BASE]) == 0
    assert "warning: " in capsys.readouterr().err
    assert FeatureStore.open(f"{tmp_path}/store").scan(["uri"]).count() == 2


def test_bundles_that_run_twice_commit_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pictures(tmp_path / "pictures", 7)
    monkeypatch.setattr(pipeline_module, "find_runner", lambda _: FnApiRunner(bundle_repeat=2))
    summary = extract(f"--input={tmp_path}/pictures", f"--output={tmp_path}/store", "--shard_size=3", *SMALL_BASE)
    assert figures(summary) == (7, 0, 7, 0)
    assert len(features(tmp_path / "store")) == 7


def test_the_conv_base_is_loaded_once_a_process(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_pictures(tmp_path / "pictures", 40)
    with caplog.at_level(logging.INFO, logger="transforms.conv_bases.engine"):
        extract(
            f"--input={tmp_path}/pictures", f"--output={tmp_path}/store", "--shard_size=2", "--log_level=info",
            "--direct_num_workers=2", "--direct_running_mode=multi_threading", *SMALL_BASE,
        )  # fmt: skip
    assert sum("Loaded the conv base" in record.message for record in caplog.records) == 1
    assert len(features(tmp_path / "store")) == 40


def test_workers_refuse_a_base_that_was_tampered_with(tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures", 1)
    extract(f"--input={tmp_path}/pictures", f"--output={tmp_path}/store", *SMALL_BASE)
    (weights,) = (tmp_path / "store").glob("conv_bases/*/base-*.bin")
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    write_pictures(tmp_path / "pictures", 2)
    extraction_beam._SHARED_WORKER.acquire(lambda: np.zeros(1), "another base")  # Nothing loaded before may serve.
    with pytest.raises(RunFailed, match="is not the file that was published"):
        extract(f"--input={tmp_path}/pictures", f"--output={tmp_path}/store")


def test_a_run_with_nothing_to_do_loads_neither_keras_nor_the_base(run: Run, tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures", 3)
    options = ("--input=pictures", "--output=store")
    run("extract", *options, *SMALL_BASE)
    (tmp_path / "probe.py").write_text(
        "import sys\nfrom pipelines.extract import main\n"
        f"code = main({[*options]!r})\n"
        "print(code, [name for name in ('tensorflow', 'keras', 'openvino') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "probe.py"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "0 []"


def test_engines_share_a_store(tmp_path: Path) -> None:
    """What computes is recorded with the run and is no part of the fingerprint."""
    write_pictures(tmp_path / "a", 3)
    write_pictures(tmp_path / "b", 5, seed=1)
    options = (f"--input={tmp_path}/a", f"--input={tmp_path}/b", f"--output={tmp_path}/store", "--reuse=none")
    first = extract(f"--input={tmp_path}/a", f"--output={tmp_path}/store", "--engine=openvino", *SMALL_BASE)
    second = extract(*options, "--engine=keras")
    assert (first["fingerprint"], figures(second)) == (second["fingerprint"], (8, 3, 5, 0))
    store = FeatureStore.open(f"{tmp_path}/store")
    engines = Scan(store.runs(), ["run_id", "engine"]).to_pandas().set_index("run_id")["engine"]
    assert engines.to_dict() == {first["run_id"]: "openvino", second["run_id"]: "keras"}
    extract(*options, f"--output={tmp_path}/other", "--engine=openvino", *SMALL_BASE)
    ours, theirs = (
        {
            row["sha256"]: row["conv_pw_13_relu"]
            for row in each.scan(["sha256", "conv_pw_13_relu"]).to_arrow().to_pylist()
        }
        for each in (store, FeatureStore.open(f"{tmp_path}/other"))
    )
    assert ours.keys() == theirs.keys()
    for sha256, feature in ours.items():
        np.testing.assert_allclose(feature, theirs[sha256], rtol=1e-4, atol=1e-5 * np.abs(theirs[sha256]).max())


def test_a_store_that_may_only_be_read_is_refused_before_any_work(
    small_store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    shutil.copytree(small_store.uri.removeprefix("file://"), store)
    write_pictures(tmp_path / "pictures", 1)
    for table in ("features", "failures", "runs"):
        with monkeypatch.context() as patch:  # Root may write everywhere.
            patch.setattr(os, "access", lambda path, mode, _=table: f"/{_}/" not in f"{path}/")
            with pytest.raises(StoreNotWritable, match=rf"cannot be written: .*Permission denied: '{store}/{table}'"):
                extract(f"--input={tmp_path}/pictures", f"--output={store}", *SMALL_BASE)
    assert FeatureStore.open(str(store)).scan().to_arrow().num_rows == small_store.scan().to_arrow().num_rows
