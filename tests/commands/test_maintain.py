"""The command maintain, on stores that extractions have made, and while they do."""

import datetime
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from pipelines import maintain
from schemas.delta import Scan
from schemas.errors import RunFailed, UsageError
from schemas.store import FeatureStore
from tests.conftest import REPOSITORY, Run, extract, write_pictures

DRAWN = 12


@pytest.fixture
def store(small_store: FeatureStore, tmp_path: Path) -> Path:
    """A store with a space in its name and the features of `tmp_path / "pictures"`, in one file a run."""
    folder = tmp_path / "a store #1"
    shutil.copytree(small_store.uri.removeprefix("file://"), folder)
    write_pictures(tmp_path / "pictures", DRAWN, seed=100)
    assert extract(f"--input={tmp_path}/pictures", f"--output={folder}")["extracted"] == DRAWN
    return folder


def uris(store: Path, table_version: int | None = None) -> list[str]:
    return sorted(
        FeatureStore.open(str(store)).scan(["uri"], table_version=table_version).to_arrow()["uri"].to_pylist()
    )


def listed(tmp_path: Path, *pictures: Path) -> str:
    path = tmp_path / "gone.txt"
    path.write_text("\n".join(map(str, pictures)))
    return f"--uris={path}"


def everything(store: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in store.rglob("*")}


def test_what_was_taken_down_does_not_come_back(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    gone, later = tmp_path / "pictures" / "003.jpg", tmp_path / "pictures" / "later.jpg"
    kept = [uri for uri in uris(store) if uri != f"file://{gone}"]
    assert maintain.main([str(store), "takedown", listed(tmp_path, gone, later), "--reason=asked for"]) == 0
    said = capsys.readouterr().out
    assert "2 images are taken down, 2 of them newly; rows removed: 1 of features, 0 of failures." in said
    assert "1 of them have no row in the store" in said
    assert uris(store) == kept

    shutil.copy(tmp_path / "pictures" / "004.jpg", later)
    again = extract(f"--input={tmp_path}/pictures", f"--output={store}")
    assert (again["listed"], again["skipped"], again["extracted"]) == (DRAWN + 1, DRAWN + 1, 0)
    assert uris(store) == kept


@pytest.mark.parametrize("retry", ["transient", "all", "none"])
def test_not_even_when_the_picture_changes(retry: str, store: Path, tmp_path: Path) -> None:
    gone = tmp_path / "pictures" / "003.jpg"
    maintain.main([str(store), "takedown", listed(tmp_path, gone)])
    kept = uris(store)
    Image.new("RGB", (50, 50)).save(gone)
    again = extract(f"--input={tmp_path}/pictures", f"--output={store}", f"--retry_failures={retry}")
    assert (again["skipped"], again["extracted"]) == (DRAWN, 0)
    assert uris(store) == kept


def test_a_picture_that_failed_is_taken_down_too(store: Path, tmp_path: Path) -> None:
    bad = tmp_path / "pictures" / "bad.jpg"
    bad.write_text("no picture")
    extract(f"--input={tmp_path}/pictures", f"--output={store}", "--max_failure_ratio=1")
    failures = FeatureStore.open(str(store)).failures
    assert Scan(failures(), ["uri"]).to_arrow()["uri"].to_pylist() == [f"file://{bad}"]
    maintain.main([str(store), "takedown", listed(tmp_path, bad)])
    assert not Scan(failures(), ["uri"]).to_arrow().num_rows
    write_pictures(tmp_path / "other", 1)[0].replace(bad)
    assert extract(f"--input={tmp_path}/pictures", f"--output={store}")["extracted"] == 0


def test_a_takedown_is_proved_once_a_vacuum_has_removed_older_versions(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where there are a checkpoint, which is Parquet without URIs, and a file without a byte."""
    gone = listed(tmp_path, tmp_path / "pictures" / "003.jpg", tmp_path / "pictures" / "004.jpg")
    with pytest.raises(RunFailed, match=r"^2 of the 2 images have not been taken down\.$"):
        maintain.main([str(store), "takedown", gone, "--verify"])
    assert ": 2 rows, in the newest version." in capsys.readouterr().out
    assert maintain.main([str(store), "takedown", gone]) == 0
    FeatureStore.open(str(store)).features().create_checkpoint()
    (store / "features" / "ds=2026-01-31").mkdir(exist_ok=True)
    (store / "features" / "ds=2026-01-31" / "empty.parquet").write_bytes(b"")
    with pytest.raises(RunFailed, match=r"^1 file holds rows of these images, or cannot be read, until `vacuum`"):
        maintain.main([str(store), "takedown", gone, "--verify"])
    assert ": 2 rows, in older versions only, or uncommitted." in capsys.readouterr().out
    assert maintain.main([str(store), "vacuum", "--retention=0h", "--allow_short_retention"]) == 0
    before = everything(store)
    assert maintain.main([str(store), "takedown", gone, "--verify"]) == 0
    said = capsys.readouterr().out.splitlines()[-1]
    assert said == "No file of features and failures holds a row of the 2 images, which are all taken down."
    assert everything(store) == before


def test_a_file_that_cannot_be_read_proves_nothing(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = listed(tmp_path, tmp_path / "pictures" / "003.jpg")
    assert maintain.main([str(store), "takedown", gone]) == 0
    (store / "features" / "stray.parquet").write_bytes(b"PAR1 of nothing")
    with pytest.raises(RunFailed, match=r"cannot be read, until `vacuum` removes them"):
        maintain.main([str(store), "takedown", gone, "--verify"])
    assert "stray.parquet: " in capsys.readouterr().out


def test_compaction_while_an_extraction_commits(store: Path, tmp_path: Path) -> None:
    write_pictures(tmp_path / "more", 20, seed=5)
    before = set(uris(store))
    command = [sys.executable, "-m", "pipelines.extract", f"--input={tmp_path}/more", f"--output={store}"]
    running = subprocess.Popen([*command, "--shard_size=2"], cwd=REPOSITORY, stdout=subprocess.DEVNULL)
    while running.poll() is None:
        extract(f"--input={_one_picture_more(tmp_path)}", f"--output={store}")
        assert maintain.main([str(store), "compact"]) == 0
    assert running.returncode == 0
    maintain.main([str(store), "compact"])
    rows = uris(store)
    assert len(rows) == len(set(rows))
    drawn = {f"file://{path}" for folder in ("more", "single") for path in (tmp_path / folder).rglob("*.jpg")}
    assert set(rows) == before | drawn
    (runs,) = FeatureStore.open(str(store)).runs().file_uris()
    assert runs.rpartition("/")[2].startswith("compacted-")


def _one_picture_more(tmp_path: Path) -> Path:
    folder = tmp_path / "single" / f"{datetime.datetime.now(datetime.UTC).timestamp()}"
    write_pictures(folder, 1, seed=int(datetime.datetime.now(datetime.UTC).timestamp() * 1e6))
    return folder


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["compact"], "features: 2 of 2 files"),
        (["vacuum"], "Would remove 0 files of older versions"),
        (["takedown"], "1 image would be taken down, 1 of them newly; rows removed: 1 of features"),
        (["history"], "nothing is ever changed"),
        (["restore", "--table_version=1"], "Would restore version 1 of features over version 2: 12 rows leave, 0 come"),
    ],
)
def test_a_dry_run_changes_nothing(
    command: list[str], said: str, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    if command == ["takedown"]:
        command = [*command, listed(tmp_path, tmp_path / "pictures" / "001.jpg")]
    before = everything(store)
    assert maintain.main([str(store), *command, "--dry_run"]) == 0
    assert said in capsys.readouterr().out
    assert everything(store) == before


def test_a_dry_run_of_vacuum_names_every_file(store: Path, capsys: pytest.CaptureFixture) -> None:
    maintain.main([str(store), "compact"])
    now = ["--retention=0h", "--allow_short_retention"]
    capsys.readouterr()
    maintain.main([str(store), "vacuum", *now, "--dry_run"])
    named = [line for line in capsys.readouterr().out.splitlines() if line.startswith("file://")]
    before = set(everything(store))
    assert maintain.main([str(store), "vacuum", *now]) == 0
    assert before - set(everything(store)) == {uri.removeprefix("file://") for uri in named}
    assert len(named) == 4
    assert len(uris(store)) == 2 * DRAWN


def test_the_history_says_what_happened(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    maintain.main([str(store), "compact"])
    maintain.main([str(store), "takedown", listed(tmp_path, tmp_path / "pictures" / "001.jpg")])
    maintain.main([str(store), "restore", "--table_version=1"])
    capsys.readouterr()
    assert maintain.main([str(store), "history", "--limit=5"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    reported = [(line.split()[0], line[30:44].strip(), *line.split()[-2:]) for line in lines]
    assert reported == [
        ("5", "restore 1", "12", "-11"),
        ("4", "takedown", "23", "-1"),
        ("3", "compact", "24", "+0"),
        ("2", "write", "24", "+12"),
        ("1", "write", "12", "+12"),
    ]
    run_ids = Scan(FeatureStore.open(str(store)).runs(), ["run_id"]).to_arrow()["run_id"].to_pylist()
    assert {lines[3].split()[4], lines[4].split()[4]} == set(run_ids)


def test_after_a_restoration_the_next_extraction_computes_what_is_missing(store: Path, tmp_path: Path) -> None:
    gone, before = tmp_path / "pictures" / "001.jpg", uris(store)
    maintain.main([str(store), "takedown", listed(tmp_path, gone)])
    maintain.main([str(store), "restore", "--table_version=1"])
    assert uris(store) == uris(store, 1)
    again = extract(f"--input={tmp_path}/pictures", f"--output={store}")
    assert (again["extracted"], again["skipped"]) == (DRAWN - 1, 1)
    assert uris(store) == [uri for uri in before if uri != f"file://{gone}"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["vacuum", "--retention=1h"], "say --allow_short_retention"),
        (["vacuum", "--retention=soon"], "not a number of days or hours"),
        (["takedown"], "required: --uris"),
        (["takedown", "--uris=/nowhere/gone.txt"], "There is no list at"),
        (["restore", "--table_version=99"], "has no version 99; its newest is 2"),
        (["restore", "--table_version=-1"], "not a version"),
        (["compact", "--target_mb=0"], "not a whole number above 0"),
        (["tidy"], "Argument COMMAND: invalid choice: 'tidy'"),
        ([], "required: COMMAND"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is(arguments: list[str], complaint: str, store: Path) -> None:
    before = everything(store)
    with pytest.raises(UsageError, match=complaint):
        maintain.main([str(store), *arguments])
    assert everything(store) == before


def test_a_storage_that_fails_is_a_sentence(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Iterator[str]:
        raise PermissionError("no entry")

    monkeypatch.setattr("pipelines.upkeep.file_upkeep.compact", fail)
    with pytest.raises(RunFailed, match=r"compact of file://.* could not be completed: no entry"):
        maintain.main([str(store), "compact"])


def test_errors_are_a_sentence_and_an_exit_code(run: Run, tmp_path: Path) -> None:
    done = run("maintain", tmp_path / "nowhere", "compact")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: There is no feature store at")
    assert done.stderr.count("\n") == 1


def test_upkeep_works_on_s3(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.setenv(name, "us-east-1")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    s3fs.S3FileSystem.clear_instance_cache()
    try:
        boto3.client("s3").create_bucket(Bucket="stores")
        bucket = s3fs.S3FileSystem()
        bucket.put(str(store), "stores/store", recursive=True)
        remote = "s3://stores/store"
        assert maintain.main([remote, "compact"]) == 0
        assert maintain.main([remote, "takedown", listed(tmp_path, tmp_path / "pictures" / "001.jpg")]) == 0
        assert maintain.main([remote, "vacuum", "--retention=0h", "--allow_short_retention"]) == 0
        left = FeatureStore.open(remote)
        files = [path for path in bucket.find("stores/store/features") if path.endswith(".parquet")]
        assert [f"s3://{path}" for path in files] == left.features().file_uris()
        gone = f"file://{tmp_path}/pictures/001.jpg"
        assert sorted(left.scan(["uri"]).to_arrow()["uri"].to_pylist()) == [uri for uri in uris(store) if uri != gone]
    finally:
        server.stop()
        s3fs.S3FileSystem.clear_instance_cache()
