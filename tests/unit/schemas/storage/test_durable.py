"""What a command leaves on a local disk survives a power cut, in an order in which a file vouches for earlier ones."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.storage import make_folder, sync_file, write_file
from tests.conftest import SMALL_BASE, extract, write_pictures


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str]]]:
    """What is synced and renamed, in order, by resolved paths."""
    seen: list[tuple[str, str]] = []
    fsync, replace = os.fsync, os.replace

    def recorded_fsync(descriptor: int) -> None:
        seen.append(("synced", str(Path(f"/proc/self/fd/{descriptor}").readlink())))
        fsync(descriptor)

    def recorded_replace(self: Path, target: Path) -> Path:
        seen.append(("renamed", str(target)))
        replace(self, target)
        return target

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(Path, "replace", recorded_replace)
    return seen


def test_a_file_is_synced_before_it_has_its_name_and_its_folder_after(
    events: list[tuple[str, str]], tmp_path: Path
) -> None:
    write_file(f"{tmp_path}/new/folder/a.json", b"{}")
    kinds = [(kind, path.removeprefix(str(tmp_path))) for kind, path in events]
    assert kinds[:2] == [("synced", ""), ("synced", "/new")], "The folders' names are synced in those above them."
    (_, unfinished), renamed, folder = kinds[2:]
    assert unfinished.endswith(".unfinished")
    assert (renamed, folder) == (("renamed", "/new/folder/a.json"), ("synced", "/new/folder"))
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["a.json"]


def test_a_file_that_cannot_be_written_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    write_file(f"{tmp_path}/a", b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_file(f"{tmp_path}/a", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]


def test_what_is_gone_needs_no_sync(tmp_path: Path) -> None:
    sync_file(f"{tmp_path}/gone")


def test_folders_that_two_make_at_once_are_made(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_in_an_extraction_a_later_file_vouches_for_an_earlier_one(
    events: list[tuple[str, str]], tmp_path: Path
) -> None:
    write_pictures(tmp_path / "pictures", 6)
    store = tmp_path / "store"
    extract(f"--input={tmp_path}/pictures", f"--output={store}", "--shard_size=3", *SMALL_BASE)
    first: dict[tuple[str, str], int] = {}
    for number, event in enumerate(events):
        first.setdefault(event, number)
    order = {path: number for (_, path), number in first.items()}

    fragments = [str(path) for path in (store / "features").rglob("*.parquet")]
    assert len(fragments) == 2
    for fragment in fragments:
        receipt = f"{Path(fragment).stem}.json"
        vouching = next(path for kind, path in first if kind == "renamed" and path.endswith(receipt))
        entry = f"{store}/features/_delta_log/{1:020}.json"
        assert order[fragment] < order[vouching] < order[entry], "Fragment, receipt, commit."
        assert ("synced", str(Path(fragment).parent)) in first
    for table in ("features", "runs"):
        for path in (*(store / table).rglob("*.parquet"), store / table / "_delta_log" / f"{1:020}.json"):
            assert ("synced", str(path)) in first, path
    (marker,) = store.rglob("published.json")
    files = [str(path) for path in marker.parent.glob("base-*")]
    assert len(files) == 3
    entry = f"{store}/features/_delta_log/{0:020}.json"
    assert max(order[path] for path in files) < order[str(marker)] < order[entry]
