"""Writing OpenVINO networks as ONNX: what people deploy where there is no OpenVINO.

OpenVINO reads ONNX and does not write it; converters from TensorFlow or PyTorch would need these.
"""

from pathlib import Path

from transforms.networks.onnx_graph import OnnxGraph
from transforms.networks.onnx_operations import add_operation
from transforms.networks.simplification import compute_constants
from transforms.runtime import import_openvino


def write_onnx(network_file: Path, onnx_file: Path) -> None:
    """Writes an OpenVINO network as ONNX, for batches of any size, its inputs and outputs under their names.

    Args:
        network_file: The `.xml`, its `.bin` beside it.
        onnx_file: The file that is written.

    Raises:
        NotInOnnx: If it cannot be written so.
    """
    network = import_openvino().Core().read_model(network_file)
    compute_constants(network)
    graph = OnnxGraph(network.get_friendly_name())
    for node in network.get_ordered_ops():
        kind = node.get_type_name()
        if kind == "Parameter":
            graph.add_input(node)
        elif kind == "Result":
            graph.add_output(node)
        elif kind != "Constant":  # A constant is written where it is used, as its user wants it.
            graph.name_outputs(node, add_operation(graph, node))
    onnx_file.write_bytes(graph.to_bytes())
