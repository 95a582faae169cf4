"""Files of weights and of saved networks, which may be anywhere: read whole, with all that belongs to them.

A network may lie in several files: an OpenVINO one in two, one of ONNX in as many as it names. No others are read, and
only such that lie beside it.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Final

from schemas.errors import ImageError, InvalidSpec, UsageError, WeightsUnavailable, shown
from schemas.spec import KERAS_HUB, SAVED_FORMATS, FeatureSpec, saved_format
from schemas.storage import bare_uri, canonical_uri, file_system, image_errors, leaves_folder
from transforms.networks import CONVERTER, PRESET, SHARDS, WEIGHTS
from transforms.origins.onnx_files import files_beside
from transforms.origins.presets import fields_of_converter, preset_named
from transforms.runtime import available_memory

# Fields of a spec that are for bases which Keras builds by their names.
_OF_BUILDERS: Final = {"weights": "--weights", "conv_base_args": "--conv_base_arg", "include_top": "--include_top"}

_WEIGHTS_OF_OPENVINO: Final = ".bin"


def with_saved_network(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of a spec as they were asked for, a saved network that was named by its URI by its name.

    Args:
        asked: Values by field name; `conv_base` may be the path or the URI of a saved network.

    Returns:
        The same; `conv_base` is then the name of the file, and `weights` its URI in canonical form.

    Raises:
        UsageError: If fields are asked for that only a base has which Keras builds.
        InvalidSpec: If the name is that of a file of another kind.
    """
    uri = asked.get("conv_base")
    if uri is not None and bare_uri(uri) != uri:
        raise UsageError(
            f"The conv base {shown(bare_uri(uri))} was given with a signature or a password, and a store records where "
            "its base is from: copy the file, and name the copy."
        )
    if uri is None or saved_format(uri) is None:
        if uri is not None and ("/" in uri or "." in uri):
            raise InvalidSpec(
                f"{shown(uri)} is no file of a network that can be a conv base: these end with "
                f"{', '.join(SAVED_FORMATS)} (OpenVINO's, with its .bin beside it); {KERAS_HUB}FOLDER is a preset "
                "of Keras Hub."
            )
        return dict(asked)
    refused = [option for field, option in _OF_BUILDERS.items() if asked.get(field)]
    if refused:
        raise UsageError(
            f"{', '.join(refused)} is for conv bases of keras.applications; {shown(uri)} is a saved network."
        )
    others = {name: value for name, value in asked.items() if name not in _OF_BUILDERS}
    name, weights = preset_named(uri) if uri.startswith(KERAS_HUB) else (network_name(uri), canonical_uri(uri))
    return {**others, "conv_base": name, "weights": weights}


def said_by_preset(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of a spec that the preset of Keras Hub says which is asked for; none where it is no preset.

    Raises:
        InvalidSpec: If its image converter cannot be followed.
        WeightsUnavailable: If it cannot be read.
    """
    if not str(asked.get("conv_base")).startswith(KERAS_HUB):
        return {}
    return fields_of_converter(read_saved_files(asked["weights"]))


def network_name(uri: str) -> str:
    """Returns the name of the file of a saved network, or of a preset's folder; of what is no such thing, all of it."""
    if uri.startswith(KERAS_HUB):
        return KERAS_HUB + PurePosixPath(uri.removeprefix(KERAS_HUB).removesuffix(PRESET)).name
    return uri.rpartition("/")[2] if saved_format(uri) is not None else uri


def read_saved_files(uri: str) -> dict[str, bytes]:
    """Reads a file of weights, or a saved network with all that belongs to it.

    Returns:
        What is in the files, by their names, the one that was named first.

    Raises:
        WeightsUnavailable: If one of them cannot be read, or may not be.
    """
    first = _read(uri)
    name = uri.rpartition("/")[2]
    files = {name: first}
    if name == PRESET:
        return {**files, **_files_of_preset(uri.removesuffix(name))}
    for further in _belonging_to(name, first):
        files[further] = _read(uri.removesuffix(name) + further)
    return files


def saved_sha256(uri: str) -> str:
    """Returns the SHA-256 of a file of weights, or of a saved network, in hex.

    Raises:
        WeightsUnavailable: If it cannot be read.
    """
    return sha256_of_files(read_saved_files(uri))


def sha256_of_files(files: Mapping[str, bytes]) -> str:
    """Returns the SHA-256 of a file in hex; of several, that of their own and of the names of those that it names."""
    first, *others = (hashlib.sha256(content).hexdigest() for content in files.values())
    if not others:
        return first
    lines = [first, *(f"{sha256}  {name}" for sha256, name in zip(others, [*files][1:], strict=True))]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def check_sha256(spec: FeatureSpec, sha256: str) -> None:
    """Compares a saved network with the one of a spec, where that says which.

    Raises:
        WeightsUnavailable: If it is another one.
    """
    if spec.weights_sha256 not in {None, sha256}:
        raise WeightsUnavailable(
            f"The network {spec.weights} has the SHA-256 {sha256}, the spec says {spec.weights_sha256}."
        )


def _belonging_to(name: str, content: bytes) -> list[str]:
    kind = saved_format(name)
    if kind == ".xml":
        return [str(PurePosixPath(name).with_suffix(_WEIGHTS_OF_OPENVINO))]
    if kind != ".onnx":
        return []
    try:
        return files_beside(content)
    except ValueError as error:
        raise WeightsUnavailable(f"The network {shown(name)} cannot be read: {error}.") from error


def _files_of_preset(folder: str) -> dict[str, bytes]:
    """Reads the image converter of a preset, if it has one, and its weights, which may lie in several files."""
    fs, root = file_system(folder)
    with image_errors():
        found = {name for name in (CONVERTER, WEIGHTS, SHARDS) if fs.exists(f"{root.rstrip('/')}/{name}")}
    files = {CONVERTER: _read(folder + CONVERTER)} if CONVERTER in found else {}
    if WEIGHTS in found or SHARDS not in found:
        return {**files, WEIGHTS: _read(folder + WEIGHTS)}
    files[SHARDS] = _read(folder + SHARDS)
    try:
        places = json.loads(files[SHARDS])["weight_map"].values()
        names = sorted({name for place in places for name in ([place] if isinstance(place, str) else place)})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsUnavailable(f"{folder}{SHARDS} is damaged, or no list of files of weights.") from error
    for name in names:
        if "/" in name or "\\" in name or leaves_folder(name):
            raise WeightsUnavailable(f"{folder}{SHARDS} names {shown(name)}, which is no file beside it.")
        files[name] = _read(folder + name)
    return files


def _read(uri: str) -> bytes:
    try:
        with image_errors():
            fs, path = file_system(uri)
            found = fs.info(path)
            if found["type"] != "file":
                raise IsADirectoryError("it is no file")
            if (found["size"] or 0) <= available_memory():
                return bytes(fs.cat_file(path))
            why = f"it has {found['size']:,} bytes, more than this machine has memory for"
    except ImageError as error:
        why = error.message.rstrip(".")
    if uri.endswith((PRESET, CONVERTER, WEIGHTS, SHARDS)):
        raise WeightsUnavailable(
            f"The file {uri} cannot be read ({why}); --conv_base={KERAS_HUB}FOLDER takes a preset that Keras Hub has "
            "saved."
        )
    if saved_format(uri) is not None or uri.lower().endswith(_WEIGHTS_OF_OPENVINO):
        raise WeightsUnavailable(
            f"The file {uri} cannot be read ({why}); --conv_base takes the URI of a saved network."
        )
    raise WeightsUnavailable(
        f"The weights file {uri} cannot be read ({why}); --weights takes none, imagenet or the URI of a weights file."
    )
