"""Folders of this machine's disks: every real folder once, whatever links lead to it."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from schemas.errors import InvalidInput, shown
from schemas.images import image_version
from transforms.folders.found_file import FoundFile, local_file
from transforms.folders.links import LEADS_OUT, Links
from transforms.folders.selection import IgnoredFiles, Selection

Entry = os.DirEntry[str]


def walk_folders(
    root: str, selection: Selection, ignored: IgnoredFiles, links: Links
) -> Iterator[tuple[str, Sequence[Entry]]]:
    """Yields the folders in a folder, itself among them, with the entries of each.

    Links are followed once everything has been seen that is there without them, so that a folder is known by its own
    path if it has one under the root, else by the first of the links to it. A loop of links ends where it began.

    Args:
        root: The folder's path.
        selection: Which folders are gone into.
        ignored: Where the folders are counted that are ignored.
        links: Which links are followed.

    Raises:
        InvalidInput: If a folder may not be read.
        OSError: If one cannot be listed.
    """
    walk = _Walk(root, selection, ignored, links)
    waiting = [root]
    while waiting:
        for start in waiting:
            yield from walk.below(start)
        waiting = walk.links()


class _Walk:
    """A way through the folders below a root."""

    def __init__(self, root: str, selection: Selection, ignored: IgnoredFiles, links: Links) -> None:
        self._root = root
        self._followed = links
        self._selection = selection
        self._ignored = ignored
        self._seen: set[tuple[int, int]] = set()
        self._links: list[str] = []

    def links(self) -> list[str]:
        """Returns the links to folders that were met since it was last asked, by name."""
        links, self._links = sorted(self._links), []
        return links

    def below(self, start: str) -> Iterator[tuple[str, Sequence[Entry]]]:
        """Yields a folder and those in it that are no links, each with its entries."""
        pending = [start]
        while pending:
            folder = pending.pop()
            if not self._is_new(folder):
                self._ignored.files += 1
                continue
            entries = _scan(folder, self._root)
            yield folder, entries
            pending += sorted((entry.path for entry in entries if self._goes_into(entry)), reverse=True)

    def _is_new(self, folder: str) -> bool:
        status = Path(folder).stat()
        identity = status.st_dev, status.st_ino
        if identity in self._seen:
            return False
        self._seen.add(identity)
        return True

    def _goes_into(self, entry: Entry) -> bool:
        """Whether an entry is a folder that is gone into now; links to folders are put aside."""
        if not _is_folder(entry):
            return False
        path = _under(self._root, entry.path)
        if not self._selection.reaches(path):
            return False
        if not self._selection.enters(path, entry.name):
            self._ignored.files += 1
            return False
        if entry.is_symlink():
            if not self._followed.lead_out(entry):  # What leads out is a row, among the files of its folder.
                self._links.append(entry.path)
            return False
        return True


def files_in(root: str, folder: str, selection: Selection, ignored: IgnoredFiles, links: Links) -> Iterator[FoundFile]:
    """Yields the images in a folder, not in those in it, by name; a link has the version of its target.

    A link that is not followed is among them, with its reason, whether it leads to an image or to a folder.

    Args:
        root: The folder under which it is listed.
        folder: The folder's path.
        selection: Which files are taken.
        ignored: Where the others are counted.
        links: Which links are followed.

    Raises:
        InvalidInput: If it may not be read.
        OSError: If it cannot be listed.
    """
    for entry in sorted(_scan(folder, root), key=lambda entry: entry.name):
        path = _under(root, entry.path)
        if links.lead_out(entry) and _would_be_followed(entry, path, selection):
            yield local_file(entry.path, "", None)._replace(problem=LEADS_OUT)
            continue
        if _is_folder(entry):
            continue
        taken = selection.takes_file(path, entry.name)
        if taken and (entry.is_file(follow_symlinks=False) or _is_linked_file(entry)):
            yield _found(entry)
        elif selection.counts(path, entry.name):
            ignored.files += 1


def _would_be_followed(entry: Entry, path: str, selection: Selection) -> bool:
    if _is_folder(entry):
        return selection.reaches(path) and selection.enters(path, entry.name)
    return selection.takes_file(path, entry.name) and _is_linked_file(entry)


def holds_file(root: str, selection: Selection, links: Links) -> bool:
    """Whether there is an image below a folder. Names are enough: to ask for sizes would be most of a listing."""
    return any(
        selection.takes_file(_under(root, entry.path), entry.name)
        and not _is_folder(entry)
        and not links.lead_out(entry)
        for _, entries in walk_folders(root, selection, IgnoredFiles(), links)
        for entry in entries
    )


def leading_out(root: str, selection: Selection, links: Links) -> int:
    """Returns how many links below a folder are not followed, of those that would lead to images or folders."""
    return sum(
        links.lead_out(entry) and _would_be_followed(entry, _under(root, entry.path), selection)
        for _, entries in walk_folders(root, selection, IgnoredFiles(), links)
        for entry in entries
    )


def _scan(folder: str, root: str) -> Sequence[Entry]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except PermissionError as error:
        raise InvalidInput(unreadable_folder(folder, _under(root, folder))) from error


def unreadable_folder(folder: str, path: str) -> str:
    """Returns the sentence that says that a folder may not be read.

    Args:
        folder: The folder.
        path: Its path under the input; empty for the input itself.
    """
    remedy = f"--exclude={shown(path)} leaves it out" if path else "it needs permission to be read"
    return f"The folder {shown(folder)} may not be read; {remedy}."


def _under(root: str, path: str) -> str:
    return path[len(root) :].lstrip("/")


def _is_folder(entry: Entry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # A link to itself, or to where nobody may look.
        return False


def _is_linked_file(entry: Entry) -> bool:
    """Whether it is a link to a file, or to nothing: an image that is missing, not one that is none."""
    if not entry.is_symlink():
        return False
    try:
        return Path(entry.path).is_file() or not Path(entry.path).exists()
    except OSError:
        return True


def _found(entry: Entry) -> FoundFile:
    try:
        status = entry.stat()
    except OSError:  # It has gone meanwhile, or is a link that leads nowhere.
        return local_file(entry.path, "", None)
    version = image_version({"size": status.st_size, "mtime": status.st_mtime})
    return local_file(entry.path, version, status.st_size)
