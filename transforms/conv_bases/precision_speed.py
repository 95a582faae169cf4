"""How fast this machine runs a published conv base in another precision than float32."""

import statistics
import time
from typing import Final

import numpy as np

from schemas.storage import PublishedBase
from transforms.conv_bases.openvino_engine import OpenVINOEngine

_BATCH_SIZE: Final = 2
_ROUNDS: Final = 5


def speed_against_float32(conv_base: PublishedBase, precision: str, shape: tuple[int, int, int]) -> float:
    """Measures OpenVINO on this machine, on all cores, in alternating rounds.

    Takes the time to compile the base twice and to run some twenty batches on each core.

    Args:
        conv_base: The base that is published.
        precision: `"bfloat16"`.
        shape: Height, width and channels of the pixels.

    Returns:
        Images a second in the precision, as a multiple of those in float32.

    Raises:
        RunFailed: If this CPU has no such precision.
    """
    engines = {name: OpenVINOEngine(conv_base, _BATCH_SIZE, name) for name in (precision, "float32")}
    pixels = np.random.default_rng(0).integers(0, 256, (_BATCH_SIZE, *shape), np.uint8)
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for engine in engines.values():
        _run(engine, pixels)
    for _ in range(_ROUNDS):
        for name, engine in engines.items():
            seconds[name].append(_run(engine, pixels))
    return statistics.median(seconds["float32"]) / statistics.median(seconds[precision])


def _run(engine: OpenVINOEngine, pixels: np.ndarray) -> float:
    started = time.perf_counter()
    for batch in [engine.submit(pixels) for _ in range(engine.batches_in_flight)]:
        batch.result()
    return time.perf_counter() - started
