"""The OpenVINO engine: a published network on the CPU."""

import concurrent.futures
import functools
import math
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from schemas.errors import RunFailed
from schemas.spec import BFLOAT16
from schemas.storage import PublishedBase
from transforms.conv_bases.engine import Features, log_load
from transforms.conv_bases.published import fetch_published
from transforms.origins import OPENVINO_FILES
from transforms.runtime import (
    OPENVINO_ERRORS,
    available_cores,
    import_openvino,
    temporary_folder,
    why_openvino_fails,
)

if TYPE_CHECKING:
    import openvino

Fetch = Callable[[tuple[str, ...], Path], None]

_OPENVINO_PRECISIONS: Final = {"float32": "f32", BFLOAT16: "bf16"}


class OpenVINOEngine:
    """Runs the OpenVINO form of a network on the CPU, in several streams; see `Engine`.

    Attributes:
        input_shape: The shape of one input.
        output_sizes: The floats of each output for one input.
    """

    def __init__(
        self,
        conv_base: PublishedBase,
        batch_size: int,
        precision: str = "float32",
        threads: int | None = None,
        *,
        streams: int | None = None,
        files: tuple[str, str] = OPENVINO_FILES,
        fetch: Fetch | None = None,
    ) -> None:
        """Loads the network and compiles it for one batch size.

        Args:
            conv_base: The base that is published.
            batch_size: Images a batch.
            precision: `"float32"` or `"bfloat16"`.
            threads: Threads that compute; by default every core that the process may use.
            streams: Batches that run at once, each on its share of the threads; by default one a thread.
            files: The `.xml` and the `.bin`, where the folder holds other networks than a base.
            fetch: Copies files of these names into a local folder, where the folder has no list of published files.

        Raises:
            RunFailed: If the files are not the ones that were published or no network, or the CPU has no bfloat16.
        """
        openvino = import_openvino()
        started = time.perf_counter()
        threads = threads or available_cores()
        streams = min(streams or threads, threads)
        core = openvino.Core()
        # The first call fills a table in C++ behind a lock, and lets the GIL go meanwhile: two threads that come first
        # together deadlock (openvino 2026.4.1).
        openvino.Type.u8.to_dtype()
        if precision == BFLOAT16 and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise RunFailed(
                "This CPU does not compute in bfloat16 (it needs AVX-512 BF16 or AMX): take --engine=keras, or another "
                "store with --precision=float32."
            )
        options = _options(precision, threads, streams)
        with temporary_folder() as folder:
            (fetch or functools.partial(fetch_published, conv_base))(files, Path(folder))
            try:
                self._compiled = _compile(core, Path(folder, files[0]), batch_size, options)
                self.input_shape = tuple(self._compiled.input(0).shape)[1:]
                self.output_sizes = tuple(math.prod(tuple(output.shape)[1:]) for output in self._compiled.outputs)
            except OPENVINO_ERRORS as error:
                raise RunFailed(
                    f"{conv_base.uri}: {files[0]} is no network that OpenVINO runs: {why_openvino_fails(error)}"
                ) from error
        self._requests = threading.local()
        # Twice the streams: while results are copied out and written, the next batch is there already.
        self.batches_in_flight = 2 * streams
        self._threads = concurrent.futures.ThreadPoolExecutor(self.batches_in_flight, "infer")
        self.load_seconds = time.perf_counter() - started
        log_load(conv_base.uri, self.load_seconds)

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


def _compile(core: "openvino.Core", path: Path, batch_size: int, options: Mapping[str, object]) -> Any:
    network = core.read_model(path)
    pixels = network.input(0).get_partial_shape()
    pixels[0] = batch_size
    network.reshape(pixels)
    return core.compile_model(network, "CPU", options)


def _options(precision: str, threads: int, streams: int) -> dict[str, object]:
    return {
        "INFERENCE_PRECISION_HINT": _OPENVINO_PRECISIONS[precision],
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": threads,
        # Pinned streams are counted from the first core in each process: two processes would share it.
        "ENABLE_CPU_PINNING": False,
    }
