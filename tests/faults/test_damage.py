"""Files of a store that are emptied, cut off, zeroed, altered or gone: commands are right, or name what is wrong."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake.exceptions import DeltaError

from pipelines import extract as extract_command
from pipelines import inspect as inspect_command
from pipelines import maintain as maintain_command
from schemas.delta import paths_of
from schemas.errors import ConvbaseError
from schemas.store import FeatureStore
from tests.conftest import SMALL_BASE, extract, write_pictures

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


@pytest.fixture(scope="module")
def right(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The features that the whole store has once the last picture is in it."""
    store = tmp_path_factory.mktemp("right") / "store"
    shutil.copytree(whole / "store", store)
    extract(f"--input={whole}/pictures", f"--output={store}", "--max_failure_ratio=0.9")
    return features(store)


def said(command: Callable[[list[str]], int], *arguments: str) -> str | None:
    """Runs a command and returns the error that it ends with, as its first line; None where it succeeds."""
    try:
        assert command([*arguments]) == 0
    except (ConvbaseError, OSError, pa.ArrowInvalid, DeltaError) as error:
        return str(error)
    return None


def data_files(folder: Path) -> list[str]:
    store = folder / "store"
    return sorted(str(path.relative_to(store)) for path in store.rglob("*") if path.is_file())


def needed_files(folder: Path) -> set[str]:
    """The files of the newest versions of the tables, and of the conv base."""
    store = FeatureStore.open(f"{folder}/store")
    tables = {"features": store.features(), "failures": store.failures(), "runs": store.runs()}
    of_tables = {f"{name}/{path}" for name, table in tables.items() for path in paths_of(table)}
    return of_tables | {name for name in data_files(folder) if name.startswith("conv_bases/")}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named_or_does_no_harm(
    damage: str, whole: Path, right: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    needed = needed_files(whole)
    for number, name in enumerate(data_files(whole)):
        if "_delta_log" in name and damage == "one bit flipped":
            continue  # A log has no checksums: a bit in a name is a missing file, one in a statistic is not seen.
        store = tmp_path / str(number) / "store"
        shutil.copytree(whole / "store", store)
        content = DAMAGES[damage]((store / name).read_bytes())
        if content is None:
            (store / name).unlink()
        else:
            (store / name).write_bytes(content)

        checked = said(maintain_command.main, str(store), "check", "--deep")
        printed = capsys.readouterr().out
        # Of a page of one row most is its header; and `runs` is written by Delta's own writer, without checksums.
        if name in needed and (damage != "one bit flipped" or name.startswith(("features/", "conv_bases/"))):
            assert checked is not None, name
            assert Path(name).name in printed, name
        said(inspect_command.main, str(store))
        options = (f"--input={whole}/pictures", f"--output={store}", "--max_failure_ratio=0.9")
        error = said(extract_command.main, *options)
        if error is None:
            try:
                found = features(store)
            except (pa.ArrowInvalid, OSError) as unreadable:
                assert Path(name).name in str(unreadable)  # noqa: PT017 (either is right)
            else:
                assert all(right[picture] == feature for picture, feature in found.items()), name
        if checked is not None and "_delta_log" not in name:
            assert said(maintain_command.main, str(store), "check", "--deep", "--repair") is None, name
            assert said(extract_command.main, *options) is None, name
            assert features(store) == right, name
            assert said(maintain_command.main, str(store), "check", "--deep") is None, name
