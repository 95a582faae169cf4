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
from transforms.sources import IgnoredFiles, ListingRules, find_sources, listing
from transforms.sources.listing import SourcePart, divide, list_part
from transforms.sources.manifests import Section

RULES = ListingRules()


def parts(uri: object, **rules: int) -> tuple[list[SourcePart], list[str], IgnoredFiles]:
    """The parts of a source, the URIs of images that were met on the way to them, and the ignored files."""
    (source,) = find_sources([str(uri)])
    ignored = IgnoredFiles()
    found = list(divide(source, ListingRules(**rules), ignored))
    met = [unpack(part.where) for part in found if isinstance(part.where, bytes)]
    return [part for part in found if not isinstance(part.where, bytes)], uris(met), ignored


def uris(batches: list[pa.RecordBatch]) -> list[str]:
    return [uri for batch in batches for uri in batch.column("uri").to_pylist()]


@pytest.mark.parametrize("folders", [1, 2, 3, 64])
def test_a_folder_is_divided_into_the_folders_in_it(folders: int, tmp_path: Path) -> None:
    names = [f"{first}/{second}/{name}" for first in "ab" for second in "cd" for name in ("e.jpg", "f.txt")]
    for name in (*names, "g.jpg", "h.txt", "a/i.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found, met, ignored = parts(tmp_path, folders_listed_together=folders)
    assert len(found) == {1: 1, 2: 2, 3: 4, 64: 0}[folders]
    listed = [batch for part in found for batch in list_part(part, RULES, ignored)]
    images = [name for name in (*names, "g.jpg", "a/i.jpg") if name.endswith(".jpg")]
    assert sorted(met + uris(listed)) == sorted(f"file://{tmp_path}/{name}" for name in images)
    assert ignored.files == 5


def test_a_parquet_manifest_is_divided_by_row_groups(tmp_path: Path) -> None:
    names = [f"s3://b/{number}.jpg" for number in range(100)]
    pq.write_table(pa.table({"uri": names}), tmp_path / "m.parquet", row_group_size=7)
    found, _, _ = parts(tmp_path / "m.parquet", rows_per_section=20)
    assert [(part.where.start, part.where.end) for part in found if isinstance(part.where, Section)] == [
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
    with pytest.raises(InvalidInput, match=r"list\.txt cannot be read: .*UTF8"):
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
