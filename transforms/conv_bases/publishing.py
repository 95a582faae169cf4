"""Publishing a conv base: built once by the launcher, kept in the store, loaded from there by every worker.

    <store>/conv_bases/<fingerprint>/base-<hash>.keras    uint8 pixels -> features, for Keras; of Keras models alone
    <store>/conv_bases/<fingerprint>/base-<hash>.xml      the same for OpenVINO
    <store>/conv_bases/<fingerprint>/base-<hash>.bin
    <store>/conv_bases/<fingerprint>/published.json       the spec, and the SHA-256 of each file

The names hold a hash of the content, so that two commands that publish at once never write the same file; the table of
the store says, in one commit, which files are its base, and their SHA-256. `published.json` is the same for people.

Workers need no internet, no architecture code and no TensorFlow, and every table keeps the very base that made it.
"""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from schemas.spec import FeatureSpec
from schemas.storage import PublishedBase, PublishedFile, PublishedList, join, write_file
from schemas.store import FeatureStore
from transforms.conv_bases.published import LIST_FILE, files_of_base, unpublish
from transforms.networks import export_to_openvino, in_keras_process, load_keras_model
from transforms.origins import KERAS_FILE, OPENVINO_FILES, files_of_origin, origin_of


@dataclasses.dataclass(frozen=True)
class PreparedConvBase:
    """A conv base that is built and exported, but not in a store yet.

    Attributes:
        spec: Its spec, resolved.
        folder: The local folder of its files.
    """

    spec: FeatureSpec
    folder: Path

    def publish(self, store_uri: str) -> PublishedBase:
        """Copies the files into a store whose table does not know them yet, the list of their SHA-256 last."""
        uri = join(store_uri, "conv_bases", self.spec.fingerprint)
        files = _copy_files(self.folder, _named_by_content(self.folder, files_of_origin(self.spec)), uri)
        _write_list(uri, self.spec, files)
        return PublishedBase(uri, files)


def publish_files(folder: Path, names: Sequence[str], uri: str, spec: FeatureSpec) -> PublishedBase:
    """Copies local files under their names to a folder that is in no store, the list of their SHA-256 last."""
    files = _copy_files(folder, {name: name for name in names}, uri)
    _write_list(uri, spec, files)
    return PublishedBase(uri, files)


def replace_files(folder: Path, names: Sequence[str], store: FeatureStore) -> None:
    """Puts local files in place of published ones, all at once for those that fetch them.

    The commit to the table is the moment.

    Args:
        folder: The local folder.
        names: The files, by the names under which they are fetched.
        store: The store where they are published.
    """
    base = store.conv_base()
    old = {file.name: file for file in files_of_base(base)}
    new = {file.name: file for file in _copy_files(folder, _named_by_content(folder, names), base.uri)}
    files = tuple({**old, **new}.values())
    store.name_conv_base(files)
    _write_list(base.uri, store.spec, files)
    unpublish(base, {file.path for file in old.values()} - {file.path for file in files})


def _named_by_content(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """Returns the names of files with a hash of all of them in each."""
    tag = hashlib.sha256(b"".join(Path(folder, name).read_bytes() for name in names)).hexdigest()[:12]
    return {name: f"{Path(name).stem}-{tag}{Path(name).suffix}" for name in names}


def _copy_files(folder: Path, path_by_name: Mapping[str, str], uri: str) -> tuple[PublishedFile, ...]:
    files = []
    for name, path in path_by_name.items():
        content = Path(folder, name).read_bytes()
        write_file(join(uri, path), content)
        files.append(PublishedFile.of(name, path, content))
    return tuple(files)


def _write_list(uri: str, spec: FeatureSpec, files: tuple[PublishedFile, ...]) -> None:
    write_file(join(uri, LIST_FILE), PublishedList.of(spec, files).to_json().encode())


def prepare_conv_base(spec: FeatureSpec, folder: Path) -> PreparedConvBase:
    """Builds the conv base of a spec, resolves the spec, and writes the base's files into a local folder.

    Raises:
        InvalidSpec: If it cannot be built, or has no such layer.
        WeightsUnavailable: If the weights cannot be had or do not fit.
        RunFailed: If the process that builds it is killed.
    """
    return PreparedConvBase(in_keras_process(_build_and_export, spec, folder), folder)


def summarise_conv_base(spec: FeatureSpec) -> str:
    """Returns what is known of the network of a spec, and the layers that a spec may name.

    Raises:
        InvalidSpec: If it cannot be built.
        WeightsUnavailable: If the file of a saved network cannot be had.
    """
    return in_keras_process(_summarise, spec)


def _build_and_export(spec: FeatureSpec, folder: Path) -> FeatureSpec:
    return origin_of(spec).export(spec, folder)


def export_again(folder: Path) -> None:
    """Writes the OpenVINO files of a conv base from the `.keras` beside them; in a Keras process."""
    export_to_openvino(load_keras_model(folder / KERAS_FILE), folder / OPENVINO_FILES[0])


def _summarise(spec: FeatureSpec) -> str:
    return "\n".join(origin_of(spec).summary(spec))
