"""Channel layout: a network that keeps its channels last, rewritten to keep them first.

Keras's OpenVINO backend wraps every convolution, pooling and batch normalisation of a channels-last model in
transposes, for OpenVINO's own operations want the channels first. OpenVINO keeps them when it compiles the network:
they were a third to a half of the time of a base, and between a convolution and its activation they stop the two from
being fused.

Here every transpose is carried down the network instead of being computed: a tensor is remembered together with the
order in which its consumers expect its axes, operations are told where the axes are now, and a transpose that meets its
inverse is gone. What is left is one transpose of the uint8 pixels, and one of each feature map that is an output.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

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

# Any batch size that no other axis has by chance: shapes are computed with it, and it is freed again.
_TRACED_BATCH: Final = 7919


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

    _fold_constants(network)
    _gather_channels(network)
    _Rewriting().run(network)
    network.validate_nodes_and_infer_types()
    _pad_in_pooling(network)
    apply_moc_transformations(network, cf=True)


def _fold_constants(network: "openvino.Model") -> None:
    """Computes what depends on shapes and constants alone; the batch size stays free."""
    from openvino import passes

    _free_batch_axis(network)
    _set_batch(network, _TRACED_BATCH)
    manager = passes.Manager()
    manager.register_pass(passes.ConstantFolding())
    manager.run_passes(network)
    _set_batch(network, -1)


def _set_batch(network: "openvino.Model", size: int) -> None:
    for parameter in network.get_parameters():
        shape = parameter.get_partial_shape()
        shape[0] = size
        parameter.set_partial_shape(shape)
    _free_batch_axis(network)
    network.validate_nodes_and_infer_types()


def _free_batch_axis(network: "openvino.Model") -> None:
    """Lets every reshape keep the batch's axis.

    Keras 3.15 traces with one picture and writes that 1 into the reshapes of squeeze-and-excitation blocks
    (EfficientNet), so that the exported network would take no other batch.
    """
    from openvino import opset13

    for node in network.get_ordered_ops():
        if node.get_type_name() != "Reshape":
            continue
        pattern = _constant(node.input_value(1))
        if pattern is not None and pattern[0] in {1, _TRACED_BATCH} and _has_batch(node.input_value(0)):
            shape = opset13.constant(np.array([0, *pattern[1:]], np.int64))
            _replace(node.output(0), opset13.reshape(node.input_value(0), shape, special_zero=True).output(0))


def _pad_in_pooling(network: "openvino.Model") -> None:
    """Lets a maximum over a map that was padded with zeros pad by itself, where the map holds nothing below zero."""
    for node in network.get_ordered_ops():
        pad = node.input_value(0).get_node() if node.get_type_name() == "MaxPool" else None
        if pad is None or pad.get_type_name() != "Pad" or pad.input_value(0).get_node().get_type_name() != "Relu":
            continue
        begins, ends, value = (_constant(pad.input_value(index)) for index in (1, 2, 3))
        given = node.get_attributes()
        if begins is None or ends is None or value != 0 or any(begins[:2]) or any(ends[:2]):
            continue
        pads, kernel = np.array([begins[2:], ends[2:]]), np.array(given["kernel"])
        is_explicit = given["auto_pad"] == "valid" or not (any(given["pads_begin"]) or any(given["pads_end"]))
        if is_explicit and (pads >= 0).all() and (pads < kernel).all():
            node.input(0).replace_source_output(pad.input_value(0))
            node.set_attribute("auto_pad", "explicit")
            node.set_attribute("pads_begin", pads[0].tolist())
            node.set_attribute("pads_end", pads[1].tolist())
    network.validate_nodes_and_infer_types()


def _gather_channels(network: "openvino.Model") -> None:
    """Makes one operation of a reversed axis (`x[..., ::-1]`), which Keras takes apart and puts together again."""
    from openvino import opset13

    for node in network.get_ordered_ops():
        if node.get_type_name() != "Concat":
            continue
        found = [_single_channel(value) for value in node.input_values()]
        gathered = [channel for channel in found if channel is not None]
        if (
            len(gathered) == len(found)
            and len({(source.get_node().get_name(), axis) for source, _, axis in gathered}) == 1
        ):
            source, _, axis = gathered[0]
            indices = [index for _, index, _ in gathered]
            _replace(node.output(0), opset13.gather(source, _integers(indices), _integers(axis)).output(0))
    network.validate_nodes_and_infer_types()


def _single_channel(output: "openvino.Output") -> "tuple[openvino.Output, int, int] | None":
    """Returns of which tensor, which index, and which axis an output is one slice of length one."""
    for kind in ("Unsqueeze", "Squeeze"):
        output = _through_converts(output)
        if output.get_node().get_type_name() != kind:
            return None
        output = output.get_node().input_value(0)
    node = _through_converts(output).get_node()
    if node.get_type_name() != "Gather":
        return None
    index, axis = (_constant(node.input_value(number)) for number in (1, 2))
    if index is None or axis is None or index.size != 1:
        return None
    return _through_converts(node.input_value(0)), int(index.item()), int(axis.item())


def _through_converts(output: "openvino.Output") -> "openvino.Output":
    """Follows an output back through conversions from a type to itself."""
    node = output.get_node()
    while node.get_type_name() == "Convert" and node.get_input_element_type(0) == node.get_output_element_type(0):
        output = node.input_value(0)
        node = output.get_node()
    return output


def _has_batch(output: "openvino.Output") -> bool:
    """Whether the first axis of a tensor is the batch's."""
    length = output.get_partial_shape()[0]
    return bool(length.is_dynamic or length.get_length() == _TRACED_BATCH)


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
            elif kind == "Convert" and node.get_input_element_type(0) == node.get_output_element_type(0):
                self._set(node, self._tensor(node.input_value(0)))
            elif kind != "Constant":
                self._rewrite(node, _HANDLERS.get(kind, _cannot))

    def _enter(self, node: Any) -> None:
        if node.get_partial_shape().rank.get_length() == 4:
            self._set(node, _Tensor(_transposed(node.output(0), _CHANNELS_FIRST), _CHANNELS_LAST))

    def _absorb(self, node: Any) -> None:
        order = _constant(node.input_value(1))
        source = self._tensor(node.input_value(0))
        if order is None:
            self._rewrite(node, _cannot)
        else:
            self._set(node, _Tensor(source.output, tuple(source.axes[axis] for axis in order)))

    def _rewrite(self, node: Any, handler: "_Handler") -> None:
        sources = [self._tensor(value) for value in node.input_values()]
        moved = None if all(source.is_original for source in sources) else handler(node, sources)
        if moved is None:
            _restore_all(node, sources)
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


def _restore_all(node: Any, sources: Sequence[_Tensor]) -> None:
    for index, source in enumerate(sources):
        node.input(index).replace_source_output(_restored(source))


def _element_wise(node: Any, sources: Sequence[_Tensor]) -> _Tensor | None:
    axes = next(source.axes for source in sources if not source.is_original)
    aligned = [_aligned(source, axes) for source in sources]
    if any(output is None for output in aligned):
        return None
    for index, output in enumerate(aligned):
        node.input(index).replace_source_output(output)
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
    for index, source in enumerate(sources):
        node.input(index).replace_source_output(source.output)
    return _Tensor(node.output(0), axes)


def _reduce(node: Any, sources: Sequence[_Tensor]) -> _Tensor | None:
    data, reduced = sources
    values = _constant(reduced.output)
    if values is None:
        return None
    rank = len(data.axes)
    original = {int(axis) % rank for axis in np.atleast_1d(values)}
    node.input(0).replace_source_output(data.output)
    node.input(1).replace_source_output(_integers(sorted(data.axes[axis] for axis in original)))
    if node.get_attributes()["keep_dims"]:
        return _Tensor(node.output(0), data.axes)
    kept = [data.axes[axis] for axis in range(rank) if axis not in original]
    return _Tensor(node.output(0), tuple(sorted(kept).index(axis) for axis in kept))


def _gather(node: Any, sources: Sequence[_Tensor]) -> _Tensor | None:
    data, indices, axis = sources
    gathered, values = _constant(axis.output), _constant(indices.output)
    if gathered is None or values is None or values.ndim != 1:
        return None
    node.input(0).replace_source_output(data.output)
    node.input(2).replace_source_output(_integers(data.axes[int(gathered)]))
    return _Tensor(node.output(0), data.axes)


def _pad(node: Any, sources: Sequence[_Tensor]) -> _Tensor | None:
    data = sources[0]
    begins, ends = _constant(sources[1].output), _constant(sources[2].output)
    if begins is None or ends is None:
        return None
    node.input(0).replace_source_output(data.output)
    for index, pad in ((1, begins), (2, ends)):
        node.input(index).replace_source_output(_integers(pad[list(_inverse(data.axes))]))
    return _Tensor(node.output(0), data.axes)


def _slice(node: Any, sources: Sequence[_Tensor]) -> _Tensor | None:
    data = sources[0]
    sliced = _constant(sources[4].output) if len(sources) > 4 else None
    if sliced is None:
        return None
    for index, source in enumerate(sources[:4]):
        node.input(index).replace_source_output(source.output)
    node.input(4).replace_source_output(_integers([data.axes[axis] for axis in sliced]))
    return _Tensor(node.output(0), data.axes)


def _dense(node: Any, sources: Sequence[_Tensor]) -> _Tensor | None:
    """A product over the channels is a convolution of one pixel."""
    from openvino import opset13

    data, matrix = sources
    values = _constant(matrix.output)
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
    value = _constant(source.output)
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
    lengths = [None if shape[axis].is_dynamic else shape[axis].get_length() for axis in axes]
    if [axis for axis, length in zip(axes, lengths, strict=True) if length != 1] == sorted(
        axis for axis, length in zip(axes, lengths, strict=True) if length != 1
    ) and None not in lengths[1:]:
        pattern = _integers([0, *(length for length in lengths[1:] if length is not None)])
        return opset13.reshape(output, pattern, special_zero=True).output(0)
    return opset13.transpose(output, _integers(axes)).output(0)


def _inverse(axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(int(axis) for axis in np.argsort(axes))


def _integers(values: int | Sequence[int] | np.ndarray) -> "openvino.Output":
    from openvino import opset13

    return opset13.constant(np.array(values, np.int64)).output(0)


def _constant(output: "openvino.Output") -> np.ndarray | None:
    """Returns the value of a constant; None for anything else."""
    node = output.get_node()
    return np.array(node.data) if node.get_type_name() == "Constant" else None


def _replace(old: "openvino.Output", new: "openvino.Output") -> None:
    for target in old.get_target_inputs():
        target.replace_source_output(new)
