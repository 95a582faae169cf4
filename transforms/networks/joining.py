"""Joining OpenVINO networks: the outputs of one are the inputs of another."""

from pathlib import Path

from transforms.runtime import import_openvino


def join_networks(first: Path, output: int, second: Path, joined: Path) -> None:
    """Writes a network that computes the second on an output of the first, for batches of any size.

    Args:
        first: The `.xml` of a network.
        output: The number of its output.
        second: The `.xml` of a network with one input.
        joined: The `.xml` that is written, its `.bin` beside it.
    """
    openvino = import_openvino()
    core = openvino.Core()
    base, head = core.read_model(first), core.read_model(second)
    features = base.outputs[output].get_node().input_value(0)
    for target in head.input(0).get_target_inputs():
        target.replace_source_output(features)
    network = openvino.Model(head.get_results(), base.get_parameters(), joined.stem)
    openvino.save_model(network, str(joined), compress_to_fp16=False)
