"""A store in a bucket whose answers to writes are lost, and runs that are killed at a write: rows once, all of them."""

import itertools
import os
import signal
from collections import Counter
from collections.abc import Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from schemas.delta import Scan
from schemas.storage import file_system
from schemas.store import FeatureStore
from tests.conftest import SMALL_BASE, extract, write_pictures
from tests.support.children import start_extraction
from tests.support.faulty_proxy import LOST, RESET, FaultyProxy, faulty_proxy
from tests.support.s3_servers import versitygw
from tests.support.servers import s3_environment
from tests.support.web import Asked

IMAGES = 8
RUN = "--run_id=night"
# Writes at which a run is killed; a run has some twelve.
KILLS = range(1, 13, 3)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures, one of them bad, and a store with a conv base and one row; to be copied."""
    folder = tmp_path_factory.mktemp("made")
    write_pictures(folder / "photos", IMAGES)
    write_pictures(folder / "other", 1, seed=9)
    (folder / "photos" / "bad.jpg").write_bytes(b"no picture")
    extract(f"--input={folder}/other", f"--output={folder}/store", *SMALL_BASE)
    return folder


@pytest.fixture(scope="module")
def proxy_of_bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FaultyProxy, str]]:
    with (
        versitygw(tmp_path_factory.mktemp("versitygw")) as bucket,
        faulty_proxy(os.environ["AWS_ENDPOINT_URL"]) as proxy,
        s3_environment(proxy.url),
    ):
        yield proxy, bucket


@pytest.fixture
def proxy(proxy_of_bucket: tuple[FaultyProxy, str]) -> Iterator[FaultyProxy]:
    proxy = proxy_of_bucket[0]
    proxy.reported.clear()
    yield proxy
    proxy.fault = lambda _: None


NUMBERS = itertools.count()


def new_store(bucket: str, made: Path) -> str:
    """Copies the store into a folder of its own."""
    uri = f"s3://{bucket}/store-{next(NUMBERS)}"
    fs, path = file_system(uri)
    fs.put(f"{made}/store/", path, recursive=True)
    return uri


def run_into(store_uri: str, made: Path) -> list[str]:
    """Returns the options of a run."""
    return [f"--input={made}/photos", f"--output={store_uri}", RUN, "--max_failure_ratio=1", "--shard_size=3"]


def check(store_uri: str, made: Path) -> None:
    """Every image is in its table once, `runs` counts each once, and no version of a table's log is missing."""
    store = FeatureStore.open(store_uri)
    uris = sorted(store.scan(["uri"]).to_numpy("uri").tolist())
    good = [f"file://{path}" for path in (made / "photos").glob("[0-9]*.jpg")]
    assert uris == sorted([*good, f"file://{made}/other/000.jpg"])
    assert Scan(store.failures()).to_arrow()["uri"].to_pylist() == [f"file://{made}/photos/bad.jpg"]
    runs = [row for row in Scan(store.runs()).to_arrow().to_pylist() if row["run_id"] == "night"]
    # One that was killed after its failures were committed has a row for what it had done.
    assert (sum(row["extracted"] for row in runs), sum(row["failed"] for row in runs)) == (IMAGES, 1)
    for table in (store.features(), store.failures(), store.runs()):
        fs, log = file_system(f"{store_uri}/{table.metadata().name}/_delta_log")
        versions = sorted(int(path.rpartition("/")[2][:20]) for path in fs.find(log) if path.endswith(".json"))
        assert versions == list(range(table.version() + 1))


@pytest.mark.parametrize("what", [LOST, RESET, "503", "500"])
def test_answers_to_writes_that_do_not_come_at_first_cost_nothing(
    what: str, proxy: FaultyProxy, proxy_of_bucket: tuple[FaultyProxy, str], made: Path
) -> None:
    store_uri = new_store(proxy_of_bucket[1], made)
    asked: Counter[str] = Counter()

    def fault(request: Asked) -> str | None:
        if request.method == "PUT":
            asked[request.path] += 1
        return what if request.method == "PUT" and asked[request.path] == 1 else None

    proxy.fault = fault
    extract(*run_into(store_uri, made))
    assert proxy.reported.count(what) >= 6
    check(store_uri, made)


@pytest.mark.slow
@pytest.mark.parametrize("is_done", [False, True])
def test_a_run_that_is_killed_at_a_write_is_completed_by_the_next(
    is_done: bool, proxy: FaultyProxy, proxy_of_bucket: tuple[FaultyProxy, str], made: Path, tmp_path: Path
) -> None:
    """Its process is killed before the server has the write, or after that."""
    killed = 0
    for kill in KILLS:
        store_uri = new_store(proxy_of_bucket[1], made)
        writes = itertools.count(1)
        running: list[ForkServerProcess] = []

        def fault(
            request: Asked, kill: int = kill, writes: Iterator[int] = writes, running: list[ForkServerProcess] = running
        ) -> str | None:
            if request.method != "PUT" or next(writes) != kill:
                return None
            running[0].kill()
            return LOST if is_done else RESET

        proxy.fault = fault
        running.append(start_extraction(run_into(store_uri, made), tmp_path / f"{kill}.log"))
        running[0].join(120)
        killed += running[0].exitcode == -signal.SIGKILL
        proxy.fault = lambda _: None
        extract(*run_into(store_uri, made))
        check(store_uri, made)
    assert killed >= 3
