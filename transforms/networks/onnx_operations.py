"""What OpenVINO's operations are in ONNX: one or a few of opset 17 each, in float32."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from transforms.networks.onnx_graph import TYPES, NotInOnnx, OnnxGraph
from transforms.networks.simplification import constant

_LAST: Final = 2**63 - 1

# Operations that are the same, and those of them that have another name.
_SAME: Final = {
    **{
        name: name
        for name in (
            "Abs", "Add", "Erf", "Exp", "Floor", "Log", "Range", "Relu", "Sigmoid", "Sqrt", "Squeeze", "Tanh",
            "Unsqueeze",
        )
    },
    "Ceiling": "Ceil", "Divide": "Div", "HSwish": "HardSwish", "Maximum": "Max", "Minimum": "Min", "Multiply": "Mul",
    "Negative": "Neg", "Power": "Pow", "ShapeOf": "Shape", "SoftPlus": "Softplus", "SoftSign": "Softsign",
    "Subtract": "Sub",
}  # fmt: skip
# Those that take their axes as an attribute; all have the same names.
_REDUCTIONS: Final = ("ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd")

_Handler = Callable[[OnnxGraph, Any], str | list[str]]


def add_operation(graph: OnnxGraph, node: Any) -> list[str]:
    """Adds what computes the outputs of an operation of OpenVINO, and returns their names.

    Raises:
        NotInOnnx: If it is not written as ONNX.
    """
    kind = node.get_type_name()
    if kind in _SAME:
        return [graph.add(_SAME[kind], graph.inputs(node))]
    if kind not in _HANDLERS:
        raise NotInOnnx(f"It has an operation {kind}.")
    made = _HANDLERS[kind](graph, node)
    return [made] if isinstance(made, str) else made


def _known(node: Any, index: int) -> np.ndarray:
    """Returns the value of an input that has to be a constant."""
    value = constant(node.input_value(index))
    if value is None:
        raise NotInOnnx(f"It has an operation {node.get_type_name()} with an input {index} that is computed.")
    return value


def _axes(node: Any) -> list[int]:
    """Returns the axes over which a node reduces."""
    return [int(axis) for axis in np.atleast_1d(_known(node, 1))]


def _padding(given: Any) -> dict[str, Any]:
    """Returns the attributes by which a window is padded."""
    auto_pad = str(given["auto_pad"])
    if auto_pad.startswith("same"):
        return {"auto_pad": auto_pad.upper()}
    begins, ends = given["pads_begin"], given["pads_end"]
    return {"pads": [0] * (2 * len(begins)) if auto_pad == "valid" else [*begins, *ends]}


def _convolution(graph: OnnxGraph, node: Any) -> str:
    given, kernel = node.get_attributes(), _known(node, 1)
    groups = 1
    if node.get_type_name() == "GroupConvolution":
        groups = kernel.shape[0]
        kernel = kernel.reshape(-1, *kernel.shape[2:])
    inputs = [graph.tensor(node.input_value(0)), graph.constant(np.ascontiguousarray(kernel))]
    windows = {"strides": given["strides"], "dilations": given["dilations"], **_padding(given)}
    return graph.add("Conv", inputs, kernel_shape=kernel.shape[2:], group=groups, **windows)


def _pool(graph: OnnxGraph, node: Any) -> str:
    given = node.get_attributes()
    if node.get_type_name() == "MaxPool":
        kind, further = "MaxPool", {"dilations": given.get("dilations") or [1] * len(given["kernel"])}
    else:
        kind, further = "AveragePool", {"count_include_pad": int(not given["exclude-pad"])}
    return graph.add(
        kind,
        [graph.tensor(node.input_value(0))],
        kernel_shape=given["kernel"],
        strides=given["strides"],
        ceil_mode=int(str(given["rounding_type"]).startswith("ceil")),
        **_padding(given),
        **further,
    )


def _reduce(graph: OnnxGraph, node: Any) -> str:
    axes = _axes(node)
    source, keep = graph.tensor(node.input_value(0)), int(node.get_attributes()["keep_dims"])
    if node.get_type_name() == "ReduceSum":
        return graph.add("ReduceSum", [source, graph.integers(*axes)], keepdims=keep)
    return graph.add(node.get_type_name(), [source], axes=axes, keepdims=keep)


def _matmul(graph: OnnxGraph, node: Any) -> str:
    given = node.get_attributes()
    inputs = graph.inputs(node)
    for index, key in enumerate(("transpose_a", "transpose_b")):
        if given[key]:
            inputs[index] = _turned(graph, inputs[index], _rank(node, index))
    return graph.add("MatMul", inputs)


def _rank(node: Any, index: int) -> int:
    """Returns how many axes an input has."""
    return int(node.input_value(index).get_partial_shape().rank.get_length())


def _turned(graph: OnnxGraph, matrices: str, rank: int) -> str:
    """Adds a transposition of the last two axes."""
    return graph.add("Transpose", [matrices], perm=[*range(rank - 2), rank - 1, rank - 2])


def _einsum(graph: OnnxGraph, node: Any) -> str:
    return graph.add("Einsum", graph.inputs(node), equation=str(node.get_attributes()["equation"]))


def _attention(graph: OnnxGraph, node: Any) -> str:
    """Scaled products of queries and keys, softmax, and products with values (Vaswani et al., 2017); without a mask."""
    if node.get_attributes()["causal"] or node.get_input_size() not in {3, 5}:
        raise NotInOnnx("It has attention with a mask.")
    query, key, value = graph.inputs(node)[:3]
    if node.get_input_size() == 5:
        mask = constant(node.input_value(3))
        if mask is None or mask.any() or mask.dtype == bool:
            raise NotInOnnx("It has attention with a mask.")
        scale = graph.tensor(node.input_value(4))
    else:
        scale = graph.number(node.get_input_partial_shape(1)[-1].get_length() ** -0.5)
    products = graph.add("MatMul", [graph.add("Mul", [query, scale]), _turned(graph, key, _rank(node, 1))])
    return graph.add("MatMul", [graph.add("Softmax", [products], axis=-1), value])


def _transpose(graph: OnnxGraph, node: Any) -> str:
    return graph.add("Transpose", [graph.tensor(node.input_value(0))], perm=_known(node, 1).tolist())


def _reshape(graph: OnnxGraph, node: Any) -> str:
    return graph.add("Reshape", graph.inputs(node), allowzero=int(not node.get_attributes()["special_zero"]))


def _concat(graph: OnnxGraph, node: Any) -> str:
    return graph.add("Concat", graph.inputs(node), axis=int(node.get_attributes()["axis"]))


def _convert(graph: OnnxGraph, node: Any) -> str:
    kind = str(node.get_output_element_type(0).to_dtype())
    kind = "int64" if "int" in kind and kind != "uint8" else kind  # As all whole numbers but pixels.
    return graph.add("Cast", [graph.tensor(node.input_value(0))], to=TYPES[kind])


def _clamp(graph: OnnxGraph, node: Any) -> str:
    given = node.get_attributes()
    limits = [graph.number(given["min"]), graph.number(given["max"])]
    return graph.add("Clip", [graph.tensor(node.input_value(0)), *limits])


def _softmax(graph: OnnxGraph, node: Any) -> str:
    return graph.add("Softmax", [graph.tensor(node.input_value(0))], axis=int(node.get_attributes()["axis"]))


def _elu(graph: OnnxGraph, node: Any) -> str:
    return graph.add("Elu", [graph.tensor(node.input_value(0))], alpha=float(node.get_attributes()["alpha"]))


def _gelu(graph: OnnxGraph, node: Any) -> str:
    """0.5 x (1 + erf(x / √2)), or the same by tanh (Hendrycks and Gimpel, 2016)."""
    x = graph.tensor(node.input_value(0))
    if "tanh" in str(node.get_attributes().get("approximation_mode", "erf")).lower():
        cubic = graph.add("Mul", [graph.number(0.044715), graph.add("Pow", [x, graph.number(3.0)])])
        inner = graph.add("Mul", [graph.number(np.sqrt(2 / np.pi)), graph.add("Add", [x, cubic])])
        curve = graph.add("Tanh", [inner])
    else:
        curve = graph.add("Erf", [graph.add("Div", [x, graph.number(np.sqrt(2))])])
    half = graph.add("Mul", [x, graph.number(0.5)])
    return graph.add("Mul", [half, graph.add("Add", [curve, graph.number(1.0)])])


def _swish(graph: OnnxGraph, node: Any) -> str:
    x, *beta = graph.inputs(node)
    return graph.add("Mul", [x, graph.add("Sigmoid", [graph.add("Mul", [x, *beta]) if beta else x])])


def _mish(graph: OnnxGraph, node: Any) -> str:
    (x,) = graph.inputs(node)
    return graph.add("Mul", [x, graph.add("Tanh", [graph.add("Softplus", [x])])])


def _hard_sigmoid(graph: OnnxGraph, node: Any) -> str:
    alpha, beta = 1 / 6, 0.5
    if node.get_type_name() == "HardSigmoid":
        alpha, beta = float(_known(node, 1)), float(_known(node, 2))
    return graph.add("HardSigmoid", [graph.tensor(node.input_value(0))], alpha=alpha, beta=beta)


def _prelu(graph: OnnxGraph, node: Any) -> str:
    slope = _known(node, 1)
    if slope.ndim == 1 and slope.size > 1:  # One for each channel, which is the second axis.
        slope = slope.reshape(-1, *[1] * (_rank(node, 0) - 2))
    return graph.add("PRelu", [graph.tensor(node.input_value(0)), graph.constant(slope)])


def _squared_difference(graph: OnnxGraph, node: Any) -> str:
    difference = graph.add("Sub", graph.inputs(node))
    return graph.add("Mul", [difference, difference])


def _normalise(graph: OnnxGraph, node: Any) -> str:
    """MVN: the mean over some axes is 0 then and, if that is wanted, the variance 1."""
    given = node.get_attributes()
    axes = _axes(node)
    x = graph.tensor(node.input_value(0))
    centred = graph.add("Sub", [x, graph.add("ReduceMean", [x], axes=axes, keepdims=1)])
    if not given["normalize_variance"]:
        return centred
    squares = graph.add("Mul", [centred, centred])
    variance = graph.add("ReduceMean", [squares], axes=axes, keepdims=1)
    epsilon = graph.number(given["eps"])
    if str(given["eps_mode"]).lower() == "inside_sqrt":
        return graph.add("Div", [centred, graph.add("Sqrt", [graph.add("Add", [variance, epsilon])])])
    return graph.add("Div", [centred, graph.add("Add", [graph.add("Sqrt", [variance]), epsilon])])


def _batch_norm(graph: OnnxGraph, node: Any) -> str:
    return graph.add("BatchNormalization", graph.inputs(node), epsilon=float(node.get_attributes()["epsilon"]))


def _gather(graph: OnnxGraph, node: Any) -> str:
    data, indices, _ = node.input_values()
    return graph.add("Gather", [graph.tensor(data), graph.tensor(indices)], axis=int(_known(node, 2)))


def _pad(graph: OnnxGraph, node: Any) -> str:
    mode = str(node.get_attributes()["pad_mode"]).lower()
    pads = graph.integers(*map(int, [*_known(node, 1), *_known(node, 2)]))
    value = [graph.tensor(node.input_value(3))] if mode == "constant" and node.get_input_size() > 3 else []
    return graph.add("Pad", [graph.tensor(node.input_value(0)), pads, *value], mode=mode)


def _broadcast(graph: OnnxGraph, node: Any) -> str:
    if str(node.get_attributes()["mode"]).lower() not in {"numpy", "bidirectional"}:
        raise NotInOnnx("It has an operation Broadcast along named axes.")
    return graph.add("Expand", graph.inputs(node)[:2])


def _split(graph: OnnxGraph, node: Any) -> list[str]:
    """Slices, one for each part."""
    axis, parts = int(_known(node, 1)), node.get_output_size()
    sides = [output.get_partial_shape()[axis] for output in node.outputs()]
    if any(side.is_dynamic for side in sides):
        raise NotInOnnx("It has an operation that splits an axis of any length.")
    ends = np.cumsum([side.get_length() for side in sides]).tolist()
    source, along = graph.tensor(node.input_value(0)), graph.integers(axis)
    starts = [0, *ends[:-1]]
    return [
        graph.add("Slice", [source, graph.integers(starts[part]), graph.integers(ends[part]), along])
        for part in range(parts)
    ]


def _slice(graph: OnnxGraph, node: Any) -> str:
    data, start, stop, step, *axes = graph.inputs(node)
    if not axes:
        axes = [graph.integers(*range(len(_known(node, 1))))]
    return graph.add("Slice", [data, start, stop, *axes, step])


def _strided_slice(graph: OnnxGraph, node: Any) -> str:
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
    parts = [graph.constant(values) for values in (starts, stops, np.arange(len(starts)), steps)]
    cut = graph.add("Slice", [graph.tensor(node.input_value(0)), *parts])
    gone = [number for number in range(len(starts)) if _is_set(given["shrink_axis_mask"], number)]
    return graph.add("Squeeze", [cut, graph.integers(*gone)]) if gone else cut


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
