"""Feature maps of OpenVINO networks that others have made: which axis of them holds the channels."""

from typing import TYPE_CHECKING, Final

from transforms.networks.simplification import constant

if TYPE_CHECKING:
    import openvino

# By their specifications these take and give [N, C, H, W].
_CHANNELS_SECOND: Final = frozenset(
    {
        "AvgPool", "BatchNormInference", "Convolution", "ConvolutionBackpropData", "DepthToSpace", "GroupConvolution",
        "GroupConvolutionBackpropData", "MaxPool", "SpaceToDepth",
    }
)  # fmt: skip
_SECOND: Final = 1
_LAST: Final = 3
# These may give other axes than they take.
_RESHAPING: Final = frozenset({"Reshape", "Squeeze", "Unsqueeze", "MatMul", "Einsum"})


def channels_axis(output: "openvino.Output", otherwise: int) -> int:
    """Returns the axis of a feature map's channels, from the last operation before it that says so.

    Args:
        output: A tensor of four axes, the batch's first, in a network whose input is [N, H, W, C].
        otherwise: The axis that is returned where no operation says it.
    """
    moves: list[list[int]] = []
    node, axis = output.get_node(), otherwise
    while True:
        kind = node.get_type_name()
        if kind in _CHANNELS_SECOND or kind == "Parameter":
            axis = _LAST if kind == "Parameter" else _SECOND
            break
        if kind == "Transpose":
            order = constant(node.input_value(1))
            if order is None:
                break
            moves.append([int(number) for number in order])
        source = _map_before(node)
        if source is None or kind in _RESHAPING:
            moves = []
            break
        node = source.get_node()
    for move in reversed(moves):
        axis = move.index(axis)
    return axis


def _map_before(node: "openvino.Node") -> "openvino.Output | None":
    """Returns the first input of an operation that has four axes and is no constant."""
    maps = (value for value in node.input_values() if value.get_partial_shape().rank.get_length() == 4)
    return next((value for value in maps if constant(value) is None), None)
