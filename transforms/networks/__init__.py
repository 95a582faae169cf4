"""Networks: Keras models exported to OpenVINO, in a process of Keras's own, and OpenVINO's written as ONNX."""

from transforms.networks.exporting import export_to_openvino, exporting_code, keras_export
from transforms.networks.feature_maps import channels_axis
from transforms.networks.joining import join_networks
from transforms.networks.keras_files import (
    CONVERTER,
    PRESET,
    SHARDS,
    WEIGHTS,
    download_preset,
    load_keras_model,
    load_preset,
)
from transforms.networks.keras_process import KerasProcess, in_keras_process
from transforms.networks.onnx_format import onnx_message
from transforms.networks.onnx_graph import NotInOnnx
from transforms.networks.onnx_writing import write_onnx
from transforms.networks.simplification import fold_constants, integers

__all__ = [
    "CONVERTER",
    "PRESET",
    "SHARDS",
    "WEIGHTS",
    "KerasProcess",
    "NotInOnnx",
    "channels_axis",
    "download_preset",
    "export_to_openvino",
    "exporting_code",
    "fold_constants",
    "in_keras_process",
    "integers",
    "join_networks",
    "keras_export",
    "load_keras_model",
    "load_preset",
    "onnx_message",
    "write_onnx",
]
