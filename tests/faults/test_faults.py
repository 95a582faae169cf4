"""Storage at fault, for images, for fragments and for commits: a run completes, or fails with nothing half visible.

Faults follow a seeded schedule, so that a failure can be seen again.
"""

import errno
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from schemas.delta import Scan, transactions
from schemas.errors import RunFailed, StoreNotWritable
from schemas.fragments import TableName, Totals, receipts
from schemas.fragments import fragment as fragment_module
from schemas.storage import attempts as storage_attempts
from schemas.storage import check_created_once
from schemas.store import FeatureStore, InputCounts, RunResult, RunState
from tests.conftest import SMALL_BASE, extract, write_pictures
from tests.support.fragments import SPEC, a_run, contents, fragment
from tests.support.servers import LOST, REFUSED, Environ, Faults, s3_server

IMAGES = 24


class ShakyFileSystem(MemoryFileSystem):
    """A file system whose reads go wrong by a schedule, at most `in_a_row` times for one file."""

    protocol = "shaky"
    in_a_row = 2
    schedule = random.Random(0)
    faults: ClassVar[Counter[str]] = Counter()

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.removeprefix("shaky://")))

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: object) -> bytes:
        content: bytes = super().cat_file(path, start, end)
        if self.faults[path] >= self.in_a_row or self.schedule.random() < 0.4:
            return content
        self.faults[path] += 1
        kind = self.schedule.choice(["503", "timeout", "reset", "broken off"])
        if kind == "503":
            raise OSError(errno.EIO, "503 Service Unavailable")
        if kind == "timeout":
            raise TimeoutError("the server did not answer")
        if kind == "reset":
            raise ConnectionResetError("the connection was reset")
        return content[: len(content) // 2]


@pytest.fixture(params=range(3))
def shaky(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[ShakyFileSystem]:
    fsspec.register_implementation("shaky", ShakyFileSystem, clobber=True)
    monkeypatch.setattr(ShakyFileSystem, "schedule", random.Random(request.param))
    monkeypatch.setattr(ShakyFileSystem, "faults", Counter())
    monkeypatch.setattr(storage_attempts, "_FIRST_PAUSE_SECONDS", 0.001)
    return ShakyFileSystem


@pytest.fixture
def shaky_uris(shaky: type[ShakyFileSystem], made: Path, tmp_path: Path) -> list[str]:
    """Pictures on the shaky file system."""
    fs = fsspec.filesystem("shaky")
    for path in (made / "pictures").iterdir():
        fs.pipe_file(f"{tmp_path}/{path.name}", path.read_bytes())
    return [f"shaky://{tmp_path}/{number:03}.jpg" for number in range(IMAGES)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures."""
    folder = tmp_path_factory.mktemp("made")
    write_pictures(folder / "pictures", IMAGES)
    return folder


@pytest.fixture(scope="module")
def store(made: Path) -> FeatureStore:
    """A store that all runs of this module share; each asks for pictures of its own."""
    write_pictures(made / "first", 1, seed=99)
    extract(f"--input={made}/first", f"--output={made}/store", *SMALL_BASE)
    return FeatureStore.open(f"{made}/store")


def rows_of(store: FeatureStore, table: TableName, uris: list[str]) -> list[str]:
    opened = store.features() if table == TableName.FEATURES else store.failures()
    return sorted(set(uris) & set(Scan(opened, ["uri"]).to_arrow()["uri"].to_pylist()))


def manifest(folder: Path, uris: list[str]) -> Path:
    (folder / "list.txt").write_text("".join(f"{uri}\n" for uri in uris))
    return folder / "list.txt"


def run(store: FeatureStore, folder: Path, uris: list[str], *options: str) -> dict[str, object]:
    return extract(
        f"--input={manifest(folder, uris)}", f"--output={store.uri.removeprefix('file://')}", "--shard_size=6",
        "--allowed_sources=shaky:", *options,
    )  # fmt: skip


def test_reads_that_go_wrong_for_a_while_lose_no_image(
    shaky: type[ShakyFileSystem], shaky_uris: list[str], store: FeatureStore, tmp_path: Path
) -> None:
    summary = run(store, tmp_path, shaky_uris)
    assert sum(shaky.faults.values()) >= IMAGES / 2
    assert (summary["extracted"], summary["failed"]) == (IMAGES, 0)
    assert rows_of(store, TableName.FEATURES, shaky_uris) == shaky_uris


def test_reads_that_stay_wrong_are_tried_again_by_the_next_run(
    shaky: type[ShakyFileSystem], shaky_uris: list[str], store: FeatureStore, tmp_path: Path
) -> None:
    shaky.in_a_row = 1000
    try:
        summary = run(store, tmp_path, shaky_uris, "--max_failure_ratio=1")
    finally:
        shaky.in_a_row = 2
    failed = rows_of(store, TableName.FAILURES, shaky_uris)
    assert summary["failed"] == len(failed) > 0
    assert set(summary["failures_by_code"]) <= {"timeout", "unreadable"}
    shaky.faults.update(dict.fromkeys(shaky.faults, 1000))
    again = run(store, tmp_path, shaky_uris)
    assert (again["extracted"], again["failed"]) == (len(failed), 0)
    assert rows_of(store, TableName.FEATURES, shaky_uris) == shaky_uris


class FaultyFile:
    """A file that cannot be written to the end."""

    def __init__(self, file: fsspec.spec.AbstractBufferedFile, error: OSError) -> None:
        self._file = file
        self._error = error
        self._written = 0
        self.closed = False

    def write(self, data: bytes) -> int:
        self._written += len(data)
        if self._written > 1000:
            raise self._error
        return self._file.write(data)

    def tell(self) -> int:
        return self._written

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self.closed = True
        self._file.close()


class FaultyDisk(LocalFileSystem):
    """A local disk that fails at the third fragment, in one way or another."""

    cachable = False

    def __init__(self, error: OSError, when: str) -> None:
        super().__init__(auto_mkdir=True)
        self.error = error
        self.when = when
        self.opened = 0

    def open(self, path: str, mode: str = "rb", **options: object) -> object:
        self.opened += 1
        if self.opened != 3:
            return super().open(path, mode, **options)
        if self.when == "opening":
            raise self.error
        return FaultyFile(super().open(path, mode, **options), self.error)


@pytest.mark.parametrize(
    ("error", "when"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "writing"),
        (OSError(errno.EIO, "503 Service Unavailable"), "writing"),
        (PermissionError(errno.EACCES, "Permission denied"), "opening"),
        (TimeoutError("the server did not answer"), "opening"),
    ],
)
def test_a_fragment_that_cannot_be_written_fails_the_run_and_the_next_adopts_the_others(
    error: OSError, when: str, store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pictures(tmp_path, IMAGES, seed=int(error.errno or 0))
    uris = [f"file://{tmp_path}/{number:03}.jpg" for number in range(IMAGES)]
    disk = FaultyDisk(error, when)
    before = store.features().version(), store.failures().version()
    with monkeypatch.context() as patch:
        patch.setattr(fragment_module, "file_system", lambda uri: (disk, disk._strip_protocol(uri)))
        with pytest.raises(RunFailed, match=str(error.strerror or error)):
            run(store, tmp_path, uris)
    assert (store.features().version(), store.failures().version()) == before
    summary = run(store, tmp_path, uris)
    assert (summary["extracted"], summary["adopted"], summary["failed"]) == (IMAGES, 12, 0)
    assert rows_of(store, TableName.FEATURES, uris) == uris


def test_a_receipt_that_cannot_be_written_fails_the_run(
    store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write_pictures(tmp_path, 3, seed=3)
    uris = [f"file://{tmp_path}/{number:03}.jpg" for number in range(3)]
    with monkeypatch.context() as patch:
        patch.setattr(receipts, "file_system", full)
        with pytest.raises(RunFailed):
            run(store, tmp_path, uris)
    assert rows_of(store, TableName.FEATURES, uris) == []
    assert run(store, tmp_path, uris)["extracted"] == 3


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    monkeypatch.setattr(transactions, "_FIRST_PAUSE_SECONDS", 0.001)
    with s3_server() as faults:
        yield faults


def first_puts(table: str, answer: str, times: int) -> Callable[[Environ], str | None]:
    """Spoils the first answers to puts into a table's log."""
    left = iter([answer] * times)

    def fault(environ: Environ) -> str | None:
        log = environ["REQUEST_METHOD"] == "PUT" and f"/{table}/_delta_log/" in environ["PATH_INFO"]
        return next(left, None) if log else None

    return fault


@pytest.mark.parametrize(("answer", "times"), [(LOST, 1), (LOST, 2), (REFUSED, 1), (REFUSED, 3)])
def test_a_commit_whose_answers_are_spoiled_is_done_once(answer: str, times: int, server: Faults) -> None:
    store = FeatureStore.create(f"s3://{server.bucket}/store", SPEC)
    server.fault = first_puts("features", answer, times)
    commit = store.commit_fragments(TableName.FEATURES, "r/1", [fragment(store, {"a": 1, "b": 2})])
    assert server.reported == [answer] * times
    assert (commit.version, commit.totals.extracted) == (1, 2)
    assert store.features().version() == 1
    assert contents(store) == {("a", "1"): 1, ("b", "1"): 2}


@pytest.mark.parametrize("answer", [LOST, REFUSED])
def test_the_row_of_a_run_whose_answer_is_spoiled_is_there_once(answer: str, server: Faults) -> None:
    store = FeatureStore.create(f"s3://{server.bucket}/store", SPEC)
    server.fault = first_puts("runs", answer, 1)
    store.record_run(a_run("r"), RunResult(RunState.COMPLETE, InputCounts(listed=1), Totals(extracted=1)))
    assert server.reported == [answer]
    assert Scan(store.runs()).to_arrow()["run_id"].to_pylist() == ["r"]


def test_storage_without_conditions_is_refused(server: Faults) -> None:
    check_created_once(f"s3://{server.bucket}/store")
    assert not [path for path in fsspec.filesystem("s3").find(server.bucket) if "created-once" in path]
    application = server._application

    def deaf(environ: Environ, start_response: Callable[..., object]) -> object:
        environ.pop("HTTP_IF_NONE_MATCH", None)
        return application(environ, start_response)

    server._application = deaf
    with pytest.raises(StoreNotWritable, match=r"lets a file be created twice.*--single_writer promises"):
        check_created_once(f"s3://{server.bucket}/store")


def test_a_disk_creates_a_file_once(tmp_path: Path) -> None:
    check_created_once(str(tmp_path / "new" / "store"))
    assert list((tmp_path / "new" / "store").iterdir()) == []
