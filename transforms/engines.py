"""Engines: what runs a published conv base. uint8 [N, H, W, 3] in, one float32 [N, D] a layer out."""

import logging
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from transforms.publishing import OPENVINO_FILES, fetch_published

_LOGGER: Final = logging.getLogger(__name__)


class Engine(Protocol):
    """Runs a conv base on batches of one fixed size. Safe to be called from several threads at once."""

    def __call__(self, pixels: np.ndarray) -> list[np.ndarray]:
        """Computes features.

        Args:
            pixels: uint8 [batch_size, H, W, 3] in 0 to 255.

        Returns:
            One float32 [batch_size, D] a layer, in the order of the spec; a map is flattened row by row (H, W, C).
        """
        ...


class OpenVINOEngine:
    """Runs the OpenVINO form of a published conv base on the CPU, in float32.

    Attributes:
        name: The engine's name in the `runs` table.
        load_seconds: How long loading took.
    """

    name: Final = "openvino"

    def __init__(self, conv_base_uri: str, batch_size: int, files: tuple[str, str] = OPENVINO_FILES) -> None:
        """Loads the base and compiles it for one batch size.

        Args:
            conv_base_uri: The folder where it is published.
            batch_size: Images a call.
            files: The `.xml` and the `.bin`, where the folder holds other networks than a base.

        Raises:
            RunFailed: If the files are not the ones that were published.
        """
        import openvino

        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            fetch_published(conv_base_uri, files, Path(folder))
            core = openvino.Core()
            network = core.read_model(Path(folder, files[0]))
            pixels = network.input(0).get_partial_shape()
            pixels[0] = batch_size
            network.reshape(pixels)
            self._compiled = core.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        self._requests = threading.local()
        self.load_seconds = time.perf_counter() - started
        _LOGGER.info("Loaded the conv base %s in process %d in %.1f s.", conv_base_uri, os.getpid(), self.load_seconds)

    def __call__(self, pixels: np.ndarray) -> list[np.ndarray]:
        """Computes features; see `Engine`."""
        request = getattr(self._requests, "request", None)
        if request is None:
            request = self._requests.request = self._compiled.create_infer_request()
        request.infer([pixels])
        return [
            np.array(request.get_output_tensor(index).data, np.float32).reshape(len(pixels), -1)
            for index in range(len(self._compiled.outputs))
        ]
