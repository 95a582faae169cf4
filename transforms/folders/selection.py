"""Which of the names below a folder are images: by extension or by a glob, hidden and excluded ones left out."""

import dataclasses
import fnmatch
import functools
import re
from collections.abc import Callable
from typing import Final

from fsspec.utils import glob_translate

# What file managers, cameras' cards and storage boxes leave beside pictures, in lower case.
_LEFT_BY_SYSTEMS: Final = frozenset({"@eadir", "__macosx", "thumbs.db", "desktop.ini", "$recycle.bin"})

Matcher = Callable[[str, str], bool]


@dataclasses.dataclass
class IgnoredFiles:
    """How many files and folders are ignored, counted while an input is listed; a folder counts once.

    They are those without an image's extension, hidden ones, excluded ones, links to folders that are listed already,
    and what is no file: pipes, sockets and devices.
    """

    files: int = 0


@dataclasses.dataclass(frozen=True)
class Selection:
    """Says of names below a folder what is listed. Paths are those under the folder, with `/` between names.

    Attributes:
        extensions: The extensions, in lower case and without a dot, of the files that are taken.
        include_hidden: Whether hidden files and folders are taken, and those of file managers.
        exclude: Globs of files and folders that are left out: of their names, or with a `/` of their paths.
        pattern: A glob of the paths that are taken, instead of the extensions.
    """

    extensions: tuple[str, ...]
    include_hidden: bool = False
    exclude: tuple[str, ...] = ()
    pattern: str | None = None

    def takes_file(self, path: str, name: str) -> bool:
        """Whether a file is listed."""
        return self._is_wanted(path, name) and not self._is_left_out(path, name)

    def counts(self, path: str, name: str) -> bool:
        """Whether a file that is not listed is counted; a glob has nothing to do with those that it does not match."""
        return self.pattern is None or self._is_wanted(path, name)

    def enters(self, path: str, name: str) -> bool:
        """Whether a folder is gone into."""
        return not self._is_left_out(path, name)

    def ignored_at(self, path: str) -> str | None:
        """Returns the first folder above a file that is not gone into, or the file if it is not taken; else None."""
        folder, _, name = path.rpartition("/")
        above = self._ignored_above(folder)
        return above or (None if self.takes_file(path, name) else path)

    @functools.cached_property
    def _ignored_above(self) -> Callable[[str], str | None]:
        """Returns the first of a folder and those above it that is not gone into; files of a folder come together."""

        @functools.lru_cache(maxsize=2**10)
        def ignored_above(folder: str) -> str | None:
            names = folder.split("/") if folder else []
            above = ("/".join(names[:number]) for number in range(1, len(names) + 1))
            return next((path for path, name in zip(above, names, strict=True) if not self.enters(path, name)), None)

        return ignored_above

    def reaches(self, path: str) -> bool:
        """Whether there can be something below a folder that the glob takes; where not, it is not even counted."""
        if self.pattern is None:
            return True
        levels, names = self.pattern.split("/"), path.split("/")
        for level, name in zip(levels, names, strict=False):
            if level == "**":
                return True
            if not fnmatch.fnmatchcase(name, level):
                return False
        return len(names) < len(levels)

    @functools.cached_property
    def _is_wanted(self) -> Matcher:
        if self.pattern is None:
            extensions = frozenset(self.extensions)
            return lambda _, name: name.rpartition(".")[2].lower() in extensions
        match = re.compile(glob_translate(self.pattern)).match
        return lambda path, _: match(path) is not None

    @functools.cached_property
    def _is_left_out(self) -> Matcher:
        names_hidden = any(level.startswith(".") for level in (self.pattern or "").split("/"))
        with_hidden = self.include_hidden or names_hidden
        excluded = _matcher(self.exclude) if self.exclude else None

        def is_left_out(path: str, name: str) -> bool:
            if not with_hidden and (name.startswith(".") or name.lower() in _LEFT_BY_SYSTEMS):
                return True
            return excluded is not None and excluded(path, name)

        return is_left_out


def _matcher(globs: tuple[str, ...]) -> Matcher:
    """Returns whether one of some globs matches a path, or where the glob has no `/`, its last name."""
    tidy = [glob.rstrip("/").removeprefix("./") for glob in globs]
    names = [re.compile(fnmatch.translate(glob)) for glob in tidy if "/" not in glob]
    paths = [re.compile(fnmatch.translate(glob.lstrip("/"))) for glob in tidy if "/" in glob]

    def matches(path: str, name: str) -> bool:
        return any(glob.match(name) for glob in names) or any(glob.match(path) for glob in paths)

    return matches
