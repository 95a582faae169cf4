"""The files of a classifier: where each of them is in its folder, and what it has to be, by the classifier's card."""

import contextlib
import dataclasses
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, Self

from schemas.errors import DamagedModel, InvalidSpec
from schemas.storage import PublishedFile, PublishedList, file_system, join

NETWORKS_FOLDER: Final = "openvino"
# The list of the networks in folders whose card has none.
OLD_LIST: Final = f"{NETWORKS_FOLDER}/published.json"


@dataclasses.dataclass(frozen=True)
class ModelFiles:
    """Files in the folder of a classifier, compared with its card whenever they are read.

    Attributes:
        uri: The folder.
        by_name: The files that are known.
    """

    uri: str
    by_name: Mapping[str, PublishedFile]

    @classmethod
    def listed(cls, uri: str, files: Iterable[PublishedFile]) -> Self:
        """Returns the files of a list; where that is empty, as in folders of before there was one, the networks alone.

        Raises:
            DamagedModel: If the list of the networks is none.
        """
        return cls(uri, {file.name: file for file in files} or dict(_networks_listed_before(uri)))

    def read(self, name: str) -> bytes:
        """Reads a file; one that is not listed is not compared with anything.

        Raises:
            DamagedModel: If it is missing, or is not the file that was written.
        """
        file = self.by_name[name] if name in self.by_name else PublishedFile(name, name)
        file_uri = join(self.uri, file.path)
        fs, path = file_system(file_uri)
        try:
            content: bytes = fs.cat_file(path)
        except FileNotFoundError as error:
            raise DamagedModel(file_uri, "it is missing") from error
        difference = file.difference(content)
        if difference:
            raise DamagedModel(file_uri, difference)
        return content

    def check_sizes(self) -> None:
        """Lists the files, and reads none.

        Raises:
            DamagedModel: If one of them is missing, or has another size than the one that was written.
        """
        size_by_path = dict(self._listed_sizes())
        for file in self.by_name.values():
            size = size_by_path.get(file.path)
            how = "it is missing" if size is None else file.difference_of_size(size)
            if how:
                raise DamagedModel(join(self.uri, file.path), how)

    def _listed_sizes(self) -> Iterator[tuple[str, int]]:
        fs, root = file_system(self.uri)
        fs.invalidate_cache()
        for folder in {posixpath.dirname(file.path) for file in self.by_name.values()}:
            with contextlib.suppress(FileNotFoundError):
                for info in fs.ls(join(root, folder), detail=True):
                    yield join(folder, posixpath.basename(info["name"])).lstrip("/"), info["size"]

    def fetch_networks(self, names: Iterable[str], folder: Path) -> None:
        """Copies networks into a local folder.

        Args:
            names: Their names in the folder of networks.
            folder: The local folder.

        Raises:
            DamagedModel: If one of them is missing, or is not the file that was written.
        """
        for name in names:
            Path(folder, name).write_bytes(self.read(f"{NETWORKS_FOLDER}/{name}"))


def _networks_listed_before(uri: str) -> Iterable[tuple[str, PublishedFile]]:
    fs, path = file_system(join(uri, OLD_LIST))
    if not fs.exists(path):
        return
    try:
        for file in PublishedList.from_json(fs.cat_file(path)).files():
            name = f"{NETWORKS_FOLDER}/{file.name}"
            yield name, PublishedFile(name, name, file.size, file.sha256)
    except (ValueError, InvalidSpec) as error:
        raise DamagedModel(join(uri, OLD_LIST), "it is no list of files") from error
