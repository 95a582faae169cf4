"""Publishing a conv base: built once by the launcher, kept in the store, loaded from there by every worker.

    <store>/conv_bases/<fingerprint>/base.keras    uint8 pixels -> features, for Keras
    <store>/conv_bases/<fingerprint>/base.xml      the same for OpenVINO
    <store>/conv_bases/<fingerprint>/base.bin
    <store>/conv_bases/<fingerprint>/published.json    the spec, and the SHA-256 of each file; written last

Files that took the place of others have names of their own, which `published.json` gives.

Workers need no internet, no architecture code and no TensorFlow, and every table keeps the very base that made it.
"""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from schemas.errors import InvalidSpec, RunFailed
from schemas.spec import FeatureSpec
from schemas.storage import file_system, join, write_file
from transforms.conv_bases.applications import (
    add_preprocessing_and_pooling,
    default_layer,
    feature_layers,
    find_builder,
    load_application,
    pooled_shape,
    sha256_of,
    with_input_shape,
)
from transforms.networks import export_to_openvino, in_keras_process

KERAS_FILE: Final = "base.keras"
OPENVINO_FILES: Final = ("base.xml", "base.bin")
CONV_BASE_FILES: Final = (KERAS_FILE, *OPENVINO_FILES)
_MARKER: Final = "published.json"
_STORED_AS: Final = "stored_as"
_SIZES: Final = "sizes"


@dataclasses.dataclass(frozen=True)
class PreparedConvBase:
    """A conv base that is built and exported, but not in a store yet.

    Attributes:
        spec: Its spec, resolved.
        folder: The local folder of its files.
    """

    spec: FeatureSpec
    folder: Path

    def publish(self, store_uri: str) -> str:
        """Copies the files into a store, unless they are there in full, and returns their folder's URI."""
        uri = join(store_uri, "conv_bases", self.spec.fingerprint)
        if is_published(uri):
            return uri
        publish_files(self.folder, CONV_BASE_FILES, uri, self.spec)
        return uri


def publish_files(folder: Path, names: Sequence[str], uri: str, spec: FeatureSpec) -> None:
    """Copies local files to a folder that `fetch_published` reads, the list of their SHA-256 last."""
    _write_marker(uri, {"spec": spec.to_dict(), **_copy_files(folder, {name: name for name in names}, uri)})


def is_published(uri: str) -> bool:
    """Whether what is published at a folder is there: each file of the list, with its size."""
    fs, root = file_system(uri)
    try:
        marker = _read_marker(uri)
        sizes = marker.get(_SIZES, {})
        fs.invalidate_cache(root)
        size_by_file = {info["name"].rpartition("/")[2]: info["size"] for info in fs.ls(root, detail=True)}
        found = {name: size_by_file[_stored_as(marker, name)] for name in marker["sha256"]}
    except (FileNotFoundError, KeyError, RunFailed):
        return False
    return all(found[name] == sizes.get(name, found[name]) for name in found)


def damaged_files(uri: str) -> list[str]:
    """Returns the names of published files that are missing or altered, of all of them the SHA-256 compared."""
    fs, root = file_system(uri)
    try:
        marker = _read_marker(uri)
        is_its_own = FeatureSpec.from_dict(marker["spec"]).fingerprint == root.rpartition("/")[2]
    except (FileNotFoundError, RunFailed, InvalidSpec, KeyError, ValueError):
        return [_MARKER]
    if not is_its_own:
        return [_MARKER]
    return [
        stored
        for name, sha256 in marker["sha256"].items()
        if not fs.exists(f"{root}/{(stored := _stored_as(marker, name))}")
        or sha256_of(fs.cat_file(f"{root}/{stored}")) != sha256
    ]


def unpublish(uri: str) -> None:
    """Removes the list of published files, so that the conv base counts as missing and is published again."""
    fs, root = file_system(uri)
    if fs.exists(f"{root}/{_MARKER}"):
        fs.rm_file(f"{root}/{_MARKER}")


def replace_files(folder: Path, names: Sequence[str], uri: str) -> None:
    """Puts local files in place of published ones, all at once for those that fetch them.

    They get names of their own, for which the marker's `stored_as` is the index; a reader finds either all of the old
    files or all of the new ones.

    Args:
        folder: The local folder.
        names: The files, by the names under which they are fetched.
        uri: The folder where they are published.
    """
    marker = _read_marker(uri)
    old = {name: _stored_as(marker, name) for name in names}
    tag = sha256_of(b"".join(Path(folder, name).read_bytes() for name in names))[:12]
    new = {name: f"{Path(name).stem}-{tag}{Path(name).suffix}" for name in names}
    said = {**_copy_files(folder, new, uri), _STORED_AS: new}
    marker |= {key: marker.get(key, {}) | by_file for key, by_file in said.items()}
    _write_marker(uri, marker)
    fs, root = file_system(uri)
    for stored in set(old.values()) - set(new.values()):
        fs.rm_file(f"{root}/{stored}")


def _copy_files(folder: Path, stored_as: Mapping[str, str], uri: str) -> dict[str, dict[str, Any]]:
    """Copies files under other names, and returns what the marker says of each."""
    sha256_by_file, size_by_file = {}, {}
    for name, stored in stored_as.items():
        data = Path(folder, name).read_bytes()
        sha256_by_file[name], size_by_file[name] = sha256_of(data), len(data)
        write_file(join(uri, stored), data)
    return {"sha256": sha256_by_file, _SIZES: size_by_file}


def _write_marker(uri: str, marker: Mapping[str, Any]) -> None:
    write_file(join(uri, _MARKER), json.dumps(marker, indent=2).encode())


def _stored_as(marker: Mapping[str, Any], name: str) -> str:
    return str(marker.get(_STORED_AS, {}).get(name, name))


def prepare_conv_base(spec: FeatureSpec, folder: Path) -> PreparedConvBase:
    """Builds the conv base of a spec, resolves the spec, and writes the base's files into a local folder.

    Raises:
        InvalidSpec: If Keras cannot build it, or has no such layer.
        WeightsUnavailable: If the weights cannot be had or do not fit.
        RunFailed: If the process that builds it is killed.
    """
    return PreparedConvBase(in_keras_process(_build_and_export, spec, folder), folder)


def summarise_conv_base(spec: FeatureSpec) -> str:
    """Returns what Keras prints of the application of a spec, and the layers that a spec may name.

    Raises:
        InvalidSpec: If Keras cannot build it.
    """
    return in_keras_process(_summarise, spec)


def published_spec(conv_base_uri: str) -> FeatureSpec:
    """Returns the spec of a published conv base.

    Raises:
        RunFailed: If the list of its files is damaged.
    """
    return FeatureSpec.from_json(json.dumps(_read_marker(conv_base_uri)["spec"]))


def _read_marker(conv_base_uri: str) -> dict[str, Any]:
    fs, root = file_system(conv_base_uri)
    try:
        marker: dict[str, Any] = json.loads(fs.cat_file(f"{root}/{_MARKER}"))
    except ValueError as error:
        raise _damaged(join(conv_base_uri, _MARKER), "it is no JSON") from error
    return marker


def _damaged(file_uri: str, how: str) -> RunFailed:
    return RunFailed(
        f"{file_uri} is not the file that was published: {how}. A run of pipelines.extract publishes again what is "
        "missing or cut off; `pipelines.maintain STORE republish` replaces the networks."
    )


def fetch_published(conv_base_uri: str, names: tuple[str, ...], folder: Path) -> None:
    """Copies files of a published conv base into a local folder.

    Raises:
        RunFailed: If a file is not the one that was published.
    """
    try:
        _fetch(conv_base_uri, names, folder)
    except FileNotFoundError:
        # Other files took their place after the marker was read: what the marker says now is there.
        _fetch(conv_base_uri, names, folder)


def _fetch(conv_base_uri: str, names: tuple[str, ...], folder: Path) -> None:
    fs, root = file_system(conv_base_uri)
    marker = _read_marker(conv_base_uri)
    for name in names:
        stored = _stored_as(marker, name)
        data = fs.cat_file(f"{root}/{stored}")
        if sha256_of(data) != marker["sha256"][name]:
            raise _damaged(join(conv_base_uri, stored), "its SHA-256 differs")
        Path(folder, name).write_bytes(data)


def _build_and_export(spec: FeatureSpec, folder: Path) -> FeatureSpec:
    shaped = with_input_shape(spec)
    application, weights_sha256 = load_application(shaped)
    named = dataclasses.replace(shaped, layers=shaped.layers or (default_layer(application),))
    model = add_preprocessing_and_pooling(application, named)
    resolved = dataclasses.replace(
        named,
        weights_sha256=weights_sha256,
        feature_shapes=tuple(tuple(output.shape[1:]) for output in model.outputs),
    )
    model.save(folder / KERAS_FILE)
    export_to_openvino(model, folder / OPENVINO_FILES[0])
    return resolved


def export_again(folder: Path) -> None:
    """Writes the OpenVINO files of a conv base from the `.keras` beside them; in a Keras process."""
    import keras

    model = keras.saving.load_model(folder / KERAS_FILE, compile=False)
    export_to_openvino(model, folder / OPENVINO_FILES[0])


def _summarise(spec: FeatureSpec) -> str:
    shaped = with_input_shape(spec)
    application, _ = load_application(shaped)
    lines: list[str] = []
    application.summary(print_fn=lines.append)
    lines.append(f"Smallest side: {find_builder(spec.conv_base).smallest_side()} pixels, three channels.")
    lines.append("")
    lines.append(
        "Layers for --layers, with the shape of a feature (--pooling=none), its floats, and its floats pooled:"
    )
    for layer in feature_layers(application):
        shape = tuple(layer.output.shape[1:])
        pooled = math.prod(pooled_shape(shape, "avg"))
        lines.append(f"  {layer.name:<40} {shape!s:<20} {math.prod(shape):>10,} {pooled:>8,}")
    return "\n".join(lines)
