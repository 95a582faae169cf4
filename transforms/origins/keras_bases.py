"""Conv bases of Keras models, whoever made the model: layers by name, preprocessing before them, pooling after them."""

import contextlib
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from schemas.errors import InvalidSpec, nearest_names
from schemas.spec import FeatureSpec, Shape
from transforms.networks import export_to_openvino
from transforms.origins.foreign_graphs import check_batches, refused_by_openvino
from transforms.origins.origin import KERAS_FILE, OPENVINO_FILES, PIXELS
from transforms.runtime import import_openvino

if TYPE_CHECKING:
    import keras

_WITHIN: Final = "/"


@dataclasses.dataclass(frozen=True)
class KerasNetwork:
    """A Keras model that a conv base is made of.

    Attributes:
        model: The model, whole and without preprocessing; the shapes of its layers are known.
        sha256: SHA-256 of its weights, or of the file that it is from.
        preprocess: What it expects of pixels: from float32 [N, H, W, 3] in 0 to 255 to its input.
        limits: Which pictures it takes, as a sentence.
        channels_first: Whether its feature maps are [N, C, H, W].
    """

    model: "keras.Model"
    sha256: str
    preprocess: Callable[[Any], Any]
    limits: str
    channels_first: bool = False


@dataclasses.dataclass(frozen=True)
class KerasOrigin:
    """An origin whose networks are Keras models; see `Origin`.

    Attributes:
        load: Returns the network of a spec, and the spec with what the network says of it filled in.
    """

    load: Callable[[FeatureSpec], tuple[FeatureSpec, KerasNetwork]]

    def export(self, spec: FeatureSpec, folder: Path) -> FeatureSpec:
        """Writes the base's files; see `Origin`."""
        known, network = self.load(spec)
        named = dataclasses.replace(known, layers=known.layers or (default_layer(network.model),))
        with refused_by_openvino(spec) if spec.saved_format else contextlib.nullcontext():
            model = base_of(network, named)
            shapes = tuple(tuple(output.shape[1:]) for output in model.outputs)
            if spec.is_keras:
                model.save(folder / KERAS_FILE)
            export_to_openvino(model, folder / OPENVINO_FILES[0])
            if spec.saved_format:
                check_batches(import_openvino().Core().read_model(folder / OPENVINO_FILES[0]), named)
        return dataclasses.replace(named, weights_sha256=network.sha256, feature_shapes=shapes)

    def summary(self, spec: FeatureSpec) -> list[str]:
        """Returns what Keras prints of the network, and its layers; see `Origin`."""
        _, network = self.load(spec)
        lines: list[str] = []
        network.model.summary(print_fn=lines.append)
        shapes = feature_shapes(network.model)
        if network.channels_first:
            shapes = {name: channels_last(shape) for name, shape in shapes.items()}
        return [*lines, network.limits, "", *layer_lines(shapes)]


def base_of(network: KerasNetwork, spec: FeatureSpec) -> "keras.Model":
    """Returns the model from uint8 pixels to the pooled outputs of the layers that the spec asks for.

    Raises:
        InvalidSpec: If the network has no such layer.
    """
    import keras

    model = network.model
    names = feature_shapes(model)
    for name in spec.layers:
        check_layer(name, names, spec)
    wanted = spec.layers or (default_layer(model),)
    outputs = [_output(model, name, is_only=len(wanted) == 1) for name in wanted]
    truncated = keras.Model(model.inputs, outputs, name=model.name)
    pixels = keras.Input(spec.input_shape, dtype="uint8", name=PIXELS)
    maps = truncated(network.preprocess(keras.ops.cast(pixels, "float32")))
    features = [
        _pool(feature_map, spec.pooling, channels_first=network.channels_first)
        for feature_map in (maps if isinstance(maps, list) else [maps])
    ]
    return keras.Model(pixels, features, name=f"{model.name}_features")


def check_layer(name: str, known: dict[str, Shape], spec: FeatureSpec) -> None:
    """Refuses a layer that a network lacks.

    Raises:
        InvalidSpec: If it does.
    """
    if name not in known:
        raise InvalidSpec(f"{spec.conv_base} has no layer '{name}'{nearest_names(name, known)}")


def feature_shapes(model: "keras.Model") -> dict[str, Shape]:
    """Returns the layers whose output can be a feature, one tensor of known shape, with that shape for one picture.

    A layer of a model that is a layer itself is called after both, as in `resnet50/conv1_relu`.
    """
    import keras

    shapes: dict[str, Shape] = {}
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        if isinstance(layer, keras.Model):
            inner = feature_shapes(layer)
            shapes |= {f"{layer.name}{_WITHIN}{name}": shape for name, shape in inner.items()}
        output = _own_output(layer)
        if isinstance(output, keras.KerasTensor) and None not in output.shape[1:]:
            shapes[layer.name] = tuple(output.shape[1:])
    return shapes


def default_layer(model: "keras.Model") -> str:
    """Returns the name of the last layer."""
    return [*feature_shapes(model)][-1]


def _own_output(layer: "keras.Layer") -> Any:
    """Returns the output of a layer in the model that it is in; a model as a layer has one of its own besides."""
    import keras

    if isinstance(layer, keras.Model):
        outputs = layer._inbound_nodes[-1].output_tensors
        return outputs[0] if len(outputs) == 1 else outputs
    return layer.output


def _output(model: "keras.Model", name: str, *, is_only: bool) -> "keras.KerasTensor":
    """Returns the output of a layer, as a tensor of the model.

    Args:
        model: The model.
        name: The layer; of one in a model within the model, both names.
        is_only: Whether no other output of the model is wanted, so that the part before the layer may keep its name.
    """
    import keras

    own, _, inner = name.partition(_WITHIN)
    layer = model.get_layer(own)
    if not inner:
        return _own_output(layer)
    part_name = own if is_only else name.replace(_WITHIN, "_")
    part = keras.Model(layer.inputs, _output(layer, inner, is_only=is_only), name=part_name)
    return part(layer._inbound_nodes[-1].input_tensors[0])


def _pool(feature_map: Any, pooling: str, *, channels_first: bool) -> Any:
    import keras

    if len(feature_map.shape) != 4:
        return feature_map
    if pooling == "none":
        return keras.layers.Permute((2, 3, 1))(feature_map) if channels_first else feature_map
    layers = {"avg": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}
    return layers[pooling](data_format="channels_first" if channels_first else "channels_last")(feature_map)


def channels_last(shape: Shape) -> Shape:
    """Returns the shape of a feature map [C, H, W] as [H, W, C]; other shapes as they are."""
    return (*shape[1:], shape[0]) if len(shape) == 3 else shape


def pooled_shape(shape: Shape, pooling: str) -> Shape:
    """Returns the shape of a feature from the shape of its layer's output, both without the batch's axis."""
    return shape[-1:] if len(shape) == 3 and pooling != "none" else shape


def layer_lines(shapes: dict[str, Shape]) -> list[str]:
    """Returns the table of the layers that a spec may name.

    Args:
        shapes: The shape of a feature of each, unpooled.
    """
    lines = ["Layers for --layers, with the shape of a feature (--pooling=none), its floats, and its floats pooled:"]
    for name, shape in shapes.items():
        pooled = math.prod(pooled_shape(shape, "avg"))
        lines.append(f"  {name:<40} {shape!s:<20} {math.prod(shape):>10,} {pooled:>8,}")
    return lines
