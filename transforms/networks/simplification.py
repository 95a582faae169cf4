"""Simplification: what Keras's export to OpenVINO says in many operations, said in one; and reading of its graph."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import openvino

# Any batch size that no other axis has by chance: shapes are computed with it, and it is freed again.
TRACED_BATCH: Final = 7919
# A shape, or a part of one, and no table of indices.
_LONGEST_SHAPE: Final = 8


def fold_constants(network: "openvino.Model") -> None:
    """Computes what depends on shapes and constants alone; the batch size stays free."""
    _free_batch_axis(network)
    _set_batch(network, TRACED_BATCH)
    compute_constants(network)
    _free_batch_axis(network)
    _free_constants(network)
    _set_batch(network, -1)


def compute_constants(network: "openvino.Model") -> None:
    """Computes what depends on constants alone, as the sizes are of which others make their constants."""
    from openvino import passes

    manager = passes.Manager()
    manager.register_pass(passes.ConstantFolding())
    manager.run_passes(network)


def _set_batch(network: "openvino.Model", size: int) -> None:
    for parameter in network.get_parameters():
        shape = parameter.get_partial_shape()
        shape[0] = size
        parameter.set_partial_shape(shape)
    network.validate_nodes_and_infer_types()


def _free_batch_axis(network: "openvino.Model") -> None:
    """Lets every reshape keep the batch's axis, also where a network was traced with one picture."""
    from openvino import opset13

    for node in network.get_ordered_ops():
        if node.get_type_name() != "Reshape":
            continue
        pattern = constant(node.input_value(1))
        if pattern is not None and pattern[0] in {1, TRACED_BATCH} and _has_batch(node.input_value(0)):
            shape = opset13.constant(np.array([0, *pattern[1:]], np.int64))
            _replace(node.output(0), opset13.reshape(node.input_value(0), shape, special_zero=True).output(0))


def _has_batch(output: "openvino.Output") -> bool:
    """Whether the first axis of a tensor is the batch's."""
    length = output.get_partial_shape()[0]
    return bool(length.is_dynamic or length.get_length() == TRACED_BATCH)


def _free_constants(network: "openvino.Model") -> None:
    """Puts the size of the batch wherever a shape has that with which shapes were computed, or so many rows are equal.

    Vision transformers repeat their class token for each picture; those with windows count the windows of all.
    """
    from openvino import opset13

    shape = opset13.shape_of(network.get_parameters()[0], "i64")
    batch = opset13.gather(shape, integers([0]), integers(0))
    for node in network.get_ordered_ops():
        value = constant(node.output(0)) if node.get_type_name() == "Constant" else None
        if value is None:
            continue
        if value.shape[:1] == (TRACED_BATCH,) and (value == value[:1]).all():
            sides = opset13.concat([batch, integers(value.shape[1:])], 0)
            _redirect(node.output(0), opset13.broadcast(opset13.constant(value[:1]), sides).output(0))
        elif value.dtype.kind == "i" and value.size <= _LONGEST_SHAPE:
            pictures, others = np.divmod(value.astype(np.int64), TRACED_BATCH)
            is_of_batch = (others == 0) & (pictures > 0)
            if is_of_batch.any():
                factors, terms = (integers(np.where(is_of_batch, *pair)) for pair in ((pictures, 0), (0, value)))
                sides = opset13.reshape(
                    opset13.add(opset13.multiply(batch, factors), terms), integers(value.shape), False
                )
                _redirect(node.output(0), opset13.convert(sides, node.get_element_type().to_string()).output(0))


def gather_channels(network: "openvino.Model") -> None:
    """Makes one operation of a reversed axis (`x[..., ::-1]`), which Keras takes apart and puts together again."""
    from openvino import opset13

    for node in network.get_ordered_ops():
        if node.get_type_name() != "Concat":
            continue
        found = [_single_channel(value) for value in node.input_values()]
        gathered = [channel for channel in found if channel is not None]
        sources = {(source.get_node().get_name(), axis) for source, _, axis in gathered}
        if len(gathered) == len(found) and len(sources) == 1:
            source, _, axis = gathered[0]
            indices = [index for _, index, _ in gathered]
            _replace(node.output(0), opset13.gather(source, integers(indices), integers(axis)).output(0))
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
    index, axis = (constant(node.input_value(number)) for number in (1, 2))
    if index is None or axis is None or index.size != 1:
        return None
    return _through_converts(node.input_value(0)), int(index.item()), int(axis.item())


def _through_converts(output: "openvino.Output") -> "openvino.Output":
    """Follows an output back through conversions from a type to itself."""
    node = output.get_node()
    while keeps_type(node):
        output = node.input_value(0)
        node = output.get_node()
    return output


def pad_in_pooling(network: "openvino.Model") -> None:
    """Lets a maximum over a map that was padded with zeros pad by itself, where the map holds nothing below zero."""
    for node in network.get_ordered_ops():
        pad = node.input_value(0).get_node() if node.get_type_name() == "MaxPool" else None
        if pad is None or pad.get_type_name() != "Pad" or pad.input_value(0).get_node().get_type_name() != "Relu":
            continue
        begins, ends, value = (constant(pad.input_value(index)) for index in (1, 2, 3))
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


def keeps_type(node: Any) -> bool:
    """Whether an operation is a conversion from a type to itself."""
    return bool(node.get_type_name() == "Convert" and node.get_input_element_type(0) == node.get_output_element_type(0))


def constant(output: "openvino.Output") -> np.ndarray | None:
    """Returns the value of a constant; None for anything else."""
    node = output.get_node()
    return np.array(node.data) if node.get_type_name() == "Constant" else None


def integers(values: int | Sequence[int] | np.ndarray) -> "openvino.Output":
    """Returns a constant of int64."""
    from openvino import opset13

    return opset13.constant(np.array(values, np.int64)).output(0)


def _replace(old: "openvino.Output", new: "openvino.Output") -> None:
    """Has a tensor computed by another operation, under its names."""
    new.get_node().set_friendly_name(old.get_node().get_friendly_name())
    new.add_names(old.get_names())
    _redirect(old, new)


def _redirect(old: "openvino.Output", new: "openvino.Output") -> None:
    """Has all that took a tensor take another one."""
    for target in old.get_target_inputs():
        target.replace_source_output(new)
