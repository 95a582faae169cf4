"""Published files: what each has to be, by a list that is written after them, or that stands somewhere else."""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Self

from schemas.errors import shown
from schemas.serialisation import MOST_JSON_BYTES, Serialisable
from schemas.spec import FeatureSpec
from schemas.storage.filesystems import file_system
from schemas.uris import leaves_folder

# As many as a name may have on a disk; ours have a fifth.
_MOST_PATH_BYTES: Final = 255


def read_json_file(uri: str) -> bytes:
    """Reads a file that `Serialisable.from_json` takes.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is too large for one.
    """
    fs, path = file_system(uri)
    fs.invalidate_cache()
    if fs.info(path)["size"] > MOST_JSON_BYTES:
        raise ValueError(f"It has more than {MOST_JSON_BYTES:,} bytes.")
    content: bytes = fs.cat_file(path)
    return content


@dataclasses.dataclass(frozen=True)
class PublishedFile(Serialisable):
    """A file of a classifier, or of a conv base in a store.

    Attributes:
        name: Its name, under which it is asked for.
        path: Its path under the folder; the name, unless it may stand beside another file of that name.
        size: Its bytes; 0 where that is not known.
        sha256: Their SHA-256 in hex; empty where that is not known.
    """

    name: str
    path: str
    size: int = 0
    sha256: str = ""

    def __post_init__(self) -> None:
        """Checks that it is a file of the folder.

        Raises:
            ValueError: If its path leads out of the folder, or is none that we give.
        """
        is_ours = self.path.isprintable() and len(self.path.encode()) <= _MOST_PATH_BYTES
        if leaves_folder(self.path) or not is_ours:
            raise ValueError(f"{shown(self.path)} is no path under a folder.")

    @classmethod
    def of(cls, name: str, path: str, content: bytes) -> Self:
        """Describes a file by what is in it."""
        return cls(name, path, len(content), hashlib.sha256(content).hexdigest())

    def difference(self, content: bytes) -> str | None:
        """Returns what is wrong with the bytes of the file, or None."""
        if not self.sha256:
            return None
        altered = hashlib.sha256(content).hexdigest() != self.sha256
        return self.difference_of_size(len(content)) or ("its SHA-256 differs" if altered else None)

    def difference_of_file(self, path: Path) -> str | None:
        """Returns what is wrong with a file on this machine, or None."""
        different = self.difference_of_size(path.stat().st_size)
        if different or not self.sha256:
            return different
        with path.open("rb") as file:
            altered = hashlib.file_digest(file, "sha256").hexdigest() != self.sha256
        return "its SHA-256 differs" if altered else None

    def difference_of_size(self, size: int) -> str | None:
        """Returns what is wrong with the size of the file, or None."""
        return None if self.size in {0, size} else f"it has {size:,} bytes, {self.size:,} were written"


@dataclasses.dataclass(frozen=True)
class PublishedList(Serialisable, indent=2):
    """The list of published files beside them, `published.json`.

    Attributes:
        spec: The spec of the conv base.
        sha256: SHA-256 in hex, by the name of the file.
        sizes: Bytes by name; older lists have none.
        stored_as: The paths of files that have others than their names.
    """

    spec: FeatureSpec
    sha256: Mapping[str, str]
    sizes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    stored_as: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, spec: FeatureSpec, files: "tuple[PublishedFile, ...]") -> Self:
        """Lists files."""
        return cls(
            spec,
            {file.name: file.sha256 for file in files},
            {file.name: file.size for file in files},
            {file.name: file.path for file in files if file.path != file.name},
        )

    def files(self) -> Iterator[PublishedFile]:
        """Yields the files.

        Raises:
            ValueError: If the path of one leads out of the folder.
        """
        for name, sha256 in self.sha256.items():
            yield PublishedFile(name, self.stored_as.get(name, name), self.sizes.get(name, 0), sha256)


@dataclasses.dataclass(frozen=True)
class PublishedBase:
    """A conv base that is published.

    Attributes:
        uri: Its folder.
        files: Its files, by the table of the store. None where that says nothing, as in stores of before, and in
            folders of no store: then the list beside the files is believed.
        store_uri: The store whose table says so; empty where none does.
    """

    uri: str
    files: tuple[PublishedFile, ...] = ()
    store_uri: str = ""


@dataclasses.dataclass(frozen=True)
class PublishedFiles(Serialisable):
    """Files of a conv base, as they stand in the properties of a table.

    Attributes:
        files: The files; at least one.
    """

    files: tuple[PublishedFile, ...]

    def __post_init__(self) -> None:
        """Checks that there is one.

        Raises:
            ValueError: If there is none: the list beside the files would be believed.
        """
        if not self.files:
            raise ValueError("It names no file.")
