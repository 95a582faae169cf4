"""Engines: what runs a published conv base. uint8 [N, H, W, 3] in, one float32 [N, D] a layer out.

An engine takes batches faster than it finishes them: as many run at once as it has streams. One stream a core is what
reaches the limit of a CPU; a single stream over all cores waits at every barrier for the core that decodes a picture.
"""

import enum
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from schemas.errors import RunFailed, UsageError
from schemas.spec import TF32, FeatureSpec
from schemas.storage import PublishedBase
from transforms.conv_bases.engine import Engine
from transforms.conv_bases.openvino_engine import OpenVINOEngine

_GPUS: Final = Path("/proc/driver/nvidia/gpus")


class EngineName(enum.StrEnum):
    """The engines there are."""

    OPENVINO = "openvino"
    KERAS = "keras"


AUTO: Final = "auto"

# On two cores (Intel Emerald Rapids, two streams, openvino 2026.4.1) extractions of 1000 photographs by MobileNet at
# 224 pixels took 10.7 s by batches of 2, 12.6 by 1, 12.0 by 4 and 10.9 by 8 (medians of three rounds).
BATCH_SIZES: Final[Mapping[EngineName, int]] = {EngineName.OPENVINO: 2, EngineName.KERAS: 32}

# What a GPU is given at once; a last batch of fewer is padded, at a cost of some hundredths of a second.
GPU_BATCH_SIZE: Final = 256

TF32_NEEDS_A_GPU: Final = (
    "tf32 is an arithmetic of NVIDIA's GPUs: take --engine=keras where there is one, or another store with "
    "--precision=float32."
)


def choose_engine(asked: str, spec: FeatureSpec) -> EngineName:
    """Returns the engine that a run uses.

    Args:
        asked: `"openvino"`, `"keras"`, or `"auto"`: Keras where this machine has an NVIDIA GPU and the base is a Keras
            model, else OpenVINO.
        spec: The spec of the features.

    Raises:
        UsageError: If Keras is asked for, and the base is no Keras model.
    """
    if asked == EngineName.KERAS and not spec.is_keras:
        raise UsageError(f"{spec.conv_base} is no Keras model: --engine=openvino runs it.")
    if asked != AUTO:
        return EngineName(asked)
    return EngineName.KERAS if _has_gpu() and spec.is_keras else EngineName.OPENVINO


def default_batch_size(engine: EngineName) -> int:
    """Returns the images that an engine is given at once, on a machine like this one."""
    return GPU_BATCH_SIZE if engine == EngineName.KERAS and _has_gpu() else BATCH_SIZES[engine]


def _has_gpu() -> bool:
    return _GPUS.is_dir() and any(_GPUS.iterdir())


def load_engine(
    name: EngineName,
    conv_base: PublishedBase,
    batch_size: int,
    precision: str = "float32",
    threads: int | None = None,
    *,
    streams: int | None = None,
) -> Engine:
    """Loads a published conv base.

    Args:
        name: The engine.
        conv_base: The base that is published.
        batch_size: Images a batch.
        precision: The precision of the spec.
        threads: Threads that compute; by default every core that the process may use.
        streams: Batches that OpenVINO runs at once; by default as many as threads.

    Raises:
        RunFailed: If the files are not the ones that were published, or this machine cannot compute in that precision.
    """
    if precision == TF32 and not (name == EngineName.KERAS and _has_gpu()):
        raise RunFailed(TF32_NEEDS_A_GPU)
    if name == EngineName.KERAS:
        from transforms.conv_bases.keras_engine import KerasEngine

        return KerasEngine(conv_base, batch_size, precision)
    return OpenVINOEngine(conv_base, batch_size, precision, threads, streams=streams)
