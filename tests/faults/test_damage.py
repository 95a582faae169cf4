"""Files of a store that are emptied, cut off, zeroed, altered or gone: commands are right, or name what is wrong."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake.exceptions import DeltaError

from pipelines import extract as extract_command
from pipelines import inspect as inspect_command
from pipelines import maintain as maintain_command
from pipelines.jobs import open_or_create_store
from schemas.delta import paths_of
from schemas.errors import ConvbaseError
from schemas.store import FeatureStore
from tests.conftest import SMALL_BASE, extract, write_pictures
from tests.support.nights import World, worker_of
from transforms.extraction import Worker

IMAGES = 6


def flipped(content: bytes) -> bytes:
    changed = bytearray(content)
    changed[_middle_of_a_page(content) if content.startswith(b"PAR1") else len(changed) // 3] ^= 16
    return bytes(changed)


def _middle_of_a_page(content: bytes) -> int:
    """A place in the values of a Parquet file's largest column; what stands between pages is not all of use."""
    row_group = pq.ParquetFile(pa.BufferReader(content)).metadata.row_group(0)
    columns = [row_group.column(number) for number in range(row_group.num_columns)]
    largest = max(columns, key=lambda column: column.total_compressed_size)
    return int(largest.data_page_offset + largest.total_compressed_size // 2)


DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "emptied": lambda _: b"",
    "cut in half": lambda content: content[: len(content) // 2],
    "zeroed": lambda content: bytes(len(content)),
    "one bit flipped": flipped,
    "missing": lambda _: None,
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures and a store of them, of two runs, with a failure; and a picture that is not in it yet."""
    folder = tmp_path_factory.mktemp("whole")
    write_pictures(folder / "pictures", IMAGES)
    (folder / "pictures" / "page.jpg").write_bytes(b"<html>not found</html>")
    options = (f"--input={folder}/pictures", f"--output={folder}/store", "--max_failure_ratio=0.9")
    extract(*options, *SMALL_BASE)
    write_pictures(folder / "pictures", IMAGES + 1)
    extract(*options)
    write_pictures(folder / "pictures", IMAGES + 2)
    return folder


def features(store: Path) -> dict[str, bytes]:
    """The features by the picture's name."""
    rows = FeatureStore.open(str(store)).scan().to_arrow().to_pylist()
    (column,) = (name for name in rows[0] if isinstance(rows[0][name], list))
    found = {Path(row["uri"]).name: np.asarray(row[column], np.float32).tobytes() for row in rows}
    assert len(found) == len(rows)
    return found


class Made(NamedTuple):
    """What the tests of this module share.

    Attributes:
        folder: A folder with pictures and a store.
        worker: The conv base of the store, loaded once.
        right: The features that the whole store has once the last picture is in it.
    """

    folder: Path
    worker: Worker
    right: dict[str, bytes]


@pytest.fixture(scope="module")
def made(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    worker = worker_of(FeatureStore.open(f"{whole}/store"))
    store = tmp_path_factory.mktemp("right") / "store"
    shutil.copytree(whole / "store", store)
    next_run(whole, store, worker)
    assert len(features(store)) == IMAGES + 2
    return Made(whole, worker, features(store))


def next_run(folder: Path, store: Path, worker: Worker | None) -> None:
    """Does what an extraction does, without Beam; the conv base is loaded where there is no worker that has it."""
    if worker is None:
        given = extract_command.parser().parse_args([f"--output={store}"])
        worker = worker_of(open_or_create_store(given))
    World.of(FeatureStore.open(str(store)), folder / "pictures", worker).extract()


def next_command(folder: Path, store: Path, _: Worker | None) -> None:
    extract(f"--input={folder}/pictures", f"--output={store}", "--max_failure_ratio=0.9", "--decode_processes=0")


def said(command: Callable[..., object], *arguments: object) -> str | None:
    """Does something and returns the error that it ends with; None where it succeeds."""
    try:
        command(*arguments)
    except (ConvbaseError, OSError, pa.ArrowInvalid, DeltaError) as error:
        return str(error)
    return None


def checked(store: Path, *options: str) -> None:
    assert maintain_command.main([str(store), "check", "--deep", *options]) == 0


def data_files(folder: Path) -> list[str]:
    store = folder / "store"
    return sorted(str(path.relative_to(store)) for path in store.rglob("*") if path.is_file())


def needed_files(folder: Path) -> set[str]:
    """The files of the newest versions of the tables, and of the conv base."""
    store = FeatureStore.open(f"{folder}/store")
    tables = {"features": store.features(), "failures": store.failures(), "runs": store.runs()}
    of_tables = {f"{name}/{path}" for name, table in tables.items() for path in paths_of(table)}
    return of_tables | {name for name in data_files(folder) if name.startswith("conv_bases/")}


def cases() -> Iterator[tuple[str, str]]:
    """Each damage to the files of each folder of the store."""
    for damage in DAMAGES:
        for folder in ("conv_bases", "features", "failures", "runs"):
            yield damage, folder


@pytest.mark.parametrize(("damage", "folder"), cases())
def test_a_damaged_file_is_named_or_does_no_harm(
    damage: str, folder: str, made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, worker, right = made
    needed = needed_files(whole)
    # Of each folder one file is damaged for the command itself; the rest for what it does.
    by_the_command = sorted(name for name in needed if name.startswith(f"{folder}/") and damage == "cut in half")[:1]
    for name in data_files(whole):
        if not name.startswith(f"{folder}/") or ("_delta_log" in name and damage == "one bit flipped"):
            continue  # A log has no checksums: a bit in a name is a missing file, one in a statistic is not seen.
        store = tmp_path / "store"
        shutil.copytree(whole / "store", store)
        put(store / name, DAMAGES[damage]((store / name).read_bytes()))
        loaded = None if folder == "conv_bases" else worker
        run = next_command if name in by_the_command else next_run

        found = said(checked, store)
        printed = capsys.readouterr().out
        # Of a page of one row most is its header, of which nothing has a checksum.
        if name in needed and (damage != "one bit flipped" or name.startswith(("features/", "conv_bases/"))):
            assert found is not None, name
            assert Path(name).name in printed, name
        said(inspect_command.main, [str(store)])
        if said(run, whole, store, loaded) is None:
            try:
                read = features(store)
            except (pa.ArrowInvalid, OSError) as unreadable:
                assert Path(name).name in str(unreadable)  # noqa: PT017 (either is right)
            else:
                assert all(right[picture] == feature for picture, feature in read.items()), name
        if found is not None and "_delta_log" not in name:
            assert said(checked, store, "--repair") is None, name
            assert said(run, whole, store, loaded) is None, name
            assert features(store) == right, name
            assert said(checked, store) is None, name
        shutil.rmtree(store)


def put(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
