"""A conv base alone, on random pixels: how many images a second, by engine, precision, batch size and streams."""

import collections
import dataclasses
import time
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from schemas.errors import RunFailed
from schemas.serialisation import Serialisable
from schemas.storage import PublishedBase
from transforms.conv_bases import Engine, EngineName, default_batch_size, load_engine
from transforms.runtime import available_cores

# Streams are fastest with small batches; an engine that puts all cores on one batch, with larger ones.
_BATCH_SIZES: Final = {EngineName.OPENVINO: (1, 2, 4, 8), EngineName.KERAS: (8, 32)}
# Batches that would take longer than this, as a multiple of the time for one measurement, are not tried.
_MOST_TIMES: Final = 2.0


@dataclasses.dataclass(frozen=True)
class BaseSpeed(Serialisable):
    """How fast a conv base is with some settings.

    Attributes:
        engine: What runs it.
        precision: Its arithmetic.
        batch_size: Images a batch.
        streams: Batches at once, each on its share of the cores; 1 for an engine that has none.
        images_per_second: On all cores, random pixels in memory, nothing else counted.
    """

    engine: str
    precision: str
    batch_size: int
    streams: int
    images_per_second: float


def measure_bases(
    conv_base: PublishedBase,
    shape: tuple[int, int, int],
    engine: EngineName,
    precisions: Sequence[str],
    seconds: float,
) -> Iterator[BaseSpeed]:
    """Measures a published base: by batch size first, the best of these with fewer streams, then in other precisions.

    Args:
        conv_base: The base.
        shape: Height, width and channels of the pixels.
        engine: What runs it.
        precisions: The first one is measured with all settings, the others with the best of them; those that this
            machine does not compute in are left out.
        seconds: How long each setting is measured.
    """
    cores = available_cores()
    found: list[BaseSpeed] = []

    def measured(precision: str, batch_size: int, streams: int) -> BaseSpeed:
        speed = _measure(conv_base, shape, BaseSpeed(engine, precision, batch_size, streams, 0.0), seconds)
        found.append(speed)
        return speed

    all_streams = cores if engine == EngineName.OPENVINO else 1
    for size in _BATCH_SIZES[engine]:
        slowest = min((speed.images_per_second for speed in found), default=None)
        if slowest is None or 2 * size * all_streams <= _MOST_TIMES * seconds * slowest:
            yield measured(precisions[0], size, all_streams)
    if not found:
        yield measured(precisions[0], default_batch_size(engine), all_streams)
    best = max(found, key=_speed)
    for streams in sorted({1, max(cores // 2, 1)} - {all_streams}, reverse=True) if all_streams > 1 else ():
        yield measured(precisions[0], best.batch_size, streams)
    best = max(found, key=_speed)
    for precision in precisions[1:]:
        try:
            yield measured(precision, best.batch_size, best.streams)
        except RunFailed:  # This CPU has no such precision.
            continue


def load_setting(conv_base: PublishedBase, setting: BaseSpeed) -> Engine:
    """Loads a base with the settings of a measurement, on all cores.

    Raises:
        RunFailed: If this machine does not compute in that precision.
    """
    name = EngineName(setting.engine)
    return load_engine(name, conv_base, setting.batch_size, setting.precision, streams=setting.streams)


def _speed(setting: BaseSpeed) -> float:
    return setting.images_per_second


def _measure(conv_base: PublishedBase, shape: tuple[int, int, int], setting: BaseSpeed, seconds: float) -> BaseSpeed:
    engine = load_setting(conv_base, setting)
    pixels = np.random.default_rng(0).integers(0, 256, (setting.batch_size, *shape), np.uint8)
    for warm_up in [engine.submit(pixels) for _ in range(setting.streams)]:
        warm_up.result()
    return dataclasses.replace(setting, images_per_second=_images_per_second(engine, pixels, seconds))


def _images_per_second(engine: Engine, pixels: np.ndarray, seconds: float) -> float:
    started = time.perf_counter()
    running = collections.deque(engine.submit(pixels) for _ in range(engine.batches_in_flight))
    batches = 0
    while time.perf_counter() - started < seconds:
        running.popleft().result()
        running.append(engine.submit(pixels))
        batches += 1
    for batch in running:
        batch.result()
        batches += 1
    return batches * len(pixels) / (time.perf_counter() - started)
