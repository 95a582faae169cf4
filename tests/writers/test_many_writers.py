"""Extractions at once, as processes, over the same and over overlapping pictures: rows once, and none fails.

All of them plan on the same snapshot and meet before they commit.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from schemas.delta import Scan
from schemas.storage import check_created_once, file_system
from schemas.store import FeatureStore
from tests.conftest import SMALL_BASE, extract, write_pictures
from tests.support.children import CONTEXT, start_extraction
from tests.support.gcs_server import gcs_server
from tests.support.s3_servers import versitygw
from tests.support.servers import s3_server

IMAGES = 20
BAD = 2


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures, two of them bad, and a store with a conv base and one row; to be copied."""
    folder = tmp_path_factory.mktemp("made")
    write_pictures(folder / "pictures", IMAGES)
    write_pictures(folder / "other", 1, seed=9)
    for number in range(BAD):
        (folder / "pictures" / f"{number:03}-bad.jpg").write_bytes(b"no picture")
    extract(f"--input={folder}/other", f"--output={folder}/store", *SMALL_BASE)
    return folder


@pytest.fixture(params=["disk", "moto", "versitygw", "GCS"])
def store_uri(request: pytest.FixtureRequest, made: Path, tmp_path: Path) -> Iterator[str]:
    """A store with a conv base and one row, on the local disk, or in a bucket of one of three servers."""
    with contextlib.ExitStack() as running:
        if request.param == "disk":
            uri = f"file://{tmp_path}/store"
        elif request.param == "moto":
            uri = f"s3://{running.enter_context(s3_server()).bucket}/store"
        elif request.param == "versitygw":
            uri = f"s3://{running.enter_context(versitygw(tmp_path / 'versitygw'))}/store"
        else:
            pytest.importorskip("gcsfs", reason="needs gcsfs (the extra gcs), which is absent")
            uri = f"gs://{running.enter_context(gcs_server(tmp_path))}/store"
        check_created_once(uri)
        fs, path = file_system(uri)
        fs.put(f"{made}/store/", path, recursive=True)
        yield uri


def run_at_once(inputs: Sequence[Sequence[Path]], store_uri: str, folder: Path) -> None:
    """Runs an extraction of each list of pictures, all at once; none may fail."""
    barrier = CONTEXT.Barrier(len(inputs))
    processes = []
    for number, pictures in enumerate(inputs):
        manifest = folder / f"{number}.txt"
        manifest.write_text("".join(f"{path}\n" for path in pictures))
        options = (f"--input={manifest}", f"--output={store_uri}", f"--run_id=run-{number}")
        limits = ("--shard_size=4", "--max_failure_ratio=1")
        processes.append(start_extraction([*options, *limits], folder / f"{number}.log", meet=barrier))
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * len(inputs), "".join(
        path.read_text() for path in folder.glob("*.log")
    )


@pytest.mark.parametrize("writers", [2, 8])
def test_runs_at_once_bring_every_image_once(writers: int, store_uri: str, made: Path, tmp_path: Path) -> None:
    """Two have the same pictures, and of eight some have the same and some overlap."""
    paths = sorted((made / "pictures").iterdir())
    overlapping = [paths[start : start + 8] for start in (2, 6, 10, 14)]
    each = [paths[:16], paths[:16], paths[:16], paths[:10], *overlapping][:writers]
    run_at_once(each, store_uri, tmp_path)
    wanted = {f"file://{path}" for pictures in each for path in pictures}
    good = {uri for uri in wanted if "bad" not in uri}
    store = FeatureStore.open(store_uri)
    uris = store.scan(["uri"]).to_numpy("uri").tolist()
    assert len(uris) == len(set(uris))
    assert set(uris) == good | {f"file://{made}/other/000.jpg"}
    failed = Scan(store.failures()).to_arrow()["uri"].to_pylist()
    assert sorted(failed) == sorted(wanted - good)
    rows = [row for row in Scan(store.runs()).to_arrow().to_pylist() if row["run_id"].startswith("run-")]
    assert sorted(row["run_id"] for row in rows) == [f"run-{number}" for number in range(writers)]
    assert all(row["listed"] == row["skipped"] + row["extracted"] + row["failed"] for row in rows)
    assert sum(row["extracted"] for row in rows) == len(good)
    assert sum(row["failed"] for row in rows) == len(wanted - good)
    for table in (store.features(), store.failures(), store.runs()):
        fs, log = file_system(f"{store_uri}/{table.metadata().name}/_delta_log")
        versions = sorted(int(path.rpartition("/")[2][:20]) for path in fs.find(log) if path.endswith(".json"))
        assert versions == list(range(table.version() + 1))


@pytest.mark.slow
def test_two_first_runs_at_once_make_one_store(made: Path, tmp_path: Path) -> None:
    options = (f"--input={made}/pictures", f"--output={tmp_path}/store", "--max_failure_ratio=1", *SMALL_BASE)
    processes = [start_extraction(options, tmp_path / f"{number}.log") for number in range(2)]
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0], "".join(
        path.read_text() for path in tmp_path.glob("*.log")
    )
    uris = FeatureStore.open(f"{tmp_path}/store").scan(["uri"]).to_numpy("uri").tolist()
    assert len(uris) == len(set(uris)) == IMAGES
