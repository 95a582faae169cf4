"""Saved networks that OpenVINO reads as conv bases: `.onnx` files, and the `.xml` and `.bin` of OpenVINO itself."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from schemas.errors import InvalidSpec
from schemas.spec import FeatureSpec, Shape
from transforms.networks import channels_axis, fold_constants, integers
from transforms.origins.foreign_graphs import check_batches, refused_by_openvino
from transforms.origins.keras_bases import channels_last, check_layer, layer_lines
from transforms.origins.origin import OPENVINO_FILES, PIXELS
from transforms.origins.picture_input import PictureInput
from transforms.origins.saved_files import check_sha256, read_saved_files, sha256_of_files
from transforms.preprocessing import GREY_HALF, GREY_PARTS, GREY_UNIT, PixelValues
from transforms.runtime import import_openvino, limit_memory, temporary_folder

if TYPE_CHECKING:
    import openvino

_ONNX: Final = ".onnx"
_NOT_A_LAYER: Final = frozenset({"Constant", "Parameter", "Result"})


@dataclasses.dataclass(frozen=True)
class SavedNetwork:
    """A network that OpenVINO has read, from uint8 pixels [N, H, W, 3] on.

    Attributes:
        spec: Its spec, with what the file says filled in.
        sha256: SHA-256 of its files.
        pixels: Its input.
        outputs: What can be a feature, by the name of the layer, in the order in which it is computed.
        taken: What the file's own input is.
    """

    spec: FeatureSpec
    sha256: str
    pixels: "openvino.op.Parameter"
    outputs: dict[str, "openvino.Output"]
    taken: PictureInput

    @property
    def shapes(self) -> dict[str, Shape]:
        """The shape of a feature of each layer, unpooled, the channels last."""
        return {
            name: channels_last(shape) if self._channels_first(output) else shape
            for name, output in self.outputs.items()
            if (shape := _shape_of(output))
        }

    def features(self, name: str) -> "openvino.Output":
        """Returns the pooled output of a layer, float32."""
        from openvino import opset13

        output = self.outputs[name]
        if len(_shape_of(output)) == 3:
            output = self._pooled(output)
        return opset13.convert(output, "f32").output(0)

    def _pooled(self, feature_map: "openvino.Output") -> "openvino.Output":
        from openvino import opset13

        channels_first = self._channels_first(feature_map)
        axes = integers([2, 3] if channels_first else [1, 2])
        if self.spec.pooling == "avg":
            return opset13.reduce_mean(feature_map, axes).output(0)
        if self.spec.pooling == "max":
            return opset13.reduce_max(feature_map, axes).output(0)
        return _transposed(feature_map, (0, 2, 3, 1)) if channels_first else feature_map

    def _channels_first(self, output: "openvino.Output") -> bool:
        is_map = len(_shape_of(output)) == 3
        return is_map and channels_axis(output, 1 if self.taken.channels_first else 3) == 1


class SavedNetworkOrigin:
    """The origin of saved networks that OpenVINO reads; see `Origin`."""

    def export(self, spec: FeatureSpec, folder: Path) -> FeatureSpec:
        """Writes the base's files; see `Origin`."""
        openvino = import_openvino()
        with temporary_folder() as local:
            network = _open(spec, local)
            known = network.shapes
            for name in spec.layers:
                check_layer(name, known, spec)
            layers = spec.layers or ([*known][-1],)
            with refused_by_openvino(spec):
                base = openvino.Model([network.features(name) for name in layers], [network.pixels], "base")
                check_batches(base, network.spec)
            openvino.save_model(base, str(folder / OPENVINO_FILES[0]), compress_to_fp16=False)
        shapes = tuple(_shape_of(output) for output in base.outputs)
        return dataclasses.replace(network.spec, layers=layers, weights_sha256=network.sha256, feature_shapes=shapes)

    def summary(self, spec: FeatureSpec) -> list[str]:
        """Returns what the network takes, and its layers; see `Origin`."""
        with temporary_folder() as local:
            network = _open(spec, local)
            return [f"Network {spec.conv_base}", network.taken.limits, "", *layer_lines(network.shapes)]


def _open(spec: FeatureSpec, folder: Path) -> SavedNetwork:
    """Opens the network of a spec, whose files go into a local folder and stay in use there.

    Raises:
        InvalidSpec: If OpenVINO does not read it, or it takes no pictures.
        WeightsUnavailable: If it cannot be read, or is another one than the spec says.
    """
    files = read_saved_files(spec.weights)
    sha256 = sha256_of_files(files)
    check_sha256(spec, sha256)
    for name, content in files.items():
        Path(folder, name).write_bytes(content)
    limit_memory()
    with refused_by_openvino(spec):
        network = import_openvino().Core().read_model(str(Path(folder, next(iter(files)))))
        return _prepared(network, spec, sha256)


def _prepared(network: "openvino.Model", spec: FeatureSpec, sha256: str) -> SavedNetwork:
    """Puts the preprocessing before a network, and lets its batches be of any size."""
    openvino = import_openvino()
    shapes = [_sides(value) for value in network.inputs]
    is_integer = bool(network.inputs) and network.input(0).get_element_type().is_integral()
    taken = PictureInput.of(spec.conv_base, shapes, takes_integers=is_integer)
    known = taken.resolved(spec, None)
    (given,) = network.get_parameters()
    pixels, prepared = _preprocessing(taken, known, given.get_element_type())
    for target in given.output(0).get_target_inputs():
        target.replace_source_output(prepared)
    results = network.get_results()
    whole = openvino.Model(results, [pixels], spec.conv_base)
    whole.validate_nodes_and_infer_types()
    if shapes[0][0] is not None:
        fold_constants(whole)
    outputs = dict(_named_outputs(whole, _nodes_before(prepared), by_values=spec.saved_format == _ONNX))
    if not outputs:
        raise InvalidSpec(f"{spec.conv_base} has no output of floats with a known shape.")
    return SavedNetwork(known, sha256, pixels, outputs, taken)


def _preprocessing(
    taken: PictureInput, spec: FeatureSpec, kind: "openvino.Type"
) -> tuple["openvino.op.Parameter", "openvino.Output"]:
    """Returns the input of the base, and what the network in it takes."""
    from openvino import opset13

    values = PixelValues.of(str(spec.preprocess), taken.channels)
    parameter = opset13.parameter([-1, *spec.resolved_input_shape], np.uint8, name=PIXELS)
    parameter.output(0).set_names({PIXELS})
    pixels = opset13.convert(parameter, "f32").output(0)
    if taken.channels == 1:
        parts = opset13.multiply(pixels, _floats(GREY_PARTS))
        grey = opset13.add(opset13.reduce_sum(parts, integers([3]), keep_dims=True), _floats((GREY_HALF,)))
        pixels = opset13.floor(opset13.divide(grey, _floats((GREY_UNIT,)))).output(0)
    elif values.is_bgr:
        pixels = opset13.gather(pixels, integers([2, 1, 0]), integers(3)).output(0)
    scaled = opset13.add(opset13.multiply(pixels, _floats(values.scale)), _floats(values.offset)).output(0)
    moved = _transposed(scaled, (0, 3, 1, 2)) if taken.channels_first else scaled
    return parameter, opset13.convert(moved, kind.get_type_name()).output(0)


def _named_outputs(
    network: "openvino.Model", preprocessing: frozenset[str], *, by_values: bool
) -> Iterator[tuple[str, "openvino.Output"]]:
    """Yields what can be a feature with its name: a tensor of floats for each picture, of known shape.

    Args:
        network: The network.
        preprocessing: The operations that were put before it.
        by_values: Whether only values have names, as in ONNX files; the operations that OpenVINO adds then have none.
    """
    names = set()
    for node in network.get_ordered_ops():
        if node.get_type_name() in _NOT_A_LAYER or node.get_name() in preprocessing:
            continue
        for output in node.outputs():
            name = min(output.get_names(), default="" if by_values else node.get_friendly_name())
            sides = _sides(output)
            is_of_a_picture = len(sides) > 1 and sides[0] is None and None not in sides[1:]
            is_new = name and name not in names
            if is_new and is_of_a_picture and output.get_element_type().is_real():
                names.add(name)
                yield name, output


def _nodes_before(output: "openvino.Output") -> frozenset[str]:
    """Returns the names of the operations that a tensor is computed by."""
    names: set[str] = set()
    waiting = [output.get_node()]
    while waiting:
        node = waiting.pop()
        if node.get_name() not in names:
            names.add(node.get_name())
            waiting += [value.get_node() for value in node.input_values()]
    return frozenset(names)


def _sides(value: Any) -> tuple[int | None, ...]:
    shape = value.get_partial_shape()
    if shape.rank.is_dynamic:
        return ()
    return tuple(None if side.is_dynamic else side.get_length() for side in shape)


def _shape_of(output: Any) -> Shape:
    """Returns the shape of an output for one picture."""
    return tuple(side for side in _sides(output)[1:] if side is not None)


def _transposed(output: "openvino.Output", axes: tuple[int, ...]) -> "openvino.Output":
    from openvino import opset13

    return opset13.transpose(output, integers(axes)).output(0)


def _floats(values: tuple[float, ...]) -> "openvino.Output":
    from openvino import opset13

    return opset13.constant(np.array(values, np.float32)).output(0)
