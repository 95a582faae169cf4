"""Files of a bucket on this machine: fetched once for each content, compared, and bounded."""

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines import index as index_command
from pipelines import search
from schemas.caches import CACHE_VARIABLE, FETCHED, fetched_file, fetched_files
from schemas.errors import RunFailed
from schemas.maintenance import check_indexes
from schemas.search import INDEXES
from schemas.storage import PublishedFile, file_system
from schemas.store import FeatureStore
from tests.conftest import clusters, store_of_features
from tests.support.faulty_proxy import FaultyProxy, faulty_proxy
from tests.support.s3_servers import versitygw
from tests.support.servers import s3_environment
from tests.support.web import Asked

CONTENT = b"what takes long to fetch"


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FaultyProxy, str]]:
    """A proxy to an S3 server, and a bucket of it."""
    pytest.importorskip("s3fs", reason="needs s3fs (the extra s3), which is absent")
    with (
        versitygw(tmp_path_factory.mktemp("versitygw")) as bucket,
        faulty_proxy(os.environ["AWS_ENDPOINT_URL"]) as proxy,
        s3_environment(proxy.url),
    ):
        yield proxy, f"s3://{bucket}"


@pytest.fixture
def fetched(bucket: tuple[FaultyProxy, str]) -> Iterator[list[str]]:
    """The files that are read from the bucket."""
    paths: list[str] = []

    def watch(asked: Asked) -> None:
        if asked.method == "GET" and not asked.path.partition("?")[0].endswith("/"):
            paths.append(asked.path.partition("?")[0].rpartition("/")[2])

    bucket[0].fault = watch
    yield paths
    bucket[0].fault = lambda _: None


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache" / FETCHED


def put(bucket: tuple[FaultyProxy, str], name: str, content: bytes) -> tuple[str, PublishedFile]:
    uri = f"{bucket[1]}/{name}"
    fs, path = file_system(uri)
    fs.pipe_file(path, content)
    return uri, PublishedFile.of(name, name, content)


def read(uri: str, file: PublishedFile) -> bytes:
    with fetched_file(uri, file) as path:
        return path.read_bytes()


def test_a_file_is_fetched_once_for_each_content(
    bucket: tuple[FaultyProxy, str], fetched: list[str], cache: Path
) -> None:
    uri, file = put(bucket, "once", CONTENT)
    assert [read(uri, file), read(uri, file)] == [CONTENT, CONTENT]
    assert fetched == ["once"]
    (kept,) = cache.iterdir()
    assert kept.name == hashlib.sha256(CONTENT).hexdigest()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    uri, other = put(bucket, "once", CONTENT[::-1])
    assert read(uri, other) == CONTENT[::-1]
    assert fetched == ["once", "once"]


def test_a_file_of_this_machine_is_taken_where_it_is(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "here").write_bytes(CONTENT)
    with fetched_file(f"file://{tmp_path}/here", PublishedFile.of("here", "here", CONTENT)) as path:
        assert path == tmp_path / "here"
    assert not cache.exists()


def test_a_kept_file_that_is_cut_off_is_fetched_again(
    bucket: tuple[FaultyProxy, str], fetched: list[str], cache: Path
) -> None:
    uri, file = put(bucket, "cut", CONTENT)
    read(uri, file)
    next(cache.iterdir()).write_bytes(CONTENT[:5])
    assert read(uri, file) == CONTENT
    assert fetched == ["cut", "cut"]


def test_what_is_another_file_than_was_written_is_refused_and_not_kept(
    bucket: tuple[FaultyProxy, str], cache: Path
) -> None:
    uri, _ = put(bucket, "other", CONTENT)
    with pytest.raises(ValueError, match="its SHA-256 differs"):
        read(uri, PublishedFile.of("other", "other", CONTENT[::-1]))
    with pytest.raises(ValueError, match="it has 24 bytes, 5 were written"):
        read(uri, PublishedFile.of("other", "other", CONTENT[:5]))
    with pytest.raises(FileNotFoundError):
        read(f"{uri}.gone", PublishedFile.of("other", "other", CONTENT))
    assert not list(cache.iterdir())


def test_what_was_not_used_for_longest_goes(
    bucket: tuple[FaultyProxy, str], fetched: list[str], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetched_files, "MOST_BYTES", 2.5 * len(CONTENT))
    files = [put(bucket, f"{number}", CONTENT + bytes([number])) for number in range(3)]
    for uri, file in (files[0], files[1]):
        read(uri, file)
    for seconds, (_, file) in zip((100, 200), files[:2], strict=True):
        os.utime(cache / file.sha256, (seconds, seconds))
    read(*files[0])
    read(*files[2])
    assert {kept.name for kept in cache.iterdir()} == {files[0][1].sha256, files[2][1].sha256}
    assert fetched == ["0", "1", "2"]
    uri, file = put(bucket, "large", 3 * CONTENT)
    assert read(uri, file) == 3 * CONTENT
    assert file.sha256 not in {kept.name for kept in cache.iterdir()}


@pytest.mark.parametrize("spoil", ["off", "writable", "a file"])
def test_without_a_cache_it_is_fetched_each_time(
    spoil: str, bucket: tuple[FaultyProxy, str], fetched: list[str], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if spoil == "off":
        monkeypatch.setenv(CACHE_VARIABLE, "")
    elif spoil == "writable":
        cache.parent.mkdir()
        cache.parent.chmod(0o777)
    else:
        cache.parent.mkdir(0o700)
        cache.write_bytes(b"no folder")
    uri, file = put(bucket, "each time", CONTENT)
    assert [read(uri, file), read(uri, file)] == [CONTENT, CONTENT]
    assert len(fetched) == 2
    assert not cache.is_dir()


def test_an_index_in_a_bucket_is_fetched_once_for_any_number_of_searches(
    bucket: tuple[FaultyProxy, str], fetched: list[str], cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("faiss", reason="an index is made by faiss: pip install faiss-cpu")
    features = clusters([40] * 5)[0]
    store_of_features(tmp_path / "store", features)
    assert index_command.main([f"{tmp_path}/store"]) == 0
    uri = f"{bucket[1]}/store"
    fs, path = file_system(uri)
    fs.put(f"{tmp_path}/store/", path, recursive=True)
    found = []
    for _ in range(2):
        capsys.readouterr()
        assert search.main([uri, "--uri=file:///image-7", "--k=5"]) == 0
        found.append(capsys.readouterr().out)
    assert found[0] == found[1]
    assert "By the index of version 1" in found[0]
    assert len([name for name in fetched if name.endswith(".cells")]) == 1
    store, (cells,) = FeatureStore.open(uri), (tmp_path / "store" / INDEXES).glob("*.cells")
    local = FeatureStore.open(f"{tmp_path}/store")
    hits = [each.neighbours(features[:3], 5, index=each.index()).to_pylist() for each in (store, local)]
    assert hits[0] == hits[1]
    # What is kept goes on to be used while its file is removed, and one that was altered in the bucket is not believed.
    index = store.index()
    assert not check_indexes(uri, deep=True).damages
    data = bytearray(cells.read_bytes())
    data[-1] ^= 1
    fs.pipe_file(f"{path}/{INDEXES}/{cells.name}", bytes(data))
    assert [damage.how for damage in check_indexes(uri, deep=True).damages] == ["its SHA-256 differs"]
    shutil.rmtree(cache)
    assert store.neighbours(features[:3], 5, index=index).to_pylist() == hits[0]
    with pytest.raises(RunFailed, match=r"is damaged \(its SHA-256 differs\); .*--rebuild"):
        store.index()
