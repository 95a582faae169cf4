"""A disk whose power is cut: which files there may be afterwards, by what was synced before.

A command runs on a real folder and is watched: before each sync and each rename the folder is looked at as programs see
it. Of what was written since its last sync the disk may have everything, nothing, or zeros; a name is sure once its
folder was synced. This is how ALICE (Pillai et al., OSDI 2014) and CrashMonkey (Mohan et al., OSDI 2018) look for
orders that nobody meant.
"""

import dataclasses
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

Files = Mapping[str, bytes]


@dataclasses.dataclass(frozen=True)
class Moment:
    """A folder at a moment at which the power may be cut.

    Attributes:
        seen: What programs see: the inode and the bytes of each file, by its path under the folder.
        synced: The bytes of inodes as they were last synced.
        named: The inodes of files and folders whose names are synced, by path.
    """

    seen: Mapping[str, tuple[int, bytes]]
    synced: Mapping[int, bytes]
    named: Mapping[str, int]

    def states(self) -> Iterator[Files]:
        """Yields what the disk may hold: as late as possible, as early as possible, and each file the other way."""
        legal = {path: self._legal(path) for path in (*self.seen, *self._gone())}
        latest = {path: outcomes[0] for path, outcomes in legal.items()}
        earliest = {path: outcomes[-1] for path, outcomes in legal.items()}
        yield _files(latest)
        yield _files(earliest)
        for path, outcomes in legal.items():
            for outcome in outcomes[1:]:
                yield _files({**latest, path: outcome})
                yield _files({**earliest, path: outcomes[0]})

    def earliest(self) -> Files:
        """Returns what is sure to be there."""
        return _files({path: self._legal(path)[-1] for path in (*self.seen, *self._gone())})

    def _gone(self) -> list[str]:
        return [path for path, inode in self.named.items() if path not in self.seen and inode in self.synced]

    def _legal(self, path: str) -> list[bytes | None]:
        """Returns what may become of a path, what programs see first; None is no file."""
        legal: list[bytes | None] = []
        inode, content = self.seen.get(path, (None, None))
        legal.append(content)
        if content is not None and inode is not None and self.synced.get(inode) != content:
            legal += [bytes(len(content)), self.synced.get(inode, b"")]
        if self.named.get(path) != inode or not self._folders_are_named(path):
            old = self.named.get(path)
            legal.append(None if old is None else self.synced.get(old, b""))
        return legal

    def _folders_are_named(self, path: str) -> bool:
        folders = [str(folder) for folder in Path(path).parents if str(folder) != "."]
        return all(folder in self.named for folder in folders)


def _files(outcomes: Mapping[str, bytes | None]) -> Files:
    return {path: content for path, content in outcomes.items() if content is not None}


class Watch:
    """Looks at a folder before each sync and rename of this process, and remembers what was synced."""

    def __init__(self, root: Path) -> None:
        self.moments: list[Moment] = []
        self._root = root.resolve()
        # What is there when the watch begins has been there for long.
        self._named = {str(path.relative_to(self._root)): path.stat().st_ino for path in self._root.rglob("*")}
        self._synced = dict(self._look().values())

    def look(self) -> None:
        """Remembers this moment."""
        self.moments.append(Moment(self._look(), dict(self._synced), dict(self._named)))

    def sync(self, path: Path) -> None:
        """Remembers that a file, or the names in a folder, were synced."""
        if not path.is_relative_to(self._root.parent):
            return
        if path.is_dir():
            names = {str(child.relative_to(self._root)): child.stat().st_ino for child in _children(path, self._root)}
            here = str(path.relative_to(self._root)) if path != self._root.parent else None
            gone = [name for name in self._named if str(Path(name).parent) == here and name not in names]
            self._named |= names
            for name in gone:
                del self._named[name]
        elif path.is_relative_to(self._root):
            self._synced[path.stat().st_ino] = path.read_bytes()

    def _look(self) -> dict[str, tuple[int, bytes]]:
        files = [path for path in self._root.rglob("*") if path.is_file()]
        return {str(path.relative_to(self._root)): (path.stat().st_ino, path.read_bytes()) for path in files}


def _children(folder: Path, root: Path) -> list[Path]:
    return [child for child in folder.iterdir() if child.is_relative_to(root) and child != root]


@contextmanager
def watched(root: Path) -> Iterator[list[Moment]]:
    """Watches a folder; gives the moments, of which the last is the one at the end."""
    watch = Watch(root)
    fsync, replace = os.fsync, Path.replace

    def watched_fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        watch.look()
        fsync(descriptor)
        watch.sync(path)

    def watched_replace(self: Path, target: Path) -> Path:
        watch.look()
        return replace(self, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", watched_fsync)
        patch.setattr(Path, "replace", watched_replace)
        yield watch.moments
        watch.look()
