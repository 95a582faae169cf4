"""Networks: Keras models exported to OpenVINO in a process of Keras's own, with no feature map transposed."""

from transforms.networks.exporting import export_to_openvino, exporting_code, keras_export
from transforms.networks.keras_files import load_keras_model
from transforms.networks.keras_process import KerasProcess, in_keras_process

__all__ = [
    "KerasProcess",
    "export_to_openvino",
    "exporting_code",
    "in_keras_process",
    "keras_export",
    "load_keras_model",
]
