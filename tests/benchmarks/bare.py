"""A conv base alone, on random pixels: how many images a second each runtime takes on all cores.

The fastest of them is what the machine can do with an architecture, whoever compiles it.
"""

import io
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

_HINTS: Final = {"float32": "f32", "bfloat16": "bf16"}
_SEED: Final = 0


def cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def openvino_speed(conv_base_folder: str, precision: str, batch_sizes: Sequence[int], seconds: float) -> float:
    """Runs a published conv base in an asynchronous queue, one stream a core.

    Args:
        conv_base_folder: The folder of its `.xml`.
        precision: float32 or bfloat16.
        batch_sizes: Of which the best counts.
        seconds: How long, for each of them.

    Returns:
        Images a second.
    """
    import openvino

    core = openvino.Core()
    speeds = []
    for batch_size in batch_sizes:
        network = core.read_model(next(Path(conv_base_folder).glob("base*.xml")))
        shape = network.input(0).get_partial_shape()
        shape[0] = batch_size
        network.reshape(shape)
        config = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision], "NUM_STREAMS": str(cores()), "ENABLE_CPU_PINNING": False,
        }  # fmt: skip
        requests = openvino.AsyncInferQueue(core.compile_model(network, "CPU", config))
        pixels = _pixels(tuple(network.input(0).shape), np.uint8)
        for _ in range(2 * len(requests)):
            requests.start_async([pixels])
        requests.wait_all()
        batches, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            requests.start_async([pixels])
            batches += 1
        requests.wait_all()
        speeds.append(batches * batch_size / (time.perf_counter() - started))
    return max(speeds)


def tensorflow_speed(conv_base: str, side: int, precision: str, batch_sizes: Sequence[int], seconds: float) -> float:
    """Runs a Keras application as a `tf.function`.

    Args:
        conv_base: A builder of `keras.applications`.
        side: Pixels of the input's height and width.
        precision: float32, or bfloat16 for Keras's policy `mixed_bfloat16`.
        batch_sizes: Of which the best counts.
        seconds: How long, for each of them.

    Returns:
        Images a second.
    """
    import keras
    import tensorflow as tf

    if precision == "bfloat16":
        keras.config.set_dtype_policy("mixed_bfloat16")
    network = _network(conv_base, side)
    extract = tf.function(lambda pixels: network(pixels, training=False))
    return max(
        _speed(
            lambda batch: extract(batch).numpy(), tf.constant(_pixels((size, side, side, 3), np.float32)), size, seconds
        )
        for size in batch_sizes
    )


def onnxruntime_speed(conv_base: str, side: int, batch_sizes: Sequence[int], seconds: float) -> float:
    """Runs an architecture in ONNX Runtime, in float32, exported from PyTorch.

    Channels first where there is a network for PyTorch, else as Keras builds it with PyTorch as its backend.

    Args:
        conv_base: A builder of `keras.applications`.
        side: Pixels of the input's height and width.
        batch_sizes: Of which the best counts.
        seconds: How long, for each of them.

    Returns:
        Images a second.
    """
    import onnxruntime
    import torch

    from tests.benchmarks.peers.torch_networks import NETWORKS, FeatureExtractor

    network = FeatureExtractor(conv_base).eval() if conv_base in NETWORKS else _network(conv_base, side)
    speeds = []
    for size in batch_sizes:
        shape = (size, 3, side, side) if conv_base in NETWORKS else (size, side, side, 3)
        pixels = _pixels(shape, np.uint8 if conv_base in NETWORKS else np.float32)
        exported = io.BytesIO()
        torch.onnx.export(network, (torch.from_numpy(pixels),), exported, input_names=["pixels"], dynamo=False)
        session = onnxruntime.InferenceSession(exported.getvalue(), providers=["CPUExecutionProvider"])
        speeds.append(_speed(lambda batch, run=session.run: run(None, {"pixels": batch}), pixels, size, seconds))
    return max(speeds)


def _network(conv_base: str, side: int):
    import keras

    build = getattr(keras.applications, conv_base)
    return build(include_top=False, weights=None, input_shape=(side, side, 3), pooling="avg")


def _pixels(shape: tuple[int, ...], dtype: type[np.generic]) -> np.ndarray:
    return np.random.default_rng(_SEED).integers(0, 256, shape).astype(dtype)


def _speed(run: Callable[[object], object], batch: object, size: int, seconds: float) -> float:
    for _ in range(2):
        run(batch)
    batches, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        run(batch)
        batches += 1
    return batches * size / (time.perf_counter() - started)
