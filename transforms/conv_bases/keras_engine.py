"""The Keras engine: a published `.keras` file on Keras's own backend; the reference, and the one that uses a GPU."""

import concurrent.futures
import contextlib
import functools
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from schemas.caches import cache_folder
from schemas.errors import RunFailed, UsageError
from schemas.spec import BFLOAT16, FLOAT32, TF32
from schemas.storage import PublishedBase
from transforms.conv_bases.cache import COMPILED
from transforms.conv_bases.engine import Features, log_load
from transforms.conv_bases.published import fetch_published
from transforms.networks import load_keras_model
from transforms.origins import KERAS_FILE
from transforms.runtime import import_tensorflow, temporary_folder

if TYPE_CHECKING:
    import keras

_TENSORFLOW: Final = "tensorflow"
_JAX: Final = "jax"
_TORCH: Final = "torch"
_MOST_COMPILED_BYTES: Final = 2**29

# TensorFlow's and JAX's status, then what PyTorch's `OutOfMemoryError` says.
_OUT_OF_MEMORY: Final = ("RESOURCE_EXHAUSTED", "ResourceExhaustedError", "out of memory")


class KerasEngine:
    """Runs the `.keras` form of a conv base on Keras's own backend, TensorFlow unless `KERAS_BACKEND` says otherwise.

    The reference, and the engine that uses a GPU. In float32 a GPU computes without TF32, so that features equal those
    of a CPU; in tf32 with it; in bfloat16 it computes in Keras's `mixed_bfloat16`. One batch is computed at a time, on
    the backend's own threads; on a GPU the next ones are sent meanwhile, and results are fetched behind them.
    """

    def __init__(self, conv_base: PublishedBase, batch_size: int, precision: str = FLOAT32) -> None:
        """Loads the base and compiles it for one batch size.

        Args:
            conv_base: The base that is published.
            batch_size: Images a batch.
            precision: `"float32"`, `"bfloat16"` or `"tf32"`.

        Raises:
            RunFailed: If the file is not the one that was published.
            UsageError: If `KERAS_BACKEND` names a backend that is not installed.
        """
        _import_keras(precision)
        started = time.perf_counter()
        with temporary_folder() as folder:
            fetch_published(conv_base, (KERAS_FILE,), Path(folder))
            model = load_keras_model(Path(folder, KERAS_FILE))
        if precision == BFLOAT16:
            for layer in model._flatten_layers(include_self=False):
                layer.dtype_policy = "mixed_bfloat16"
        self._predict = _compiled(model, batch_size)
        # One that is sent, one that is computed, one that is fetched, and one that waits.
        self.batches_in_flight = 4
        self._sending = concurrent.futures.ThreadPoolExecutor(1, "send")
        self._fetching = concurrent.futures.ThreadPoolExecutor(1, "fetch-results")
        self.load_seconds = time.perf_counter() - started
        log_load(conv_base.uri, self.load_seconds)

    def submit(self, pixels: np.ndarray) -> "concurrent.futures.Future[Features]":
        """Begins to compute features; see `Engine`."""
        sent = self._sending.submit(self._predict, pixels)
        return self._fetching.submit(_fetch, sent, len(pixels))


def _fetch(sent: "concurrent.futures.Future[Any]", pictures: int) -> Features:
    """Waits for a batch and returns its features.

    Raises:
        RunFailed: If the device has no memory for it.
    """
    try:
        return _fetched(sent.result(), pictures)
    except _device_errors() as error:
        if any(text in f"{type(error).__name__}: {error}" for text in _OUT_OF_MEMORY):
            raise RunFailed(
                f"The base has no memory for {pictures} pictures at once: try --batch_size={max(1, pictures // 2)}."
            ) from error
        raise


def _device_errors() -> tuple[type[Exception], ...]:
    """Returns what backends raise that lack memory: TensorFlow a class of its own, JAX and PyTorch kinds of these."""
    tensorflow = sys.modules.get("tensorflow")
    return (RuntimeError,) if tensorflow is None else (RuntimeError, tensorflow.errors.ResourceExhaustedError)


def _fetched(outputs: Any, pictures: int) -> Features:
    """Returns the outputs of a batch as NumPy arrays, float32 [N, D]."""
    import keras

    tensors = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return [np.asarray(keras.ops.convert_to_numpy(tensor), np.float32).reshape(pictures, -1) for tensor in tensors]


def _import_keras(precision: str) -> None:
    """Imports Keras with the backend that the user has chosen.

    Raises:
        UsageError: If that is not installed.
    """
    backend = os.environ.get("KERAS_BACKEND", _TENSORFLOW)
    # JAX would take three quarters of a GPU's memory at once, and leave none for a second process.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    try:
        if backend == _TENSORFLOW:
            import_tensorflow()
        import keras  # noqa: F401

        allow_tf32(backend, precision == TF32)
        if backend == _JAX:
            _keep_compiled_programs()
    except ImportError as error:
        raise UsageError(f"Keras's backend {backend} (KERAS_BACKEND) is not installed: {error}.") from error


def _keep_compiled_programs() -> None:
    """Has JAX keep what it compiles in the user's cache: compiling a base for a GPU takes seconds."""
    import jax

    cache = cache_folder()
    if cache is not None:
        with contextlib.suppress(OSError):
            cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        jax.config.update("jax_compilation_cache_dir", str(cache / COMPILED))
        jax.config.update("jax_compilation_cache_max_size", _MOST_COMPILED_BYTES)


def allow_tf32(backend: str, allowed: bool) -> None:
    """Has a backend compute products of float32 on a GPU in TF32, which keeps 10 bits of the mantissa, or in float32.

    Args:
        backend: A backend of Keras, whose package is installed.
        allowed: Whether TF32 is allowed. Each backend has a default of its own.
    """
    if backend == _TENSORFLOW:
        import tensorflow as tf

        tf.config.experimental.enable_tensor_float_32_execution(allowed)
    elif backend == _JAX:
        import jax

        jax.config.update("jax_default_matmul_precision", "default" if allowed else "highest")
    elif backend == _TORCH:
        import torch

        torch.backends.cudnn.allow_tf32 = allowed
        torch.backends.cuda.matmul.allow_tf32 = allowed


def _compiled(model: "keras.Model", batch_size: int) -> Callable[[np.ndarray], Any]:
    """Returns a model as a function that is compiled once, and on a GPU returns before its result is there."""
    import keras

    backend = keras.backend.backend()
    if backend == _TENSORFLOW:
        return _compiled_by_tensorflow(model, batch_size)
    if backend == _JAX:
        return _compiled_by_jax(model)
    if backend == _TORCH:
        return _run_by_torch(model)
    predict: Callable[[np.ndarray], Any] = model.predict_on_batch
    return predict


def _compiled_by_tensorflow(model: "keras.Model", batch_size: int) -> Callable[[np.ndarray], Any]:
    import tensorflow as tf

    shape = tf.TensorSpec((batch_size, *model.input_shape[1:]), tf.uint8)
    # Without XLA, which is slower than either on a CPU.
    call: Callable[[np.ndarray], Any] = tf.function(
        functools.partial(model, training=False), input_signature=[shape], jit_compile=False
    )
    return call


def _compiled_by_jax(model: "keras.Model") -> Callable[[np.ndarray], Any]:
    import jax

    def run(trainable: Any, other: Any, pixels: Any) -> Any:
        return model.stateless_call(trainable, other, pixels, training=False)[0]

    trainable = [variable.value for variable in model.trainable_variables]
    other = [variable.value for variable in model.non_trainable_variables]
    return functools.partial(jax.jit(run), trainable, other)


def _run_by_torch(model: "keras.Model") -> Callable[[np.ndarray], Any]:
    import keras
    import torch

    def run(pixels: np.ndarray) -> Any:
        with torch.no_grad():
            return model(keras.ops.convert_to_tensor(pixels), training=False)

    return run
