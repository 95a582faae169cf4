"""Exporting Keras models as OpenVINO networks, on Keras's OpenVINO backend."""

import contextlib
import inspect
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from transforms.networks import channel_layout, simplification
from transforms.networks.channel_layout import to_channels_first
from transforms.runtime import import_openvino, temporary_folder

if TYPE_CHECKING:
    import keras
    import openvino


def export_to_openvino(model: "keras.Model", path: Path) -> None:
    """Writes a model as OpenVINO IR, weights in float32, for batches of any size.

    The network takes and gives what the model does, and keeps the channels of its feature maps first meanwhile.

    Args:
        model: The model.
        path: The `.xml`; the `.bin` is written beside it.
    """
    openvino = import_openvino()
    with temporary_folder() as folder:
        network = keras_export(model, Path(folder))
        to_channels_first(network)
        openvino.save_model(network, str(path), compress_to_fp16=False)


def keras_export(model: "keras.Model", folder: Path) -> "openvino.Model":
    """Returns the network that Keras exports, whose files stay in use in a local folder."""
    openvino = import_openvino()
    exported = str(folder / "exported.xml")
    with contextlib.redirect_stdout(io.StringIO()):
        model.export(exported, format="openvino", verbose=False)
    return openvino.Core().read_model(exported)


def exporting_code() -> list[str]:
    """Returns the source code that decides what network is made of a model: who keeps networks has to know it."""
    return [inspect.getsource(module) for module in (simplification, channel_layout, sys.modules[__name__])]
