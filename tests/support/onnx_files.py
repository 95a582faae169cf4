"""ONNX files, written by hand: the tests need neither PyTorch nor the package `onnx` (onnx.proto, ONNX 1.19).

`SmallResNet` is written and, for comparison, built with Keras.
"""

import dataclasses
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_FLOAT, _INT64, _UINT8 = 1, 7, 2
_KINDS = {"float32": _FLOAT, "int64": _INT64, "uint8": _UINT8}


def _varint(number: int) -> bytes:
    number &= 2**64 - 1
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def field(number: int, value: int | float | str | bytes) -> bytes:
    """One field of a message of protobuf."""
    if isinstance(value, float):
        return _varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def fields(number: int, values: Sequence[int | float | str | bytes]) -> bytes:
    return b"".join(field(number, value) for value in values)


def tensor(name: str, values: np.ndarray, location: str = "", offset: int = 0) -> bytes:
    """A tensor; with a location its values are in another file."""
    head = fields(1, values.shape) + field(2, _KINDS[str(values.dtype)]) + field(8, name)
    if not location:
        return head + field(9, values.tobytes())
    entries = {"location": location, "offset": str(offset), "length": str(values.nbytes)}
    return head + fields(13, [field(1, key) + field(2, value) for key, value in entries.items()]) + field(14, 1)


def _attribute(name: str, value: Any) -> bytes:
    head = field(1, name)
    if isinstance(value, np.ndarray):
        return head + field(20, 4) + field(5, tensor("", value))
    if isinstance(value, Sequence):
        return head + field(20, 7) + fields(8, value)
    return head + (field(20, 1) + field(2, value) if isinstance(value, float) else field(20, 2) + field(3, value))


def node(kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> bytes:
    about = [_attribute(name, value) for name, value in attributes.items()]
    return (
        fields(1, inputs)
        + field(2, output)
        + field(3, output.rpartition("_output")[0])
        + field(4, kind)
        + fields(5, about)
    )


def value_info(name: str, shape: Sequence[int | str], kind: int = _FLOAT) -> bytes:
    sides = [field(1, side) if isinstance(side, int) else field(2, side) for side in shape]
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, fields(1, sides))))


def model(nodes: Sequence[bytes], weights: Sequence[bytes], inputs: Sequence[bytes], outputs: Sequence[bytes]) -> bytes:
    """An ONNX file: opset 17."""
    graph = fields(1, nodes) + field(2, "graph") + fields(5, weights) + fields(11, inputs) + fields(12, outputs)
    return field(1, 8) + field(2, "tests") + field(7, graph) + field(8, field(1, "") + field(2, 17))


@dataclasses.dataclass
class SmallResNet:
    """Blocks as torchvision's ResNet has them, under the names that PyTorch's exporter gives: random weights.

    Attributes:
        weights: By name; kernels are [out, in, height, width].
    """

    weights: Mapping[str, np.ndarray]

    @classmethod
    def random(cls, channels: int = 3, classes: int = 5) -> "SmallResNet":
        random = np.random.default_rng(0)
        shapes = {"conv1": (8, channels, 7, 7), "layer1.conv1": (8, 8, 3, 3), "layer1.conv2": (8, 8, 3, 3)}
        weights = {f"{name}.weight": random.normal(0, 0.2, shape) for name, shape in shapes.items()}
        for name in ("bn1", "layer1.bn1", "layer1.bn2"):
            weights |= {f"{name}.{part}": random.uniform(0.5, 1.5, 8) for part in ("weight", "running_var")}
            weights |= {f"{name}.{part}": random.normal(0, 0.5, 8) for part in ("bias", "running_mean")}
        weights |= {"fc.weight": random.normal(0, 1, (classes, 8)), "fc.bias": random.normal(0, 1, classes)}
        return cls({name: value.astype(np.float32) for name, value in weights.items()})

    def onnx(
        self,
        shape: Sequence[int | str] = ("batch", 3, 64, 64),
        *,
        channels_last: bool = False,
        flattened: np.ndarray | None = None,
        location: str = "",
    ) -> bytes:
        """The network as a file.

        Args:
            shape: Of its input.
            channels_last: Whether it takes [N, H, W, C] and gives such maps, with transposes between, as converters
                from TensorFlow write it.
            flattened: The shape to which the pooled map is reshaped, where that is a constant.
            location: The file that holds the weights, by their order, where it is another one.
        """
        nodes: list[bytes] = []

        def add(kind: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
            nodes.append(node(kind, inputs, f"{name}_output_0", **attributes))
            return f"{name}_output_0"

        def convolved(source: str, prefix: str, number: str, **attributes: Any) -> str:
            path = f"/{prefix.replace('.', '/')}"
            out = add("Conv", [source, f"{prefix}conv{number}.weight"], f"{path}conv{number}/Conv", **attributes)
            parts = [f"{prefix}bn{number}.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
            return add("BatchNormalization", [out, *parts], f"{path}bn{number}/BatchNormalization", epsilon=1e-5)

        source = "input"
        if channels_last:
            source = add("Transpose", [source], "/Transpose", perm=[0, 3, 1, 2])
        three = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
        first = convolved(source, "", "1", kernel_shape=[7, 7], pads=[3, 3, 3, 3], strides=[2, 2])
        pooled = add("MaxPool", [add("Relu", [first], "/relu/Relu")], "/maxpool/MaxPool", strides=[2, 2], **three)
        inner = add("Relu", [convolved(pooled, "layer1.", "1", **three)], "/layer1/relu/Relu")
        added = add("Add", [convolved(inner, "layer1.", "2", **three), pooled], "/layer1/Add")
        out = add("Relu", [added], "/layer1/relu_1/Relu")
        if channels_last:
            add("Transpose", [out], "/layer1/last", perm=[0, 2, 3, 1])
        mean = add("GlobalAveragePool", [out], "/avgpool/GlobalAveragePool")
        weights = dict(self.weights)
        if flattened is None:
            flat = add("Flatten", [mean], "/Flatten", axis=1)
        else:
            weights["shape"] = flattened
            flat = add("Reshape", [mean, "shape"], "/Flatten")
        nodes.append(node("Gemm", [flat, "fc.weight", "fc.bias"], "logits", transB=1))
        tensors, offset = [], 0
        for name, values in weights.items():
            tensors.append(tensor(name, values, location, offset))
            offset += values.nbytes
        outputs = [value_info("logits", [shape[0], len(self.weights["fc.bias"])])]
        if channels_last:
            outputs.append(value_info("/layer1/last_output_0", [shape[0], "h", "w", 8]))
        return model(nodes, tensors, [value_info("input", shape)], outputs)

    def keras(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """What Keras makes of float32 [N, H, W, C]: maps of that kind and logits, by their names."""
        import keras

        layers = keras.layers

        def convolved(tensor: Any, prefix: str, number: str, side: int, strides: int) -> Any:
            kernel = self.weights[f"{prefix}conv{number}.weight"].transpose(2, 3, 1, 0)
            conv = layers.Conv2D(8, side, strides, use_bias=False)
            norm = layers.BatchNormalization(epsilon=1e-5)
            out = norm(conv(layers.ZeroPadding2D(side // 2)(tensor)))
            conv.set_weights([kernel])
            parts = ("weight", "bias", "running_mean", "running_var")
            norm.set_weights([self.weights[f"{prefix}bn{number}.{part}"] for part in parts])
            return out

        inputs = keras.Input(pixels.shape[1:])
        first = layers.ReLU()(convolved(inputs, "", "1", 7, 2))
        pooled = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(first))
        inner = layers.ReLU()(convolved(pooled, "layer1.", "1", 3, 1))
        last = layers.ReLU()(convolved(inner, "layer1.", "2", 3, 1) + pooled)
        dense = layers.Dense(len(self.weights["fc.bias"]))
        logits = dense(layers.GlobalAveragePooling2D()(last))
        dense.set_weights([self.weights["fc.weight"].T, self.weights["fc.bias"]])
        found = keras.Model(inputs, [pooled, last, logits])(pixels)
        names = ("/maxpool/MaxPool_output_0", "/layer1/relu_1/Relu_output_0", "logits")
        return dict(zip(names, map(np.asarray, found), strict=True))
