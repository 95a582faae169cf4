"""Folders with a table of their images in them, as Hugging Face's `imagefolder` has them.

    photos/metadata.csv             file_name,label         of the folder and all below it
    photos/train/metadata.jsonl     {"file_name": …}        of the folder of a split

The table is a manifest whose URIs are relative to its folder. What it says of an image goes before what the names of
folders say, but for the split, which these say where it has no such column. Images that it does not name are listed all
the same, and rows whose image is missing are those of a manifest.
"""

import concurrent.futures
import dataclasses
import functools
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
from fsspec.implementations.local import LocalFileSystem

from schemas.classifiers import SPELLINGS
from schemas.errors import InvalidInput, shown
from schemas.images import image_version
from schemas.storage import input_file_system, is_on_the_web, join, uri_builder
from transforms.folders import IgnoredFiles, Selection
from transforms.manifests import (
    URI,
    Manifest,
    ManifestOptions,
    UriRules,
    file_name,
    folder_of,
    look_at_manifest,
    named_format,
    with_chosen_columns,
)
from transforms.source_kinds.annotations import split_annotations
from transforms.source_kinds.folders import FolderSource
from transforms.source_kinds.manifest_source import ManifestSource
from transforms.source_kinds.source import ListingRules, Source, SourcePart

_TABLES: Final = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_FILE_NAME: Final = "file_name"
_THREADS: Final = 32


def with_tables(folder: FolderSource, options: ManifestOptions, rules: ListingRules) -> Source:
    """Returns a folder with the tables of its images, if there are any.

    They are looked for in the folder, and in those in it that are named for a split.

    Args:
        folder: The folder.
        options: How tables are read.
        rules: Which files and folders are left out.

    Raises:
        InvalidInput: If a table cannot be read, or a folder has several.
    """
    tables = tuple(_find_tables(folder.uri, options, rules.selection()))
    return ImageFolder(folder.uri, folder, tables) if tables else folder


def _find_tables(uri: str, options: ManifestOptions, selection: Selection) -> Iterator[ManifestSource]:
    """Yields the table of each folder: its file by one of these names that has a column `file_name`."""
    fs, path = input_file_system(uri)
    to_uri = uri_builder(uri, fs)
    root = path.rstrip("/")
    named = [name for name in _split_names(fs, uri, root) if selection.enters(name, name)]
    folders = [root, *(join(root, name) for name in named)]
    are_files = _linked_files(fs, folders) if is_on_the_web(uri) else _files(fs, folders)
    own = dataclasses.replace(options, uri_column=_FILE_NAME, uri_prefix="", uri_suffix="")
    for folder in folders:
        paths = [f"{folder}/{name}" for name in _TABLES]
        there = [to_uri(path) for path in paths if path in are_files and not _is_excluded(path, root, selection)]
        tables = [table for table in (_open_table(name, own) for name in there) if table is not None]
        if len(tables) > 1:
            names = " and ".join(file_name(table.uri) for table in tables)
            raise InvalidInput(
                f"The folder {shown(to_uri(folder))} has several tables of its images, {names}; leave one of them."
            )
        yield from tables


def _is_excluded(path: str, root: str, selection: Selection) -> bool:
    return not selection.enters(path.removeprefix(f"{root}/"), path.rpartition("/")[2])


def _split_names(fs: fsspec.AbstractFileSystem, uri: str, root: str) -> Sequence[str]:
    """Returns the names of folders in a folder that are splits' names; a bucket's folders are not listed for that."""
    if isinstance(fs, LocalFileSystem):
        names = [each.name for each in Path(root or "/").iterdir()]
    elif is_on_the_web(uri):
        linked = [str(info["name"]) for info in fs.ls(root, detail=True) if info["type"] == "directory"]
        names = [name.rstrip("/").rpartition("/")[2] for name in linked]
    else:
        names = [form for split in SPELLINGS for form in (split, split.title(), split.upper())]
    return [name for name in sorted(names) if name.lower() in SPELLINGS]


def _files(fs: fsspec.AbstractFileSystem, folders: Sequence[str]) -> Collection[str]:
    """Returns which files of these names are in folders, however many others are there."""
    paths = [f"{folder}/{name}" for folder in folders for name in _TABLES]
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:  # A bucket answers each question in some 50 ms.
        return {path for path, is_file in zip(paths, pool.map(fs.isfile, paths), strict=True) if is_file}


def _linked_files(fs: fsspec.AbstractFileSystem, folders: Sequence[str]) -> Collection[str]:
    """Returns what the pages of folders link to."""
    return {str(info["name"]) for folder in folders for info in fs.ls(folder, detail=True)}


def _open_table(uri: str, options: ManifestOptions) -> ManifestSource | None:
    form = named_format(uri)
    assert form is not None  # noqa: S101 (they are named so)
    manifest = look_at_manifest(uri, form, options)
    if _FILE_NAME not in manifest.names:
        return None  # Any other table, which happens to have that name.
    return ManifestSource(uri, with_chosen_columns(manifest, options), UriRules(uri, folder_of(uri)))


@dataclasses.dataclass(frozen=True)
class ImageFolder(Source):
    """A folder, and tables of its images.

    Attributes:
        uri: The folder's.
        folder: The folder.
        tables: The tables.
    """

    uri: str
    folder: FolderSource
    tables: tuple[ManifestSource, ...]

    @property
    def manifests(self) -> tuple[Manifest, ...]:
        """Its tables."""
        return tuple(table.manifest for table in self.tables)

    @property
    def annotations(self) -> tuple[str, ...]:
        """The split, and what its tables have."""
        names = [name for table in self.tables for name in table.annotations]
        return tuple(dict.fromkeys(["split", *names]))

    def divide(self, rules: ListingRules, ignored: IgnoredFiles) -> Iterator[SourcePart]:
        """Divides its tables, and the folder without the images that these name."""
        ignored.files -= len(self.tables)  # The folder counts them, and they are read.
        for table in self.tables:
            yield from (ImageFolderPart(part) for part in table.divide(rules, ignored))
        yield from (ImageFolderPart(part, self.tables) for part in self.folder.divide(rules, ignored))

    def has_image(self, rules: ListingRules) -> bool:
        """Whether there is an image in it, or a table names one."""
        return self.folder.has_image(rules) or any(table.has_image(rules) for table in self.tables)

    def without_image(self, rules: ListingRules) -> str:
        """Says by which extensions images are told."""
        return self.folder.without_image(rules)


@dataclasses.dataclass(frozen=True)
class ImageFolderPart(SourcePart):
    """A part of a folder with tables, or of one of these.

    Attributes:
        part: The part.
        without: Tables whose images are left out.
    """

    part: SourcePart
    without: tuple[ManifestSource, ...] = ()

    def refs(self, rules: ListingRules, ignored: IgnoredFiles) -> Iterator[pa.RecordBatch]:
        """Yields its images, with splits by the names of folders where a table has none."""
        named = [_named_uris(table, _version_of(table.uri)) for table in self.without]
        for batch in self.part.refs(rules, ignored):
            left = batch
            for uris in named:
                left = left.filter(pc.invert(pc.is_in(_named(left.column(URI)), value_set=uris)))
            yield split_annotations(left)


def _named(uris: pa.Array) -> pa.Array:
    """Returns the URIs of images as tables name them: those to which pages link are quoted."""
    if not (len(uris) and is_on_the_web(uris[0].as_py())):
        return uris
    return pa.array(map(unquote, uris.to_pylist()), pa.string())


def _version_of(uri: str) -> str:
    fs, path = input_file_system(uri)
    return image_version(fs.info(path))


# A folder has many parts, each of which asks for the same.
@functools.lru_cache(maxsize=len(SPELLINGS) + 1)
def _named_uris(table: ManifestSource, _version: str) -> pa.Array:
    """Reads the URIs that a table names, string [n]; held as long as it does not change."""
    manifest = dataclasses.replace(
        table.manifest, columns=tuple(column for column in table.manifest.columns if column.name == URI)
    )
    rows = (rows.column(URI) for section in manifest.sections() for rows in manifest.rows(section))
    resolved = [_named(table.uri_rules.canonical(uris, 0).uris) for uris in rows]
    return pa.chunked_array(resolved, pa.string()).combine_chunks()
