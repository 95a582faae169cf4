"""Writing OpenVINO networks as ONNX: what people deploy where there is no OpenVINO.

OpenVINO reads ONNX and does not write it; converters from TensorFlow or PyTorch would need these. An operation becomes
one or a few of opset 17, which every ONNX Runtime since 1.12 runs, in float32.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from transforms.networks.onnx_format import onnx_message
from transforms.networks.simplification import constant
from transforms.runtime import import_openvino

if TYPE_CHECKING:
    import openvino

_OPSET: Final = 17
_IR_VERSION: Final = 8
# TensorProto.DataType
_TYPES: Final = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9, "float16": 10, "float64": 11}
_MOST_BYTES: Final = 2**31 - 1
_LAST: Final = 2**63 - 1

# Operations that are called otherwise and are the same.
_SAME: Final = {
    "Abs": "Abs", "Add": "Add", "Ceiling": "Ceil", "Divide": "Div", "Erf": "Erf", "Exp": "Exp", "Floor": "Floor",
    "HSwish": "HardSwish", "Log": "Log", "Maximum": "Max", "Minimum": "Min", "Multiply": "Mul", "Negative": "Neg",
    "Power": "Pow", "Range": "Range", "Relu": "Relu", "ShapeOf": "Shape", "Sigmoid": "Sigmoid", "SoftPlus": "Softplus",
    "SoftSign": "Softsign", "Sqrt": "Sqrt", "Squeeze": "Squeeze", "Subtract": "Sub", "Tanh": "Tanh",
    "Unsqueeze": "Unsqueeze",
}  # fmt: skip
_REDUCTIONS: Final = {
    "ReduceL2": "ReduceL2", "ReduceMax": "ReduceMax", "ReduceMean": "ReduceMean", "ReduceMin": "ReduceMin",
    "ReduceProd": "ReduceProd",
}  # fmt: skip


class NotInOnnx(Exception):
    """A network has an operation that is not written as ONNX, or has too many weights for one file."""


def write_onnx(network_file: Path, onnx_file: Path) -> None:
    """Writes an OpenVINO network as ONNX, for batches of any size, its inputs and outputs under their names.

    Args:
        network_file: The `.xml`, its `.bin` beside it.
        onnx_file: The file that is written.

    Raises:
        NotInOnnx: If it cannot be written so.
    """
    network = import_openvino().Core().read_model(network_file)
    _fold(network)
    content = _Writing().run(network)
    if len(content) > _MOST_BYTES:
        raise NotInOnnx("It has more than 2 GB, the most that one ONNX file holds.")
    onnx_file.write_bytes(content)


def _fold(network: "openvino.Model") -> None:
    """Computes what depends on constants alone, as the sizes are of which others make their constants."""
    from openvino import passes

    manager = passes.Manager()
    manager.register_pass(passes.ConstantFolding())
    manager.run_passes(network)


class _Writing:
    """Goes down a network, and adds to a graph what computes each of its tensors."""

    def __init__(self) -> None:
        self._model = onnx_message("Model")
        self._graph = self._model.graph
        self._names: dict[tuple[str, int], str] = {}
        self._count = 0

    def run(self, network: "openvino.Model") -> bytes:
        self._model.ir_version = _IR_VERSION
        self._model.producer_name = b"convbase"
        self._model.opset_import.add(domain=b"", version=_OPSET)
        self._graph.name = network.get_friendly_name().encode()
        for node in network.get_ordered_ops():
            kind = node.get_type_name()
            if kind == "Parameter":
                self._enter(node)
            elif kind == "Result":
                self._leave(node)
            elif kind != "Constant":  # A constant is written where it is used, as its user wants it.
                self._write(node, kind)
        content: bytes = self._model.SerializeToString()
        return content

    def _write(self, node: Any, kind: str) -> None:
        if kind in _SAME:
            made: str | list[str] = self.add(_SAME[kind], self.inputs(node))
        elif kind in _HANDLERS:
            made = _HANDLERS[kind](self, node)
        else:
            raise NotInOnnx(f"It has an operation {kind}.")
        for index, name in enumerate([made] if isinstance(made, str) else made):
            self._names[node.get_name(), index] = name

    def _enter(self, node: Any) -> None:
        name = _name_of(node.output(0))
        self._names[node.get_name(), 0] = name
        self._describe(self._graph.input.add(name=name.encode()), node.output(0))

    def _leave(self, node: Any) -> None:
        name = _name_of(node.output(0))
        node_made = self._graph.node.add(op_type=b"Identity", name=name.encode(), output=[name.encode()])
        node_made.input.append(self.tensor(node.input_value(0)).encode())
        self._describe(self._graph.output.add(name=name.encode()), node.output(0))

    def _describe(self, value: Any, output: Any) -> None:
        about = value.type.tensor_type
        about.elem_type = _TYPES[str(output.get_element_type().to_dtype())]
        for side in output.get_partial_shape():
            dimension = about.shape.dim.add()
            if side.is_dynamic:
                dimension.dim_param = b"batch"
            else:
                dimension.dim_value = side.get_length()

    def inputs(self, node: Any) -> list[str]:
        """Returns the names of the tensors that a node takes."""
        return [self.tensor(value) for value in node.input_values()]

    def tensor(self, output: "openvino.Output") -> str:
        """Returns the name of a tensor."""
        key = (output.get_node().get_name(), output.get_index())
        if key not in self._names:
            value = constant(output)
            if value is None:
                raise NotInOnnx("It uses the second output of an operation.")
            self._names[key] = self.constant(value)
        return self._names[key]

    def constant(self, value: np.ndarray) -> str:
        """Adds a constant, whole numbers as int64, and returns its name."""
        name = self._new_name()
        if value.dtype.kind in "iu" and value.dtype != np.uint8:
            value = value.astype(np.int64)
        if str(value.dtype) not in _TYPES:
            raise NotInOnnx(f"It has constants of {value.dtype}.")
        self._graph.initializer.add(
            name=name.encode(), dims=value.shape, data_type=_TYPES[str(value.dtype)], raw_data=value.tobytes()
        )
        return name

    def integers(self, *values: int) -> str:
        """Adds a constant of int64 and returns its name."""
        return self.constant(np.array(values, np.int64))

    def number(self, value: float) -> str:
        """Adds a number and returns its name."""
        return self.constant(np.array(value, np.float32))

    def add(self, kind: str, inputs: Sequence[str], **attributes: "float | str | Sequence[int]") -> str:
        """Adds an operation and returns the name of its output."""
        name = self._new_name()
        node = self._graph.node.add(op_type=kind.encode(), name=name.encode(), output=[name.encode()])
        node.input.extend(text.encode() for text in inputs)
        for key, value in attributes.items():
            if isinstance(value, bool | int):
                node.attribute.add(name=key.encode(), type=2, i=int(value))
            elif isinstance(value, float):
                node.attribute.add(name=key.encode(), type=1, f=value)
            elif isinstance(value, str):
                node.attribute.add(name=key.encode(), type=3, s=value.encode())
            else:
                node.attribute.add(name=key.encode(), type=7, ints=[int(one) for one in value])
        return name

    def _new_name(self) -> str:
        self._count += 1
        return f"t{self._count}"


_Handler = Callable[[_Writing, Any], str | list[str]]


def _name_of(output: Any) -> str:
    return str(min(output.get_names(), default=output.get_node().get_friendly_name()))


def _known(node: Any, index: int) -> np.ndarray:
    """Returns the value of an input that has to be a constant."""
    value = constant(node.input_value(index))
    if value is None:
        raise NotInOnnx(f"It has an operation {node.get_type_name()} with an input {index} that is computed.")
    return value


def _padding(given: Any) -> dict[str, Any]:
    """Returns the attributes by which a window is padded."""
    auto_pad = str(given["auto_pad"])
    if auto_pad.startswith("same"):
        return {"auto_pad": auto_pad.upper()}
    begins, ends = given["pads_begin"], given["pads_end"]
    return {"pads": [0] * (2 * len(begins)) if auto_pad == "valid" else [*begins, *ends]}


def _convolution(writing: _Writing, node: Any) -> str:
    given, kernel = node.get_attributes(), _known(node, 1)
    groups = 1
    if node.get_type_name() == "GroupConvolution":
        groups = kernel.shape[0]
        kernel = kernel.reshape(-1, *kernel.shape[2:])
    inputs = [writing.tensor(node.input_value(0)), writing.constant(np.ascontiguousarray(kernel))]
    windows = {"strides": given["strides"], "dilations": given["dilations"], **_padding(given)}
    return writing.add("Conv", inputs, kernel_shape=kernel.shape[2:], group=groups, **windows)


def _pool(writing: _Writing, node: Any) -> str:
    given = node.get_attributes()
    is_max = node.get_type_name() == "MaxPool"
    further = {"dilations": given.get("dilations") or [1] * len(given["kernel"])} if is_max else {}
    if not is_max:
        further = {"count_include_pad": [0, 1][not given["exclude-pad"]]}
    return writing.add(
        "MaxPool" if is_max else "AveragePool",
        [writing.tensor(node.input_value(0))],
        kernel_shape=given["kernel"],
        strides=given["strides"],
        ceil_mode=int(str(given["rounding_type"]).startswith("ceil")),
        **_padding(given),
        **further,
    )


def _reduce(writing: _Writing, node: Any) -> str:
    axes = [int(axis) for axis in np.atleast_1d(_known(node, 1))]
    source, keep = writing.tensor(node.input_value(0)), int(node.get_attributes()["keep_dims"])
    if node.get_type_name() == "ReduceSum":
        return writing.add("ReduceSum", [source, writing.integers(*axes)], keepdims=keep)
    return writing.add(_REDUCTIONS[node.get_type_name()], [source], axes=axes, keepdims=keep)


def _matmul(writing: _Writing, node: Any) -> str:
    given = node.get_attributes()
    inputs = writing.inputs(node)
    for index, key in enumerate(("transpose_a", "transpose_b")):
        if given[key]:
            rank = node.input_value(index).get_partial_shape().rank.get_length()
            order = [*range(rank - 2), rank - 1, rank - 2]
            inputs[index] = writing.add("Transpose", [inputs[index]], perm=order)
    return writing.add("MatMul", inputs)


def _einsum(writing: _Writing, node: Any) -> str:
    return writing.add("Einsum", writing.inputs(node), equation=str(node.get_attributes()["equation"]))


def _attention(writing: _Writing, node: Any) -> str:
    """Scaled products of queries and keys, softmax, and products with values (Vaswani et al., 2017); without a mask."""
    if node.get_attributes()["causal"] or node.get_input_size() not in {3, 5}:
        raise NotInOnnx("It has attention with a mask.")
    query, key, value = writing.inputs(node)[:3]
    shape = node.get_input_partial_shape(1)
    rank = shape.rank.get_length()
    if node.get_input_size() == 5:
        mask = constant(node.input_value(3))
        if mask is None or mask.any() or mask.dtype == bool:
            raise NotInOnnx("It has attention with a mask.")
        scale = writing.tensor(node.input_value(4))
    else:
        scale = writing.number(shape[rank - 1].get_length() ** -0.5)
    turned = writing.add("Transpose", [key], perm=[*range(rank - 2), rank - 1, rank - 2])
    products = writing.add("MatMul", [writing.add("Mul", [query, scale]), turned])
    return writing.add("MatMul", [writing.add("Softmax", [products], axis=-1), value])


def _transpose(writing: _Writing, node: Any) -> str:
    return writing.add("Transpose", [writing.tensor(node.input_value(0))], perm=_known(node, 1).tolist())


def _reshape(writing: _Writing, node: Any) -> str:
    return writing.add("Reshape", writing.inputs(node), allowzero=int(not node.get_attributes()["special_zero"]))


def _concat(writing: _Writing, node: Any) -> str:
    return writing.add("Concat", writing.inputs(node), axis=int(node.get_attributes()["axis"]))


def _convert(writing: _Writing, node: Any) -> str:
    kind = str(node.get_output_element_type(0).to_dtype())
    kind = "int64" if "int" in kind and kind != "uint8" else kind  # As all whole numbers but pixels.
    return writing.add("Cast", [writing.tensor(node.input_value(0))], to=_TYPES[kind])


def _clamp(writing: _Writing, node: Any) -> str:
    given = node.get_attributes()
    limits = [writing.number(given["min"]), writing.number(given["max"])]
    return writing.add("Clip", [writing.tensor(node.input_value(0)), *limits])


def _softmax(writing: _Writing, node: Any) -> str:
    return writing.add("Softmax", [writing.tensor(node.input_value(0))], axis=int(node.get_attributes()["axis"]))


def _elu(writing: _Writing, node: Any) -> str:
    return writing.add("Elu", [writing.tensor(node.input_value(0))], alpha=float(node.get_attributes()["alpha"]))


def _gelu(writing: _Writing, node: Any) -> str:
    """0.5 x (1 + erf(x / √2)), or the same by tanh (Hendrycks and Gimpel, 2016)."""
    x = writing.tensor(node.input_value(0))
    if "tanh" in str(node.get_attributes().get("approximation_mode", "erf")).lower():
        cubic = writing.add("Mul", [writing.number(0.044715), writing.add("Pow", [x, writing.number(3.0)])])
        inner = writing.add("Mul", [writing.number(np.sqrt(2 / np.pi)), writing.add("Add", [x, cubic])])
        curve = writing.add("Tanh", [inner])
    else:
        curve = writing.add("Erf", [writing.add("Div", [x, writing.number(np.sqrt(2))])])
    half = writing.add("Mul", [x, writing.number(0.5)])
    return writing.add("Mul", [half, writing.add("Add", [curve, writing.number(1.0)])])


def _swish(writing: _Writing, node: Any) -> str:
    x, *beta = writing.inputs(node)
    return writing.add("Mul", [x, writing.add("Sigmoid", [writing.add("Mul", [x, *beta]) if beta else x])])


def _mish(writing: _Writing, node: Any) -> str:
    (x,) = writing.inputs(node)
    return writing.add("Mul", [x, writing.add("Tanh", [writing.add("Softplus", [x])])])


def _hard_sigmoid(writing: _Writing, node: Any) -> str:
    alpha, beta = 1 / 6, 0.5
    if node.get_type_name() == "HardSigmoid":
        alpha, beta = float(_known(node, 1)), float(_known(node, 2))
    return writing.add("HardSigmoid", [writing.tensor(node.input_value(0))], alpha=alpha, beta=beta)


def _prelu(writing: _Writing, node: Any) -> str:
    slope = _known(node, 1)
    rank = node.input_value(0).get_partial_shape().rank.get_length()
    if slope.ndim == 1 and slope.size > 1:  # One for each channel, which is the second axis.
        slope = slope.reshape(-1, *[1] * (rank - 2))
    return writing.add("PRelu", [writing.tensor(node.input_value(0)), writing.constant(slope)])


def _squared_difference(writing: _Writing, node: Any) -> str:
    difference = writing.add("Sub", writing.inputs(node))
    return writing.add("Mul", [difference, difference])


def _normalise(writing: _Writing, node: Any) -> str:
    """MVN: the mean over some axes is 0 then and, if that is wanted, the variance 1."""
    given = node.get_attributes()
    axes = [int(axis) for axis in np.atleast_1d(_known(node, 1))]
    x = writing.tensor(node.input_value(0))
    centred = writing.add("Sub", [x, writing.add("ReduceMean", [x], axes=axes, keepdims=1)])
    if not given["normalize_variance"]:
        return centred
    squares = writing.add("Mul", [centred, centred])
    variance = writing.add("ReduceMean", [squares], axes=axes, keepdims=1)
    epsilon = writing.number(given["eps"])
    if str(given["eps_mode"]).lower() == "inside_sqrt":
        return writing.add("Div", [centred, writing.add("Sqrt", [writing.add("Add", [variance, epsilon])])])
    return writing.add("Div", [centred, writing.add("Add", [writing.add("Sqrt", [variance]), epsilon])])


def _batch_norm(writing: _Writing, node: Any) -> str:
    return writing.add("BatchNormalization", writing.inputs(node), epsilon=float(node.get_attributes()["epsilon"]))


def _gather(writing: _Writing, node: Any) -> str:
    data, indices, _ = node.input_values()
    return writing.add("Gather", [writing.tensor(data), writing.tensor(indices)], axis=int(_known(node, 2)))


def _pad(writing: _Writing, node: Any) -> str:
    mode = str(node.get_attributes()["pad_mode"]).lower()
    pads = writing.integers(*map(int, [*_known(node, 1), *_known(node, 2)]))
    value = [writing.tensor(node.input_value(3))] if mode == "constant" and node.get_input_size() > 3 else []
    return writing.add("Pad", [writing.tensor(node.input_value(0)), pads, *value], mode=mode)


def _broadcast(writing: _Writing, node: Any) -> str:
    if str(node.get_attributes()["mode"]).lower() not in {"numpy", "bidirectional"}:
        raise NotInOnnx("It has an operation Broadcast along named axes.")
    return writing.add("Expand", writing.inputs(node)[:2])


def _split(writing: _Writing, node: Any) -> list[str]:
    """Slices, one for each part."""
    axis, parts = int(_known(node, 1)), node.get_output_size()
    sides = [output.get_partial_shape()[axis] for output in node.outputs()]
    if any(side.is_dynamic for side in sides):
        raise NotInOnnx("It has an operation that splits an axis of any length.")
    ends = np.cumsum([side.get_length() for side in sides]).tolist()
    source, along = writing.tensor(node.input_value(0)), writing.integers(axis)
    starts = [0, *ends[:-1]]
    return [
        writing.add("Slice", [source, writing.integers(starts[part]), writing.integers(ends[part]), along])
        for part in range(parts)
    ]


def _slice(writing: _Writing, node: Any) -> str:
    data, start, stop, step, *axes = writing.inputs(node)
    if not axes:
        axes = [writing.integers(*range(len(_known(node, 1))))]
    return writing.add("Slice", [data, start, stop, *axes, step])


def _strided_slice(writing: _Writing, node: Any) -> str:
    given = node.get_attributes()
    if any(any(given[mask]) for mask in ("new_axis_mask", "ellipsis_mask")):
        raise NotInOnnx("It has an operation StridedSlice that adds axes.")
    starts, stops = (_known(node, index).astype(np.int64) for index in (1, 2))
    steps = _known(node, 3).astype(np.int64) if node.get_input_size() > 3 else np.ones_like(starts)
    for number in range(len(starts)):
        if _is_set(given["begin_mask"], number):
            starts[number] = 0 if steps[number] > 0 else _LAST
        if _is_set(given["end_mask"], number):
            stops[number] = _LAST if steps[number] > 0 else -_LAST
        if _is_set(given["shrink_axis_mask"], number):
            stops[number] = starts[number] + 1 or _LAST
    parts = [writing.constant(values) for values in (starts, stops, np.arange(len(starts)), steps)]
    cut = writing.add("Slice", [writing.tensor(node.input_value(0)), *parts])
    gone = [number for number in range(len(starts)) if _is_set(given["shrink_axis_mask"], number)]
    return writing.add("Squeeze", [cut, writing.integers(*gone)]) if gone else cut


def _is_set(mask: Sequence[int], number: int) -> bool:
    return number < len(mask) and bool(mask[number])


_HANDLERS: Final[dict[str, _Handler]] = {
    **dict.fromkeys((*_REDUCTIONS, "ReduceSum"), _reduce),
    **dict.fromkeys(("Convolution", "GroupConvolution"), _convolution),
    **dict.fromkeys(("MaxPool", "AvgPool"), _pool),
    **dict.fromkeys(("HSigmoid", "HardSigmoid"), _hard_sigmoid),
    **dict.fromkeys(("SoftMax", "Softmax"), _softmax),
    **dict.fromkeys(("Split", "VariadicSplit"), _split),
    "BatchNormInference": _batch_norm,
    "Broadcast": _broadcast,
    "Clamp": _clamp,
    "Concat": _concat,
    "Convert": _convert,
    "Einsum": _einsum,
    "Elu": _elu,
    "Gather": _gather,
    "Gelu": _gelu,
    "MVN": _normalise,
    "MatMul": _matmul,
    "Mish": _mish,
    "PRelu": _prelu,
    "Pad": _pad,
    "Reshape": _reshape,
    "ScaledDotProductAttention": _attention,
    "Slice": _slice,
    "SquaredDifference": _squared_difference,
    "StridedSlice": _strided_slice,
    "Swish": _swish,
    "Transpose": _transpose,
}
