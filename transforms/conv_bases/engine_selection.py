"""Engines: what runs a published conv base. uint8 [N, H, W, 3] in, one float32 [N, D] a layer out.

An engine takes batches faster than it finishes them: as many run at once as it has streams. One stream a core is what
reaches the limit of a CPU; a single stream over all cores waits at every barrier for the core that decodes a picture.
"""

import enum
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from transforms.conv_bases.engine import Engine
from transforms.conv_bases.openvino_engine import OpenVINOEngine

_GPUS: Final = Path("/proc/driver/nvidia/gpus")


class EngineName(enum.StrEnum):
    """The engines there are."""

    OPENVINO = "openvino"
    KERAS = "keras"


AUTO: Final = "auto"

# On two cores, two streams, openvino 2026.4.1, networks with their channels last: ResNet50 at 224 pixels in float32 ran
# 22.2 images/s one at a time, 20.9 by eight, 19.9 by 32; VGG16 at 150 pixels 15.9, 15.1 and 15.0. It has not been
# measured again with the channels first. A GPU wants many at once.
BATCH_SIZES: Final[Mapping[EngineName, int]] = {EngineName.OPENVINO: 2, EngineName.KERAS: 32}


def choose_engine(asked: str) -> EngineName:
    """Returns the engine that a run uses.

    Args:
        asked: `"openvino"`, `"keras"`, or `"auto"`: Keras where this machine has an NVIDIA GPU, else OpenVINO.
    """
    if asked != AUTO:
        return EngineName(asked)
    return EngineName.KERAS if _GPUS.is_dir() and any(_GPUS.iterdir()) else EngineName.OPENVINO


def load_engine(
    name: EngineName, conv_base_uri: str, batch_size: int, precision: str = "float32", threads: int | None = None
) -> Engine:
    """Loads a published conv base.

    Args:
        name: The engine.
        conv_base_uri: The folder where it is published.
        batch_size: Images a batch.
        precision: The precision of the spec.
        threads: Threads that compute; by default every core that the process may use.

    Raises:
        RunFailed: If the files are not the ones that were published, or this machine cannot compute in that precision.
    """
    if name == EngineName.KERAS:
        from transforms.conv_bases.keras_engine import KerasEngine

        return KerasEngine(conv_base_uri, batch_size, precision)
    return OpenVINOEngine(conv_base_uri, batch_size, precision, threads)
