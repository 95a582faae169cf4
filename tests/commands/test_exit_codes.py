"""Every command's exit code is its own, at any load: no thread of a library aborts a process whose work is done."""

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem

from schemas.storage import parquet
from schemas.store import FeatureStore
from tests.conftest import REPOSITORY

# A thread of Arrow's waits for Python's lock while the process ends.
ARROW_AT_WORK = """
import threading, time
import pyarrow as pa, pyarrow.dataset as ds, pyarrow.fs as pa_fs
from fsspec.implementations.local import LocalFileSystem

class SlowFile:
    closed = False
    def __init__(self, file): self.file = file
    def __getattr__(self, name): return getattr(self.file, name)
    def read(self, *args):
        began.set()
        time.sleep(0.4)
        return self.file.read(*args)

class Slow(pa_fs.FSSpecHandler):
    def open_input_file(self, path):
        return pa.PythonFile(SlowFile(self.fs.open(path, mode="rb")), mode="r")

began = threading.Event()
fs = pa_fs.PyFileSystem(Slow(LocalFileSystem()))

def main(arguments):
    scanner = ds.dataset(arguments[0], format="parquet", filesystem=fs, schema=pa.schema([("uri", pa.string())]))
    threading.Thread(target=lambda: scanner.to_table(), daemon=True).start()
    began.wait()
    print("done")
    return 3
"""


@contextlib.contextmanager
def busy(loops: int = 3) -> Iterator[None]:
    """Keeps the machine busy."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def ended(code: str, *arguments: object) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"uri": [str(number) for number in range(10_000)]}), path, row_group_size=1000)
    return path


def test_a_command_ends_with_its_code_while_arrow_is_at_work(table: Path) -> None:
    command = f"{ARROW_AT_WORK}\nfrom pipelines.options import run_main\nrun_main(main)"
    assert ended(command, table) == (3, "done\n")


def test_a_command_cleans_up_and_flushes_before_it_ends(tmp_path: Path) -> None:
    command = (
        "import atexit, sys, tempfile\n"
        "from pipelines.options import run_main\n"
        "folder = tempfile.TemporaryDirectory()\n"
        "atexit.register(print, 'last words')\n"
        "def main(_):\n"
        "    print(folder.name)\n"
        "    return 2\n"
        "run_main(main)"
    )
    code, printed = ended(command)
    folder, last = printed.splitlines()
    assert (code, last) == (2, "last words")
    assert not Path(folder).exists()


def test_processes_that_read_parquet_end_with_their_code_on_a_busy_machine(table: Path) -> None:
    code = "import sys; from schemas.storage import read_column; print(len(read_column(sys.argv[1], 'uri')))"
    with busy():
        assert {ended(code, table) for _ in range(4)} == {(0, "10000\n")}


class WatchedFile(MemoryFile):
    """Remembers which threads read it."""

    def read(self, *arguments: int) -> bytes:
        WatchedFileSystem.readers.add(threading.get_ident())
        return super().read(*arguments)


class WatchedFileSystem(MemoryFileSystem):
    """A file system of Python's."""

    protocol = "watched"
    readers: set[int] = set()  # noqa: RUF012 (of all instances)

    def _open(self, path: str, mode: str = "rb", **options: object) -> MemoryFile:
        file = super()._open(path, mode, **options)
        file.__class__ = WatchedFile
        return file


def test_arrows_threads_read_no_file_of_pythons(table: Path) -> None:
    fsspec.register_implementation("watched", WatchedFileSystem, clobber=True)
    fsspec.filesystem("watched").pipe_file("watched://a.parquet", table.read_bytes())
    WatchedFileSystem.readers.clear()
    uri = "watched://a.parquet"
    assert parquet.read_schema(uri).names == ["uri"]
    assert parquet.row_count(uri) == len(parquet.read_column(uri, "uri")) == 10_000
    assert sum(batch.num_rows for batch in parquet.read_batches(uri)) == 10_000
    assert sum(batch.num_rows for batch in parquet.read_columns(uri, ["uri"])) == 10_000
    assert [table["uri"].to_pylist() for _, table in parquet.read_rows(uri, [1500, 3], ["uri"])] == [["3"], ["1500"]]
    assert WatchedFileSystem.readers == {threading.get_ident()}


def test_no_file_of_pythons_is_opened_for_what_is_local(
    table: Path, small_store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsspec.implementations.local import LocalFileSystem

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a file of Python's")

    monkeypatch.setattr(LocalFileSystem, "open", refused)
    assert parquet.row_count(str(table)) == len(parquet.read_column(str(table), "uri")) == 10_000
    assert small_store.scan().to_arrow().num_rows == 12
