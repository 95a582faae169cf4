"""Processes and threads load the same: pixels, rows, failures and measures, in the order of the shard."""

import shutil
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from schemas.augmentation import AugmentedRows
from schemas.delta import Scan
from schemas.errors import FailureCode
from schemas.images import ref_schema
from schemas.storage import attempts as storage_attempts
from schemas.store import FeatureStore
from tests.conftest import SMALL_BASE, extract, write_pictures
from tests.support.archives import write_tar, write_zip
from transforms.decoding import DecodingRules, decode_image
from transforms.images import (
    BadImage,
    ImageFile,
    LoadedPicture,
    LoadingPools,
    LoadingRules,
    fetch_image,
    fetching,
    load_batches,
)
from transforms.images.augmentation import augmented
from transforms.images.augmented_images import AugmentedImages
from transforms.images.decoder import DecodingTask
from transforms.images.loading import SMALL_FILES_PER_CHUNK, files_per_chunk
from transforms.runtime import Meter
from transforms.sources import IgnoredFiles, ListingRules, find_sources, list_source

SIDE = 32
MAX_BYTES = 20_000
GOOD = 30


@pytest.fixture(scope="module")
def threads() -> LoadingPools:
    return LoadingPools.start(2)


@pytest.fixture(scope="module")
def processes() -> LoadingPools:
    pools = LoadingPools.start(2, decode_processes=2)
    assert pools.decoders.in_processes
    return pools


@pytest.fixture(scope="module")
def uris(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Good pictures with bad ones of every kind between them, and copies of both."""
    folder = tmp_path_factory.mktemp("pictures")
    paths = write_pictures(folder, GOOD)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.open(paths[3]).save(paths[3], exif=turned)
    Image.open(paths[4]).save(folder / "004a.png")
    (folder / "005a.jpg").write_bytes(b"no picture")
    (folder / "008a.jpg").write_bytes(paths[8].read_bytes()[:-200])
    (folder / "011a.jpg").write_bytes(b"")
    (folder / "013a.jpg").write_bytes(paths[13].read_bytes() + bytes(MAX_BYTES))
    (folder / "015a.jpg").mkdir()
    shutil.copy(paths[1], folder / "016a.jpg")
    shutil.copy(folder / "005a.jpg", folder / "017a.jpg")
    missing = [f"file://{folder}/009a.jpg"]
    return sorted(missing + [f"file://{path}" for path in folder.iterdir()])


class Loaded(NamedTuple):
    """What loading gave.

    Attributes:
        pixels: The pixels of each batch.
        pictures: Its pictures.
        bad: The row, code, message and hash of each bad image.
        asked: The rows and hashes of the files that were asked about.
        measured: Bytes and files.
    """

    pixels: list[np.ndarray]
    pictures: list[list[LoadedPicture]]
    bad: list[tuple[int, FailureCode, str, str | None]]
    asked: list[tuple[int, str]]
    measured: tuple[int, int]


def shard_of(uris: list[str]) -> pa.RecordBatch:
    rows = [{"uri": uri, "version": "1", "split": "train" if number % 2 else "test"} for number, uri in enumerate(uris)]
    return pa.RecordBatch.from_pylist(rows, schema=ref_schema())


def load(
    pools: LoadingPools,
    images: list[str] | pa.RecordBatch,
    batch_size: int = 3,
    augmentation: AugmentedRows | None = None,
) -> Loaded:
    """Loads images, of which none is decoded twice."""
    shard, meter = shard_of(images) if isinstance(images, list) else images, Meter()
    bad: list[BadImage] = []
    asked: list[tuple[int, str]] = []

    def is_new(file: ImageFile) -> bool:
        new = file.sha256 not in {sha256 for _, sha256 in asked}
        asked.append((file.row, file.sha256))
        return new

    batches = list(
        load_batches(
            shard, LoadingRules(DecodingRules(SIDE, SIDE), MAX_BYTES, batch_size), pools, bad, meter, is_wanted=is_new,
            augmented_images=AugmentedImages(augmentation, shard.column("split")) if augmentation else None,
        )
    )  # fmt: skip
    measures = meter.measures()
    assert measures.decode_seconds > 0
    return Loaded(
        [batch.pixels.copy() for batch in batches],
        [batch.pictures for batch in batches],
        [(image.row, image.error.code, image.error.message, image.sha256) for image in bad],
        asked,
        (measures.bytes_read, measures.decoded),
    )


def assert_same(one: Loaded, other: Loaded) -> None:
    assert one[1:] == other[1:]
    assert len(one.pixels) == len(other.pixels)
    for pixels, others in zip(one.pixels, other.pixels, strict=True):
        np.testing.assert_array_equal(pixels, others)


@pytest.mark.parametrize("augmentation", [None, AugmentedRows(rows=2, seed=5)])
@pytest.mark.parametrize("batch_size", [1, 3, 16, 100])
def test_processes_load_what_threads_load(
    batch_size: int, augmentation: AugmentedRows | None, threads: LoadingPools, processes: LoadingPools, uris: list[str]
) -> None:
    loaded = load(processes, uris, batch_size, augmentation)
    assert_same(loaded, load(threads, uris, batch_size, augmentation))
    assert [code for _, code, _, _ in loaded.bad] == [
        FailureCode.NOT_AN_IMAGE, FailureCode.TRUNCATED, FailureCode.NOT_FOUND, FailureCode.EMPTY_FILE,
        FailureCode.TOO_MANY_BYTES, FailureCode.NOT_FOUND,
    ]  # fmt: skip
    unread = {row for row, _, _, sha256 in loaded.bad if sha256 is None}
    assert (len(unread), [row for row, _ in loaded.asked]) == (3, sorted(set(range(len(uris))) - unread))


@pytest.mark.parametrize("in_processes", [False, True])
def test_pictures_are_what_decoding_makes_of_each(
    in_processes: bool, threads: LoadingPools, processes: LoadingPools, uris: list[str]
) -> None:
    augmentation = AugmentedRows(rows=2, seed=5)
    loaded = load(processes if in_processes else threads, uris, 4, augmentation)
    rows = [picture.row for batch in loaded.pictures for picture in batch]
    assert rows == sorted(rows)
    for pixels, pictures in zip(loaded.pixels, loaded.pictures, strict=True):
        for given, picture in zip(pixels, pictures, strict=False):
            data = Path(uris[picture.row].removeprefix("file://")).read_bytes()
            decoded = decode_image(data, DecodingRules(SIDE, SIDE))
            expected = augmented(decoded.pixels, augmentation, picture.sha256, picture.augmentation)
            np.testing.assert_array_equal(given, expected)
            assert (picture.width, picture.height) == (decoded.width, decoded.height)
        assert not pixels[len(pictures) :].any()


def test_remote_files_are_handed_to_processes(threads: LoadingPools, processes: LoadingPools, uris: list[str]) -> None:
    fs = fsspec.filesystem("memory")
    readable = [uri for uri in uris if Path(uri.removeprefix("file://")).is_file()]
    for uri in readable:
        fs.pipe_file(Path(uri).name, Path(uri.removeprefix("file://")).read_bytes())
    remote = [f"memory://{Path(uri).name}" for uri in readable]
    loaded = load(processes, remote)
    assert_same(loaded, load(threads, remote))
    assert_same(loaded, load(processes, readable))
    mixed = [uri if number % 2 else other for number, (uri, other) in enumerate(zip(remote, readable, strict=True))]
    assert_same(loaded, load(processes, mixed))


@pytest.fixture
def pools(threads: LoadingPools, processes: LoadingPools) -> tuple[LoadingPools, LoadingPools]:
    return threads, processes


@pytest.mark.parametrize("name", ["stored.zip", "deflated.zip", "a.tar", "a.tar.gz"])
def test_members_of_archives_are_loaded_as_files_are(
    name: str,
    pools: tuple[LoadingPools, LoadingPools],
    uris: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Decoder processes read them where they can: they fetch what is bad, and members of compressed tars."""
    fetched: list[str] = []

    def counted(ref: fetching.ImageRef, *limits: Any) -> bytes:
        fetched.append(threading.current_thread().name.partition("_")[0])
        return fetch_image(ref, *limits)

    readable = [uri for uri in uris if Path(uri.removeprefix("file://")).is_file()]
    members = {Path(uri).name: Path(uri.removeprefix("file://")).read_bytes() for uri in readable}
    threads, processes = pools
    if name.endswith("zip"):
        write_zip(tmp_path / name, members, zipfile.ZIP_STORED if name == "stored.zip" else zipfile.ZIP_DEFLATED)
    else:
        write_tar(tmp_path / name, members)
    (source,) = find_sources([f"{tmp_path}/{name}"])
    (shard,) = list_source(source, ListingRules(), IgnoredFiles())
    expected = load(threads, readable)
    assert_same(load(threads, shard), expected)
    monkeypatch.setattr(fetching, "fetch_image", counted)
    assert_same(load(processes, shard), expected)
    # What is reached through what is before it is read by one thread, ahead of the decoders.
    assert fetched == (["stream"] * len(readable) if name == "a.tar.gz" else ["fetch"])


def test_a_member_that_cannot_be_read_says_why(
    processes: LoadingPools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, good = write_pictures(tmp_path, 2)
    archive = write_zip(tmp_path / "a.zip", {"0.jpg": path.read_bytes(), "1.jpg": good.read_bytes()})
    archive.write_bytes(archive.read_bytes().replace(b"\xff\xd8", b"\0\0", 1))
    damaged = write_tar(tmp_path / "b.tar", {"1.jpg": path.read_bytes()}).read_bytes()
    (tmp_path / "b.tar").write_bytes(damaged[:-9000])
    monkeypatch.setattr(storage_attempts, "_FIRST_PAUSE_SECONDS", 0.001)
    sources = find_sources([f"{tmp_path}/*.zip", f"{tmp_path}/*.tar"])
    batches = [batch for source in sources for batch in list_source(source, ListingRules(), IgnoredFiles())]
    loaded = load(processes, pa.Table.from_batches(batches).combine_chunks().to_batches()[0])
    codes = [code for _, code, _, _ in loaded.bad]
    assert codes == [FailureCode.DAMAGED_ARCHIVE, FailureCode.UNREADABLE, FailureCode.DAMAGED_ARCHIVE]
    messages = [message for _, _, message, _ in loaded.bad]
    assert ["checksum" in messages[0], "breaks off" in messages[1], "breaks off" in messages[2]] == [True] * 3


def test_a_file_that_a_decoder_cannot_read_is_fetched_in_several_attempts(
    processes: LoadingPools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A local file system that is at fault for a while, which a process sees as a file that is too short."""
    (path,) = write_pictures(tmp_path, 1)
    attempts = []

    def shaky(ref: fetching.ImageRef, _: int) -> bytes:
        attempts.append(ref.uri)
        if len(attempts) < 3:
            raise TimeoutError("the disk did not answer")
        return path.read_bytes()

    monkeypatch.setattr(fetching, "_read", shaky)
    monkeypatch.setattr(storage_attempts, "_FIRST_PAUSE_SECONDS", 0.001)
    shard = pa.RecordBatch.from_pylist(
        [{"uri": f"file://{path}", "version": "1", "_size": path.stat().st_size + 1}], schema=ref_schema()
    )
    rules = LoadingRules(DecodingRules(SIDE, SIDE), MAX_BYTES, 2)
    bad: list[BadImage] = []
    (batch,) = load_batches(shard, rules, processes, bad, Meter())
    assert (len(attempts), bad, batch.rows) == (3, [], [0])


@pytest.mark.parametrize("processes_or_none", [0, 2])
def test_memory_is_that_of_the_windows(processes_or_none: int, tmp_path: Path) -> None:
    """However many pictures there are, and although the first two are held by whoever took them."""
    pools = LoadingPools.start(2, processes_or_none)
    uris = [f"file://{path}" for path in write_pictures(tmp_path, 300)]
    shard, batch_size = shard_of(uris), 4
    rules = LoadingRules(DecodingRules(64, 64), MAX_BYTES, batch_size)
    batches = load_batches(shard, rules, pools, [], Meter())
    first = next(batches)
    view = first.pixels[1]
    copy = view.copy()
    rows = first.rows
    del first
    rows += [row for batch in batches for row in batch.rows]
    assert rows == list(range(300))
    np.testing.assert_array_equal(view, copy)
    ahead = 2 * 2 * SMALL_FILES_PER_CHUNK
    assert pools.decoders.memory.size <= (ahead + 4 * batch_size) * 64 * 64 * 3


@pytest.mark.parametrize("processes_or_none", [0, 2])
@pytest.mark.parametrize("good", [(), (0,), (0, 1, 2, 3, 299), (150,)])
def test_files_that_are_no_pictures_leave_no_memory_behind(
    good: tuple[int, ...], processes_or_none: int, tmp_path: Path
) -> None:
    pools = LoadingPools.start(2, processes_or_none)
    paths = [tmp_path / f"{number:03}.jpg" for number in range(300)]
    (picture,) = write_pictures(tmp_path / "good", 1)
    for number, path in enumerate(paths):
        path.write_bytes(picture.read_bytes() if number in good else b"\xff\xd8\xff no picture %d" % number)
    rules, bad = LoadingRules(DecodingRules(64, 64), MAX_BYTES, 4), list[BadImage]()
    batches = list(load_batches(shard_of([f"file://{path}" for path in paths]), rules, pools, bad, Meter()))
    expected = decode_image(picture.read_bytes(), rules.decoding).pixels
    assert [row for batch in batches for row in batch.rows] == list(good)
    for batch in batches:
        np.testing.assert_array_equal(batch.pixels[: len(batch.rows)], [expected] * len(batch.rows))
    assert [image.row for image in bad] == [row for row in range(300) if row not in good]
    assert pools.decoders.memory.size <= (2 * 2 * SMALL_FILES_PER_CHUNK + 4 * 4) * 64 * 64 * 3


@pytest.mark.parametrize(
    ("side", "copies", "files"), [(32, 0, 32), (128, 0, 21), (224, 0, 8), (600, 0, 8), (32, 3, 8), (224, 3, 2)]
)
def test_messages_to_decoders_have_more_files_where_pictures_are_small(side: int, copies: int, files: int) -> None:
    augmentation = AugmentedRows(rows=copies) if copies else None
    assert files_per_chunk(DecodingTask(DecodingRules(side, side), 8, augmentation)) == files


def test_loading_that_is_given_up_leaves_the_pools_as_they_were(processes: LoadingPools, uris: list[str]) -> None:
    rules = LoadingRules(DecodingRules(SIDE, SIDE), MAX_BYTES, 2)
    for _ in range(5):
        batches: Iterator[object] = load_batches(shard_of(uris), rules, processes, [], Meter())
        next(batches)
        del batches
    assert_same(load(processes, uris), load(processes, uris))


@pytest.mark.parametrize("options", [(), ("--augment=2",)])
def test_tables_are_the_same(options: tuple[str, ...], uris: list[str], tmp_path: Path) -> None:
    """Of a first run and of a second one, in which every other image was known."""
    folder = tmp_path / "pictures"
    tables = []
    for count in (0, 2):
        folder.mkdir()
        for uri in uris[::2]:
            _copy(uri, folder)
        given = (
            f"--input={folder}", f"--output={tmp_path}/store-{count}", f"--decode_processes={count}",
            "--max_failure_ratio=1", f"--max_bytes={MAX_BYTES}", *SMALL_BASE, *options,
        )  # fmt: skip
        figures = [extract(*given)]
        for uri in uris:
            _copy(uri, folder)
        figures.append(extract(*given))
        kept = ("extracted", "failed", "reused", "failures_by_code", "listed", "skipped")
        tables.append(([{name: run[name] for name in kept} for run in figures], *_rows(f"{tmp_path}/store-{count}")))
        shutil.rmtree(folder)
    assert tables[0] == tables[1]


def _copy(uri: str, folder: Path) -> None:
    source = Path(uri.removeprefix("file://"))
    if source.is_file():
        shutil.copy2(source, folder / source.name)


def _rows(store: str) -> list[list[dict[str, object]]]:
    """The rows of the tables, in their order within the files of each run, without what names a run."""
    opened = FeatureStore.open(store)
    named = {"run_id", "extracted_at", "failed_at", "ds", "conv_base"}
    return [
        [
            {name: value for name, value in row.items() if name not in named}
            for row in sorted(Scan(table).to_arrow().to_pylist(), key=lambda row: str(row["uri"]))
        ]
        for table in (opened.features(), opened.failures())
    ]
