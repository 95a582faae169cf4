"""Exporting Keras models as OpenVINO networks, on Keras's OpenVINO backend."""

import contextlib
import inspect
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from transforms.networks import channel_layout, simplification
from transforms.networks.channel_layout import to_channels_first
from transforms.networks.simplification import TRACED_BATCH
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
        network = _traced(model, Path(folder))
        to_channels_first(network)
        openvino.save_model(network, str(path), compress_to_fp16=False)


def _traced(model: "keras.Model", folder: Path) -> "openvino.Model":
    """Returns the network of a model with one input, traced with a batch that is found again wherever it is written.

    Keras's own export (3.15) traces with one picture, so that what asks for the shape of its input has a batch of one
    written into it: vision transformers then take no other, nor do squeeze-and-excitation blocks. Its files stay in use
    in a local folder.
    """
    import keras
    from keras.src.backend.openvino.core import OPENVINO_DTYPES, OpenVINOKerasTensor
    from openvino import opset13

    openvino = import_openvino()
    (given,) = keras.tree.flatten(model.input)
    pixels = opset13.parameter([TRACED_BATCH, *given.shape[1:]], OPENVINO_DTYPES[given.dtype], given.name)
    outputs = model(keras.tree.map_structure(lambda _: OpenVINOKerasTensor(pixels.output(0)), model.input))
    results = [opset13.result(output.output) for output in keras.tree.flatten(outputs)]
    written = str(folder / "traced.xml")
    # Operations that are read have all their inputs, those left out at first too.
    openvino.serialize(openvino.Model(results, [pixels]), written)
    return openvino.Core().read_model(written)


def keras_export(model: "keras.Model", folder: Path) -> "openvino.Model":
    """Returns the network that Keras itself exports, whose files stay in use in a local folder."""
    openvino = import_openvino()
    exported = str(folder / "exported.xml")
    with contextlib.redirect_stdout(io.StringIO()):
        model.export(exported, format="openvino", verbose=False)
    return openvino.Core().read_model(exported)


def exporting_code() -> list[str]:
    """Returns the source code that decides what network is made of a model: who keeps networks has to know it."""
    return [inspect.getsource(module) for module in (simplification, channel_layout, sys.modules[__name__])]
