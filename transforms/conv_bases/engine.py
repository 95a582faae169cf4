"""Engine: what runs a published network. uint8 [N, H, W, 3] in, one float32 [N, D] a layer out."""

import concurrent.futures
import logging
import os
from typing import Final, Protocol

import numpy as np

_LOGGER: Final = logging.getLogger(__name__)
Features = list[np.ndarray]


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


def log_load(conv_base_uri: str, seconds: float) -> None:
    """Says in which process a network was loaded."""
    _LOGGER.info("Loaded the conv base %s in process %d in %.1f s.", conv_base_uri, os.getpid(), seconds)
