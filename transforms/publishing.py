"""Publishing a conv base: built once by the launcher, kept in the store, loaded from there by every worker.

    <store>/conv_bases/<fingerprint>/base.keras    uint8 pixels -> features, for Keras
    <store>/conv_bases/<fingerprint>/base.xml      the same for OpenVINO
    <store>/conv_bases/<fingerprint>/base.bin
    <store>/conv_bases/<fingerprint>/published.json    the spec, and the SHA-256 of each file; written last

Workers need no internet, no architecture code and no TensorFlow, and every table keeps the very base that made it.

Keras runs in a process of its own, on its OpenVINO backend: it builds and exports there without TensorFlow, in a tenth
of the time, the launcher never holds the model, and the backend that the caller may have chosen for Keras in
their own process does not matter.
"""

import concurrent.futures
import contextlib
import dataclasses
import importlib.abc
import io
import json
import math
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

import numpy as np

from schemas.errors import RunFailed
from schemas.spec import FeatureSpec
from schemas.storage import file_system, join
from transforms.conv_bases import (
    add_preprocessing_and_pooling,
    default_layer,
    feature_layers,
    find_builder,
    load_application,
    pooled_shape,
    sha256_of,
    with_input_shape,
)

if TYPE_CHECKING:
    import keras
    import openvino

KERAS_FILE: Final = "base.keras"
OPENVINO_FILES: Final = ("base.xml", "base.bin")
CONV_BASE_FILES: Final = (KERAS_FILE, *OPENVINO_FILES)
_MARKER: Final = "published.json"

P = ParamSpec("P")
T = TypeVar("T")


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
        """Copies the files into a store, unless they are there, and returns their folder's URI."""
        uri = join(store_uri, "conv_bases", self.spec.fingerprint)
        fs, root = file_system(uri)
        if fs.exists(f"{root}/{_MARKER}"):
            return uri
        publish_files(self.folder, CONV_BASE_FILES, uri, self.spec)
        return uri


def publish_files(folder: Path, names: Sequence[str], uri: str, spec: FeatureSpec) -> None:
    """Copies local files to a folder that `fetch_published` reads, the list of their SHA-256 last."""
    fs, root = file_system(uri)
    sha256_by_file = {}
    for name in names:
        data = Path(folder, name).read_bytes()
        sha256_by_file[name] = sha256_of(data)
        fs.pipe_file(f"{root}/{name}", data)
    marker = {"spec": spec.to_dict(), "sha256": sha256_by_file}
    fs.pipe_file(f"{root}/{_MARKER}", json.dumps(marker, indent=2).encode())


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
    """Returns the spec of a published conv base."""
    return FeatureSpec.from_json(json.dumps(_read_marker(conv_base_uri)["spec"]))


def _read_marker(conv_base_uri: str) -> dict[str, Any]:
    fs, root = file_system(conv_base_uri)
    marker: dict[str, Any] = json.loads(fs.cat_file(f"{root}/{_MARKER}"))
    return marker


def fetch_published(conv_base_uri: str, names: tuple[str, ...], folder: Path) -> None:
    """Copies files of a published conv base into a local folder.

    Raises:
        RunFailed: If a file is not the one that was published.
    """
    fs, root = file_system(conv_base_uri)
    sha256_by_file = _read_marker(conv_base_uri)["sha256"]
    for name in names:
        data = fs.cat_file(f"{root}/{name}")
        if sha256_of(data) != sha256_by_file[name]:
            raise RunFailed(f"{join(conv_base_uri, name)} is not the file that was published: its SHA-256 differs.")
        Path(folder, name).write_bytes(data)


def in_keras_process(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Calls a function of a module in a process of its own, where Keras runs on its OpenVINO backend.

    Raises:
        RunFailed: If the process is killed.
    """
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context, initializer=_choose_keras_backend) as pool:
        try:
            return pool.submit(function, *args, **kwargs).result()
        except BrokenProcessPool as error:
            raise RunFailed("The process that builds a Keras model was killed; it may lack memory.") from error


class _WithoutTensorFlow(importlib.abc.MetaPathFinder):
    """Hides TensorFlow. Keras imports it where it is there when it saves a model, for seconds and for nothing."""

    def find_spec(self, fullname: str, *_: object) -> None:
        if fullname == "tensorflow":
            raise ModuleNotFoundError("TensorFlow is not used here.", name=fullname)


def _choose_keras_backend() -> None:
    os.environ["KERAS_BACKEND"] = "openvino"
    sys.meta_path.insert(0, _WithoutTensorFlow())


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


def export_to_openvino(model: "keras.Model", path: Path) -> None:
    """Writes a model as OpenVINO IR, weights in float32, for batches of any size; on Keras's OpenVINO backend only.

    Args:
        model: The model.
        path: The `.xml`; the `.bin` is written beside it.
    """
    import openvino

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        exported = str(Path(folder, "exported.xml"))
        model.export(exported, format="openvino", verbose=False)
        network = openvino.Core().read_model(exported)
        _free_batch_axis(network)
        openvino.save_model(network, str(path), compress_to_fp16=False)


def _free_batch_axis(network: "openvino.Model") -> None:
    """Lets every reshape keep the batch's axis.

    Keras 3.15 traces with one picture and writes that 1 into the reshapes of squeeze-and-excitation blocks
    (EfficientNet), so that the exported network would take no other batch.
    """
    from openvino import opset13

    for node in network.get_ordered_ops():
        if node.get_type_name() != "Reshape" or not node.input(0).get_partial_shape()[0].is_dynamic:
            continue
        pattern = node.input_value(1).get_node()
        if pattern.get_type_name() == "Constant" and pattern.data[0] == 1:
            shape = np.array([0, *pattern.data[1:]], np.int64)
            kept = opset13.reshape(node.input_value(0), opset13.constant(shape), special_zero=True)
            for target in node.output(0).get_target_inputs():
                target.replace_source_output(kept.output(0))
    network.validate_nodes_and_infer_types()


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
