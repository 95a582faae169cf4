"""Channel layout: a network that keeps its channels last, rewritten to keep them first.

Keras's OpenVINO backend wraps every convolution, pooling and batch normalisation of a channels-last model in
transposes, for OpenVINO's own operations want the channels first. OpenVINO keeps them when it compiles the network:
they were a third to a half of the time of a base, and between a convolution and its activation they stop the two from
being fused.

Here every transpose is carried down the network instead of being computed: a tensor is remembered together with the
order in which its consumers expect its axes, operations are given the axes' new positions, and a transpose that meets
its inverse is gone. What is left is one transpose of the uint8 pixels, and one of each feature map that is an output.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from transforms.networks.simplification import (
    constant,
    fold_constants,
    gather_channels,
    integers,
    keeps_type,
    pad_in_pooling,
)

if TYPE_CHECKING:
    import openvino

_ELEMENT_WISE: Final = frozenset(
    {
        "Abs", "Add", "Clamp", "Convert", "Divide", "Elu", "Erf", "Exp", "Gelu", "HSigmoid", "HSwish", "HardSigmoid",
        "Log", "Maximum", "Minimum", "Mish", "Mod", "Multiply", "Negative", "PRelu", "Power", "Relu", "Sigmoid",
        "SoftPlus", "SoftSign", "Sqrt", "SquaredDifference", "Subtract", "Swish", "Tanh",
    }
)  # fmt: skip
_REDUCTIONS: Final = frozenset({"ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceL2"})
_CHANNELS_FIRST: Final = (0, 3, 1, 2)
_CHANNELS_LAST: Final = (0, 2, 3, 1)


class _Tensor(NamedTuple):
    """A tensor of the rewritten network, in place of one of the original.

    Attributes:
        output: What computes it.
        axes: The original tensor is `transpose(output, axes)`.
    """

    output: "openvino.Output"
    axes: tuple[int, ...]

    @property
    def is_original(self) -> bool:
        """Whether it equals the original tensor."""
        return self.axes == tuple(range(len(self.axes)))


def to_channels_first(network: "openvino.Model") -> None:
    """Rewrites a network in place, so that no feature map is transposed between its first and its last operation.

    The network takes the same inputs and gives the same outputs, to the rounding of float32.

    Args:
        network: Its inputs are [N, H, W, C], for any N.
    """
    from openvino._offline_transformations import apply_moc_transformations

    fold_constants(network)
    gather_channels(network)
    _Rewriting().run(network)
    network.validate_nodes_and_infer_types()
    pad_in_pooling(network)
    apply_moc_transformations(network, cf=True)


class _Rewriting:
    """Goes down a network and remembers for each tensor what computes it now."""

    def __init__(self) -> None:
        self._tensors: dict[tuple[str, int], _Tensor] = {}

    def run(self, network: "openvino.Model") -> None:
        for node in network.get_ordered_ops():
            kind = node.get_type_name()
            if kind == "Parameter":
                self._enter(node)
            elif kind == "Transpose":
                self._absorb(node)
            elif keeps_type(node):
                self._set(node, self._tensor(node.input_value(0)))
            elif kind != "Constant":
                self._rewrite(node, _HANDLERS.get(kind, _cannot))

    def _enter(self, node: Any) -> None:
        if node.get_partial_shape().rank.get_length() == 4:
            self._set(node, _Tensor(_transposed(node.output(0), _CHANNELS_FIRST), _CHANNELS_LAST))

    def _absorb(self, node: Any) -> None:
        order = constant(node.input_value(1))
        source = self._tensor(node.input_value(0))
        if order is None:
            self._rewrite(node, _cannot)
        else:
            self._set(node, _Tensor(source.output, tuple(source.axes[axis] for axis in order)))

    def _rewrite(self, node: Any, handler: "_Handler") -> None:
        sources = [self._tensor(value) for value in node.input_values()]
        moved = None if all(source.is_original for source in sources) else handler(node, sources)
        if moved is None:
            _connect(node, [_restored(source) for source in sources])
        else:
            self._set(node, moved)
        node.validate_and_infer_types()

    def _tensor(self, output: "openvino.Output") -> _Tensor:
        found = self._tensors.get((output.get_node().get_name(), output.get_index()))
        return found or _Tensor(output, tuple(range(output.get_partial_shape().rank.get_length())))

    def _set(self, node: Any, tensor: _Tensor) -> None:
        self._tensors[node.get_name(), 0] = tensor


# A handler connects a node to the rewritten tensors and returns what stands for its output; None, having changed
# nothing, if the node needs the original tensors.
_Handler = Callable[[Any, Sequence[_Tensor]], _Tensor | None]


def _cannot(_node: Any, _sources: Sequence[_Tensor]) -> None:
    """Handles operations that say nothing of their axes."""


def _connect(node: Any, outputs: Sequence["openvino.Output"]) -> None:
    """Makes outputs the first inputs of a node."""
    for index, output in enumerate(outputs):
        node.input(index).replace_source_output(output)


def _element_wise(node: Any, sources: Sequence[_Tensor]) -> _Tensor | None:
    axes = next(source.axes for source in sources if not source.is_original)
    aligned = [_aligned(source, axes) for source in sources]
    if any(output is None for output in aligned):
        return None
    _connect(node, aligned)
    return _Tensor(node.output(0), axes)


def _concat(node: Any, sources: Sequence[_Tensor]) -> _Tensor | None:
    moved = _element_wise(node, sources)
    if moved is not None:
        node.set_attribute("axis", moved.axes[node.get_attributes()["axis"]])
    return moved


def _batch_norm(node: Any, sources: Sequence[_Tensor]) -> _Tensor | None:
    axes = sources[0].axes
    if axes[1] != 1:
        return None
    _connect(node, [source.output for source in sources])
    return _Tensor(node.output(0), axes)


def _reduce(node: Any, sources: Sequence[_Tensor]) -> _Tensor | None:
    data, reduced = sources
    values = constant(reduced.output)
    if values is None:
        return None
    rank = len(data.axes)
    original = {int(axis) % rank for axis in np.atleast_1d(values)}
    _connect(node, [data.output, integers(sorted(data.axes[axis] for axis in original))])
    if node.get_attributes()["keep_dims"]:
        return _Tensor(node.output(0), data.axes)
    kept = [data.axes[axis] for axis in range(rank) if axis not in original]
    return _Tensor(node.output(0), tuple(sorted(kept).index(axis) for axis in kept))


def _gather(node: Any, sources: Sequence[_Tensor]) -> _Tensor | None:
    data, indices, axis = sources
    gathered, values = constant(axis.output), constant(indices.output)
    if gathered is None or values is None or values.ndim != 1:
        return None
    _connect(node, [data.output, indices.output, integers(data.axes[int(gathered)])])
    return _Tensor(node.output(0), data.axes)


def _pad(node: Any, sources: Sequence[_Tensor]) -> _Tensor | None:
    data = sources[0]
    begins, ends = constant(sources[1].output), constant(sources[2].output)
    if begins is None or ends is None:
        return None
    order = list(_inverse(data.axes))
    _connect(node, [data.output, integers(begins[order]), integers(ends[order])])
    return _Tensor(node.output(0), data.axes)


def _slice(node: Any, sources: Sequence[_Tensor]) -> _Tensor | None:
    data = sources[0]
    sliced = constant(sources[4].output) if len(sources) > 4 else None
    if sliced is None:
        return None
    _connect(node, [*(source.output for source in sources[:4]), integers([data.axes[axis] for axis in sliced])])
    return _Tensor(node.output(0), data.axes)


def _dense(node: Any, sources: Sequence[_Tensor]) -> _Tensor | None:
    """A product over the channels is a convolution of one pixel."""
    from openvino import opset13

    data, matrix = sources
    values = constant(matrix.output)
    transposed = node.get_attributes()
    if data.axes != _CHANNELS_LAST or values is None or values.ndim != 2 or transposed["transpose_a"]:
        return None
    kernel = values if transposed["transpose_b"] else np.ascontiguousarray(values.T)
    convolved = opset13.convolution(
        data.output, opset13.constant(kernel[:, :, None, None]), [1, 1], [0, 0], [0, 0], [1, 1]
    )
    return _Tensor(convolved.output(0), _CHANNELS_LAST)


_HANDLERS: Final[dict[str, _Handler]] = {
    **dict.fromkeys(_ELEMENT_WISE, _element_wise),
    **dict.fromkeys(_REDUCTIONS, _reduce),
    "BatchNormInference": _batch_norm,
    "Concat": _concat,
    "Gather": _gather,
    "MatMul": _dense,
    "Pad": _pad,
    "Slice": _slice,
}


def _aligned(source: _Tensor, axes: tuple[int, ...]) -> "openvino.Output | None":
    """Returns the output that is to the original tensor as those with `axes` are, for an element-wise operation."""
    from openvino import opset13

    rank = len(source.axes)
    value = constant(source.output)
    if source.axes == axes or rank == 0:
        return source.output
    if value is not None and source.is_original and rank <= len(axes):
        full = value.reshape((1,) * (len(axes) - rank) + value.shape)
        return opset13.constant(np.ascontiguousarray(full.transpose(_inverse(axes)))).output(0)
    if rank != len(axes):
        return None
    return _transposed(source.output, tuple(source.axes[axis] for axis in _inverse(axes)))


def _restored(source: _Tensor) -> "openvino.Output":
    """Returns the original tensor."""
    return source.output if source.is_original else _transposed(source.output, source.axes)


def _transposed(output: "openvino.Output", axes: Sequence[int]) -> "openvino.Output":
    """Transposes a tensor; by a reshape where only axes of length one change places."""
    from openvino import opset13

    shape = output.get_partial_shape()
    lengths = [-1 if shape[axis].is_dynamic else shape[axis].get_length() for axis in axes]
    moved = [axis for axis, length in zip(axes, lengths, strict=True) if length != 1]
    if moved == sorted(moved) and -1 not in lengths[1:]:
        return opset13.reshape(output, integers([0, *lengths[1:]]), special_zero=True).output(0)
    return opset13.transpose(output, integers(axes)).output(0)


def _inverse(axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(int(axis) for axis in np.argsort(axes))
