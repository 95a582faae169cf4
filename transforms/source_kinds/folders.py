"""Folders and globs as sources, of this machine's disks and of everything else that fsspec lists."""

import dataclasses
from collections.abc import Iterator

import fsspec
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from schemas.errors import shown
from schemas.storage import input_file_system
from transforms.folders import (
    FolderLister,
    FoundFile,
    IgnoredFiles,
    Links,
    files_in,
    holds_file,
    leading_out,
    matching_files,
    split_glob,
    walk_folders,
)
from transforms.source_kinds.refs import PackedRefs, ref_batches
from transforms.source_kinds.source import ListingRules, Source, SourcePart


@dataclasses.dataclass(frozen=True)
class FolderSource(Source):
    """A folder with all in it, whose images are told by their extension.

    Attributes:
        seen: Whether an image was seen in it when it was found.
    """

    uri: str
    seen: bool = False

    def divide(self, rules: ListingRules, ignored: IgnoredFiles) -> Iterator[SourcePart]:
        """Divides it into its folders."""
        fs, path = input_file_system(self.uri)
        if isinstance(fs, LocalFileSystem):
            return _local_parts(path, None, rules, ignored)
        return _remote_parts(self.uri, rules, ignored)

    def has_image(self, rules: ListingRules) -> bool:
        """Whether there is an image in it."""
        if self.seen:
            return True
        fs, path = input_file_system(self.uri)
        if not isinstance(fs, LocalFileSystem):
            return super().has_image(rules)
        return holds_file(path, rules.selection(), Links(path, rules.follow_links))

    def without_image(self, rules: ListingRules) -> str:
        """Says by which extensions images are told."""
        fs, path = input_file_system(self.uri)
        return _links_that_lead_out(self.uri, fs, path, None, rules) or (
            f"There is no image in {shown(self.uri)}; a folder's images are the files ending in "
            f"{', '.join(rules.extensions)} (--extensions); hidden ones are left out (--include_hidden)."
        )


@dataclasses.dataclass(frozen=True)
class GlobSource(Source):
    """The files that a glob takes, whatever their extensions."""

    uri: str

    def divide(self, rules: ListingRules, ignored: IgnoredFiles) -> Iterator[SourcePart]:
        """Divides it into folders, or matches it here where only the storage can."""
        fs, path = input_file_system(self.uri)
        root, pattern = split_glob(path)
        if isinstance(fs, LocalFileSystem):
            return _local_parts(root, pattern, rules, ignored)
        found = matching_files(self.uri, rules.selection(pattern), ignored)
        return map(PackedRefs.of, ref_batches(found, rules.schema))

    def has_image(self, rules: ListingRules) -> bool:
        """Whether it takes a file."""
        fs, path = input_file_system(self.uri)
        if not isinstance(fs, LocalFileSystem):
            return super().has_image(rules)
        root, pattern = split_glob(path)
        return holds_file(root, rules.selection(pattern), Links(root, rules.follow_links))

    def without_image(self, rules: ListingRules) -> str:
        """Says that nothing matches."""
        fs, path = input_file_system(self.uri)
        found = _links_that_lead_out(self.uri, fs, *split_glob(path), rules)
        if found:
            return found
        hidden = "" if rules.include_hidden else "; hidden ones are left out (--include_hidden)"
        return f"No file matches {shown(self.uri)}{hidden}."


@dataclasses.dataclass(frozen=True)
class LocalFolders(SourcePart):
    """Some folders of this machine's disks, without those in them.

    Attributes:
        root: The folder under which they are listed.
        folders: Their paths.
        pattern: A glob of the paths under the root that are taken, instead of the extensions.
    """

    root: str
    folders: tuple[str, ...]
    pattern: str | None

    def refs(self, rules: ListingRules, ignored: IgnoredFiles) -> Iterator[pa.RecordBatch]:
        """Yields the images in them, by name."""
        selection = rules.selection(self.pattern)
        links = Links(self.root, rules.follow_links)
        found = (file for folder in self.folders for file in files_in(self.root, folder, selection, ignored, links))
        return ref_batches(found, rules.schema)


@dataclasses.dataclass(frozen=True)
class RemoteFolder(SourcePart):
    """A folder with all in it.

    Attributes:
        uri: The input of which it is a part.
        path: Where it is in the file system of the input.
    """

    uri: str
    path: str

    def refs(self, rules: ListingRules, ignored: IgnoredFiles) -> Iterator[pa.RecordBatch]:
        """Yields the images in it and in the folders in it."""
        return ref_batches(FolderLister(self.uri, rules.selection(), ignored).below(self.path), rules.schema)


def _links_that_lead_out(
    uri: str, fs: fsspec.AbstractFileSystem, root: str, pattern: str | None, rules: ListingRules
) -> str | None:
    """Returns the sentence that says that all images are behind links that are not followed; None if it is not so."""
    if not isinstance(fs, LocalFileSystem):
        return None
    count = leading_out(root, rules.selection(pattern), Links(root, rules.follow_links))
    if not count:
        return None
    return (
        f"There is no image in {shown(uri)} but behind links: {count:,} of them lead out of it and what lies beside "
        "it, and are not followed; --follow_links=anywhere follows them."
    )


def _local_parts(root: str, pattern: str | None, rules: ListingRules, ignored: IgnoredFiles) -> Iterator[SourcePart]:
    """Yields the folders below a root, a few together."""
    together: list[str] = []
    count = 0
    links = Links(root, rules.follow_links)
    for folder, entries in walk_folders(root, rules.selection(pattern), ignored, links):
        together.append(folder)
        count += len(entries)
        if count >= rules.entries_listed_together:
            yield LocalFolders(root, tuple(together), pattern)
            together, count = [], 0
    if together:
        yield LocalFolders(root, tuple(together), pattern)


def _remote_parts(uri: str, rules: ListingRules, ignored: IgnoredFiles) -> Iterator[SourcePart]:
    """Goes down level by level until there are enough folders; the files above them are refs already."""
    lister = FolderLister(uri, rules.selection(), ignored)
    folders, flat = [lister.root], list[str]()

    def above() -> Iterator[FoundFile]:
        while folders and len(folders) + len(flat) < rules.folders_listed_together:
            level = folders.copy()
            folders.clear()
            for folder in level:
                if lister.is_flat(folder):
                    flat.append(folder)
                else:
                    yield from lister.files(folder, folders)

    yield from map(PackedRefs.of, ref_batches(above(), rules.schema))
    yield from (RemoteFolder(uri, folder) for folder in (*flat, *folders))
