"""Sources are divided, and their parts together are the whole: every image once, whatever the division."""

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from schemas.errors import InvalidInput
from transforms.shuffle import unpack
from transforms.source_kinds.folders import LocalFolders
from transforms.source_kinds.manifest_source import ManifestPart
from transforms.source_kinds.refs import PackedRefs
from transforms.source_kinds.source import SourcePart
from transforms.sources import IgnoredFiles, ListingRules, find_sources, listing
from transforms.sources.listing import list_part

RULES = ListingRules()


def parts(uri: object, **rules: int) -> tuple[list[SourcePart], list[str], IgnoredFiles]:
    """The parts of a source, the URIs of images that were met on the way to them, and the ignored files."""
    (source,) = find_sources([str(uri)])
    ignored = IgnoredFiles()
    found = list(source.divide(ListingRules(**rules), ignored))
    met = [unpack(part.packed) for part in found if isinstance(part, PackedRefs)]
    return [part for part in found if not isinstance(part, PackedRefs)], uris(met), ignored


def uris(batches: list[pa.RecordBatch]) -> list[str]:
    return [uri for batch in batches for uri in batch.column("uri").to_pylist()]


TREE = [f"{first}/{second}/{name}" for first in "ab" for second in "cd" for name in ("e.jpg", "f.txt")]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (*TREE, "g.jpg", "h.txt", "a/i.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(("entries", "expected"), [(1, 7), (4, 4), (1000, 1)])
def test_a_local_folder_is_divided_into_folders_of_many_entries(entries: int, expected: int, tree: Path) -> None:
    found, met, ignored = parts(tree, entries_listed_together=entries)
    assert len(found) == expected
    folders = [folder for part in found if isinstance(part, LocalFolders) for folder in part.folders]
    assert len(folders) == len(set(folders)) == 7
    listed = [batch for part in found for batch in list_part(part, RULES, ignored)]
    assert met == []
    assert sorted(uris(listed)) == sorted(
        f"file://{tree}/{name}" for name in (*TREE, "g.jpg", "a/i.jpg") if name.endswith(".jpg")
    )
    assert ignored.files == 5


@pytest.mark.parametrize(("folders", "expected"), [(1, 1), (2, 2), (3, 4), (64, 0)])
def test_a_folder_of_a_bucket_is_divided_level_by_level(folders: int, expected: int) -> None:
    fs = fsspec.filesystem("memory")
    for name in (*TREE, "g.jpg", "h.txt", "a/i.jpg"):
        fs.pipe_file(f"/tree/{name}", b"x")
    found, met, ignored = parts("memory://tree", folders_listed_together=folders)
    assert len(found) == expected
    listed = [batch for part in found for batch in list_part(part, RULES, ignored)]
    images = [name for name in (*TREE, "g.jpg", "a/i.jpg") if name.endswith(".jpg")]
    assert sorted(met + uris(listed)) == sorted(f"memory:///tree/{name}" for name in images)
    assert ignored.files == 5
    fs.rm("/tree", recursive=True)


def test_a_parquet_manifest_is_divided_by_row_groups(tmp_path: Path) -> None:
    names = [f"s3://b/{number}.jpg" for number in range(100)]
    pq.write_table(pa.table({"uri": names}), tmp_path / "m.parquet", row_group_size=7)
    found, _, _ = parts(tmp_path / "m.parquet", rows_per_section=20)
    assert [(part.section.start, part.section.end) for part in found if isinstance(part, ManifestPart)] == [
        (0, 3), (3, 6), (6, 9), (9, 12), (12, 15),
    ]  # fmt: skip
    assert uris([batch for part in found for batch in list_part(part, RULES, IgnoredFiles())]) == names


TEXT = "\ufeffs3://b/1.jpg\r\n\n  \ns3://b/caf\u00e9 2.jpg\ns3://b/\u4e09.jpg\r\ns3://b/4.jpg"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 1000])
@pytest.mark.parametrize("end", ["", "\n"])
def test_a_line_belongs_to_the_section_in_which_it_begins(size: int, end: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(TEXT + end, newline="")
    found, _, _ = parts(tmp_path / "list.txt", bytes_per_section=size)
    assert len(found) == -(-len((TEXT + end).encode()) // size)
    lines = uris([batch for part in found for batch in list_part(part, RULES, IgnoredFiles())])
    assert lines == ["s3://b/1.jpg", "s3://b/caf\u00e9 2.jpg", "s3://b/\u4e09.jpg", "s3://b/4.jpg"]


def test_text_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"s3://b/1.jpg\n\xff\xfe\n")
    (part,), _, _ = parts(tmp_path / "list.txt")
    with pytest.raises(InvalidInput, match=r"Line 2 of the manifest .*list\.txt is not UTF-8; --encoding"):
        list(list_part(part, RULES, IgnoredFiles()))


def test_a_csv_manifest_is_read_before_its_images_are_looked_for(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text('uri\n"s3://b/a\nb.jpg"\n')
    found, met, _ = parts(tmp_path / "m.csv")
    assert (found, met) == ([], ["s3://b/a\nb.jpg"])


@pytest.fixture
def bucket() -> Iterator[str]:
    fs = fsspec.filesystem("memory")
    for name in ("a/1.jpg", "a/2.jpg", "b/3.jpg", "4.jpg"):
        fs.pipe_file(f"/planning/{name}", b"x")
    yield "memory://planning"
    fs.rm("/planning", recursive=True)


def test_a_listing_asks_for_folders_and_never_for_an_image(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (source,) = find_sources([bucket])
    asked: list[str] = []
    for name in ("info", "exists", "size", "isfile", "modified", "open"):
        monkeypatch.setattr(MemoryFileSystem, name, lambda _, path, *__, **___: asked.append(path))
    batches = list(listing.list_source(source, RULES, IgnoredFiles()))
    assert len(uris(batches)) == 4
    assert all(batch.column("version").null_count == 0 for batch in batches)
    assert asked == []
