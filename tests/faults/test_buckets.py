"""A bucket behind a proxy that spoils answers: the table of the local run, byte for byte, or a run that fails aloud."""

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import boto3
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import extract as extract_command
from schemas.errors import InvalidInput, RunFailed
from schemas.storage import attempts as storage_attempts
from schemas.store import FeatureStore
from tests.conftest import SMALL_BASE, extract, write_pictures
from tests.support.archives import write_tar
from tests.support.faulty_proxy import HALF, RESET, SLOW, Fault, FaultyProxy, faulty_proxy
from tests.support.s3_servers import versitygw
from tests.support.servers import s3_environment
from tests.support.web import Asked
from transforms.runtime import ReadWindow

IMAGES = 24
SECONDS_THROTTLED = 1.5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures, and the store of their local run."""
    folder = tmp_path_factory.mktemp("local")
    write_pictures(folder / "photos", IMAGES)
    extract(f"--input={folder}/photos", f"--output={folder}/store", *SMALL_BASE)
    return folder


@pytest.fixture(scope="module")
def proxy_of_bucket(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FaultyProxy, str]]:
    """A bucket of the pictures, and the proxy before it."""
    with versitygw(tmp_path_factory.mktemp("versitygw")) as bucket:
        client = boto3.client("s3")
        for path in (folder / "photos").iterdir():
            client.upload_file(str(path), bucket, f"photos/{path.name}")
        members = {path.name: path.read_bytes() for path in sorted((folder / "photos").iterdir())}
        client.upload_file(str(write_tar(folder / "a.tar", members)), bucket, "a.tar")
        with faulty_proxy(os.environ["AWS_ENDPOINT_URL"]) as proxy, s3_environment(proxy.url):
            yield proxy, bucket


@pytest.fixture
def proxy(proxy_of_bucket: tuple[FaultyProxy, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    monkeypatch.delenv("CONVBASE_STORAGE", raising=False)
    proxy = proxy_of_bucket[0]
    proxy.reported.clear()
    yield proxy
    proxy.fault = lambda _: None


@pytest.fixture
def bucket(proxy_of_bucket: tuple[FaultyProxy, str]) -> str:
    return proxy_of_bucket[1]


@pytest.fixture
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_attempts, "_FIRST_PAUSE_SECONDS", 0.001)


def table(store: Path) -> pd.DataFrame:
    """The rows of a store by the names of their images, features and all."""
    rows = FeatureStore.open(str(store)).scan().to_pandas()
    rows["uri"] = rows["uri"].str.extract(r"(\d+\.jpg)", expand=False)
    kept = ["sha256", "width", "height", *(name for name in rows if name.startswith("global"))]
    return rows.set_index("uri").sort_index()[kept]


def spoiled_at_first(what: str, times: int = 1) -> Fault:
    """Spoils the first answers to each request, whatever it asks for."""
    asked: Counter[Asked] = Counter()
    lock = threading.Lock()

    def fault(request: Asked) -> str | None:
        with lock:
            asked[request] += 1
            return what if asked[request] <= times else None

    return fault


@pytest.mark.parametrize("what", [RESET, HALF, SLOW, "500", "503", "429"])
def test_answers_that_are_spoiled_for_a_while_cost_no_image(
    what: str, proxy: FaultyProxy, bucket: str, folder: Path, tmp_path: Path
) -> None:
    spoiled = spoiled_at_first(what)
    # Half a listing is none: see below.
    proxy.fault = lambda asked: spoiled(asked) if what != HALF or ".jpg" in asked.path else None
    summary = extract(f"--input=s3://{bucket}/photos", f"--output={tmp_path}/store", *SMALL_BASE)
    assert proxy.reported.count(what) >= IMAGES
    assert (summary["extracted"], summary["failed"]) == (IMAGES, 0)
    pd.testing.assert_frame_equal(table(tmp_path / "store"), table(folder / "store"))
    metrics = summary["metrics"]
    assert (metrics["reads"], metrics["bytes_read"]) == (
        IMAGES,
        sum(f.stat().st_size for f in (folder / "photos").iterdir()),
    )
    assert metrics["retries"] == (0 if what == SLOW else IMAGES)
    assert metrics["throttled"] == (IMAGES if what in {"503", "429"} else 0)
    assert (metrics["waited_milliseconds"] > 0) is (what != SLOW)


def test_a_bucket_that_asks_for_fewer_requests_gets_fewer_and_then_more_again(
    proxy: FaultyProxy, bucket: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows: set[ReadWindow] = set()
    widths: list[int] = []
    began: list[float] = []

    def fault(asked: Asked) -> str | None:
        if ".jpg" not in asked.path:
            return None
        began.append(time.monotonic())
        return "503" if began[-1] - began[0] < SECONDS_THROTTLED else None

    whole = ReadWindow.throttled

    def throttled(self: ReadWindow) -> None:
        whole(self)
        windows.add(self)
        widths.append(self.reads)

    monkeypatch.setattr(ReadWindow, "throttled", throttled)
    proxy.fault = fault
    summary = extract(f"--input=s3://{bucket}/photos", f"--output={tmp_path}/store", *SMALL_BASE)
    assert (summary["extracted"], summary["failed"]) == (IMAGES, 0)
    assert summary["metrics"]["throttled"] == len(widths) > 0
    assert min(widths) < 16
    assert min(widths) < max(window.reads for window in windows)
    pd.testing.assert_frame_equal(table(tmp_path / "store"), table(folder / "store"))


@pytest.mark.parametrize("what", [HALF, "403"])
def test_a_listing_that_is_spoiled_is_not_taken_for_an_empty_folder(
    what: str, proxy: FaultyProxy, bucket: str, tmp_path: Path
) -> None:
    proxy.fault = lambda asked: what if "list-type=2" in asked.path else None
    with pytest.raises(InvalidInput, match=r"cannot be read") as caught:
        extract_command.main([f"--input=s3://{bucket}/photos", f"--output={tmp_path}/store", *SMALL_BASE])
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("without_pauses")
def test_a_bucket_that_never_recovers_fails_the_run_aloud(proxy: FaultyProxy, bucket: str, tmp_path: Path) -> None:
    proxy.fault = lambda asked: HALF if ".jpg" in asked.path else None
    with pytest.raises(RunFailed, match=r"unreadable"):
        extract(f"--input=s3://{bucket}/photos", f"--output={tmp_path}/store", *SMALL_BASE)


def range_of(asked: Asked) -> tuple[int, int]:
    first, _, last = (asked.range or "bytes=0-0").removeprefix("bytes=").partition("-")
    return int(first), int(last)


@pytest.mark.usefixtures("without_pauses")
@pytest.mark.parametrize("is_refused", [False, True])
def test_members_side_by_side_are_read_by_one_request_and_one_by_one_where_that_fails(
    is_refused: bool, proxy: FaultyProxy, bucket: str, folder: Path, tmp_path: Path
) -> None:
    largest = max(path.stat().st_size for path in (folder / "photos").iterdir())
    reads: list[Asked] = []

    def fault(asked: Asked) -> str | None:
        first, last = range_of(asked)
        if first == 0:
            return None  # Whoever lists the archive begins there.
        reads.append(asked)
        return "500" if is_refused and last - first > largest else None

    proxy.fault = fault
    summary = extract(f"--input=s3://{bucket}/a.tar", f"--output={tmp_path}/store", *SMALL_BASE)
    assert (summary["extracted"], summary["failed"]) == (IMAGES, 0)
    assert len(reads) >= IMAGES if is_refused else len(reads) <= 2
    pd.testing.assert_frame_equal(table(tmp_path / "store"), table(folder / "store"))


def test_images_of_a_parquet_file_are_read_by_fewer_requests_than_there_are(
    proxy: FaultyProxy, bucket: str, folder: Path, tmp_path: Path
) -> None:
    contents = [path.read_bytes() for path in sorted((folder / "photos").iterdir())]
    pq.write_table(pa.table({"image": contents}), tmp_path / "a.parquet", row_group_size=IMAGES // 2)
    boto3.client("s3").upload_file(str(tmp_path / "a.parquet"), bucket, "a.parquet")
    asked: list[Asked] = []
    proxy.fault = asked.append
    summary = extract(f"--input=s3://{bucket}/a.parquet", f"--output={tmp_path}/store", *SMALL_BASE)
    assert (summary["extracted"], summary["failed"]) == (IMAGES, 0)
    assert len([one for one in asked if one.method == "GET"]) < IMAGES / 2
    found = FeatureStore.open(f"{tmp_path}/store").scan().to_pandas()["sha256"]
    assert sorted(found) == sorted(table(folder / "store")["sha256"])
