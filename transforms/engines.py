"""Engines: what runs a published conv base. uint8 [N, H, W, 3] in, one float32 [N, D] a layer out.

An engine takes batches faster than it finishes them: as many run at once as it has streams. One stream a core is what
reaches the limit of a CPU; a single stream over all cores waits at every barrier for the core that decodes a picture.
"""

import concurrent.futures
import enum
import logging
import os
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from schemas.errors import RunFailed
from schemas.spec import BFLOAT16
from transforms.cores import available_cores
from transforms.publishing import OPENVINO_FILES, fetch_published

_LOGGER: Final = logging.getLogger(__name__)
_GPUS: Final = Path("/proc/driver/nvidia/gpus")
_OPENVINO_PRECISIONS: Final = {"float32": "f32", BFLOAT16: "bf16"}

Features = list[np.ndarray]


class EngineName(enum.StrEnum):
    """The engines there are."""

    OPENVINO = "openvino"
    KERAS = "keras"


AUTO: Final = "auto"

# On two cores, two streams, openvino 2026.4.1, ResNet50 at 224 pixels in float32 runs 22.2 images/s one at a time, 20.9
# by eight, 19.9 by 32; VGG16 at 150 pixels 15.9, 15.1 and 15.0. A GPU wants many at once.
BATCH_SIZES: Final[Mapping[EngineName, int]] = {EngineName.OPENVINO: 2, EngineName.KERAS: 32}


def choose_engine(asked: str) -> EngineName:
    """Returns the engine that a run uses.

    Args:
        asked: `"openvino"`, `"keras"`, or `"auto"`: Keras where this machine has an NVIDIA GPU, else OpenVINO.
    """
    if asked != AUTO:
        return EngineName(asked)
    return EngineName.KERAS if _GPUS.is_dir() and any(_GPUS.iterdir()) else EngineName.OPENVINO


class Engine(Protocol):
    """Runs a network on batches of one fixed size. Safe to be called from several threads at once.

    Attributes:
        batches_in_flight: Batches to have submitted at once, so that no stream ever waits for the next.
        load_seconds: How long loading took.
    """

    batches_in_flight: int
    load_seconds: float

    def submit(self, pixels: np.ndarray) -> "concurrent.futures.Future[Features]":
        """Begins to compute features.

        Args:
            pixels: uint8 [batch_size, H, W, 3] in 0 to 255; not to be changed before the result is there.

        Returns:
            One float32 [batch_size, D] a layer, in the order of the spec; a map is flattened row by row (H, W, C).
        """
        ...


def load_engine(
    name: EngineName, conv_base_uri: str, batch_size: int, precision: str = "float32", threads: int | None = None
) -> Engine:
    """Loads a published conv base.

    Args:
        name: The engine.
        conv_base_uri: The folder where it is published.
        batch_size: Images a batch.
        precision: The precision of the spec.
        threads: Threads that compute; every core that the process may use unless told.

    Raises:
        RunFailed: If the files are not the ones that were published, or this machine cannot compute in that precision.
    """
    if name == EngineName.KERAS:
        from transforms.keras_engine import KerasEngine

        return KerasEngine(conv_base_uri, batch_size, precision)
    return OpenVINOEngine(conv_base_uri, batch_size, precision, threads)


class OpenVINOEngine:
    """Runs the OpenVINO form of a network on the CPU, in as many streams as threads; see `Engine`."""

    def __init__(
        self,
        conv_base_uri: str,
        batch_size: int,
        precision: str = "float32",
        threads: int | None = None,
        files: tuple[str, str] = OPENVINO_FILES,
    ) -> None:
        """Loads the network and compiles it for one batch size.

        Args:
            conv_base_uri: The folder where it is published.
            batch_size: Images a batch.
            precision: `"float32"` or `"bfloat16"`.
            threads: Threads that compute; every core that the process may use unless told.
            files: The `.xml` and the `.bin`, where the folder holds other networks than a base.

        Raises:
            RunFailed: If the files are not the ones that were published, or the CPU has no bfloat16.
        """
        import openvino

        started = time.perf_counter()
        streams = threads or available_cores()
        core = openvino.Core()
        # The first call fills a table in C++ behind a lock, and lets the GIL go meanwhile: two threads that come first
        # together wait for each other for ever (openvino 2026.4.1).
        openvino.Type.u8.to_dtype()
        if precision == BFLOAT16 and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise RunFailed(
                "This CPU does not compute in bfloat16 (it needs AVX-512 BF16 or AMX): take --engine=keras, or another "
                "store with --precision=float32."
            )
        with tempfile.TemporaryDirectory() as folder:
            fetch_published(conv_base_uri, files, Path(folder))
            network = core.read_model(Path(folder, files[0]))
            pixels = network.input(0).get_partial_shape()
            pixels[0] = batch_size
            network.reshape(pixels)
            options = {
                "INFERENCE_PRECISION_HINT": _OPENVINO_PRECISIONS[precision],
                "NUM_STREAMS": streams,
                "INFERENCE_NUM_THREADS": streams,
                # Pinned streams are counted from the first core in each process: two processes would share it.
                "ENABLE_CPU_PINNING": False,
            }
            self._compiled = core.compile_model(network, "CPU", options)
        self._requests = threading.local()
        # Twice the streams: while results are copied out and written, the next batch is there already.
        self.batches_in_flight = 2 * streams
        self._threads = concurrent.futures.ThreadPoolExecutor(self.batches_in_flight, "infer")
        self.load_seconds = time.perf_counter() - started
        log_load(conv_base_uri, self.load_seconds)

    def submit(self, pixels: np.ndarray) -> "concurrent.futures.Future[Features]":
        """Begins to compute features; see `Engine`."""
        return self._threads.submit(self._infer, pixels)

    def _infer(self, pixels: np.ndarray) -> Features:
        request = getattr(self._requests, "request", None)
        if request is None:
            request = self._requests.request = self._compiled.create_infer_request()
        request.infer([pixels], share_inputs=True)
        return [
            np.array(request.get_output_tensor(index).data, np.float32).reshape(len(pixels), -1)
            for index in range(len(self._compiled.outputs))
        ]


def log_load(conv_base_uri: str, seconds: float) -> None:
    """Says in which process a network was loaded."""
    _LOGGER.info("Loaded the conv base %s in process %d in %.1f s.", conv_base_uri, os.getpid(), seconds)
