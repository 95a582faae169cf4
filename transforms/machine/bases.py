"""A conv base alone, on random pixels: how many images a second, by engine, precision, batch size and streams."""

import collections
import contextlib
import dataclasses
import statistics
import time
from collections.abc import Sequence
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
_ROUNDS: Final = 3
_SECONDS_PER_PRECISION: Final = 1.5


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
) -> tuple[BaseSpeed, ...]:
    """Measures a published base: by batch size first, the best of these with fewer streams, then in other precisions.

    Every setting runs in turn with the first one, so that what else the machine does meanwhile slows down both.

    Args:
        conv_base: The base.
        shape: Height, width and channels of the pixels.
        engine: What runs it.
        precisions: The first one is measured with all settings, the others with the best of them; those that this
            machine does not compute in are left out.
        seconds: How long each setting is measured, the first one beside it included.

    Raises:
        RunFailed: If this machine does not compute in the first of the precisions.
    """
    all_streams = available_cores() if engine == EngineName.OPENVINO else 1
    first, *larger = _BATCH_SIZES[engine]
    race = _Race(conv_base, shape, BaseSpeed(engine, precisions[0], first, all_streams, 1.0), seconds)
    for size in larger:
        if 2 * size * all_streams <= _MOST_TIMES * seconds * race.first_speed:
            race.run(dataclasses.replace(race.first, batch_size=size))
    best = race.fastest
    for streams in sorted({1, max(all_streams // 2, 1)} - {all_streams}, reverse=True):
        race.run(dataclasses.replace(best, streams=streams))
    best = race.fastest
    for precision in precisions[1:]:
        with contextlib.suppress(RunFailed):  # This CPU may have no such precision.
            race.run(dataclasses.replace(best, precision=precision))
    return race.results()


def speed_against_float32(conv_base: PublishedBase, precision: str, shape: tuple[int, int, int]) -> float:
    """Measures OpenVINO on this machine in some precision and in float32, with the settings of a run.

    Takes the time to compile the base twice, and two seconds; longer where a batch takes long.

    Args:
        conv_base: The base that is published.
        precision: `"bfloat16"`.
        shape: Height, width and channels of the pixels.

    Returns:
        Images a second in the precision, as a multiple of those in float32.

    Raises:
        RunFailed: If this CPU has no such precision.
    """
    engine = EngineName.OPENVINO
    first = BaseSpeed(engine, "float32", default_batch_size(engine), available_cores(), 1.0)
    race = _Race(conv_base, shape, first, _SECONDS_PER_PRECISION)
    return race.run(dataclasses.replace(first, precision=precision))


class _Race:
    """Settings, each beside the first one; their speeds are multiples of its speed until the end."""

    def __init__(self, conv_base: PublishedBase, shape: tuple[int, int, int], first: BaseSpeed, seconds: float) -> None:
        self.first = first
        self._conv_base, self._shape, self._seconds = conv_base, shape, seconds
        self._found = [first]
        self._engine = self._warm(first)
        self._speeds = [self._speed(self._engine, first)]

    @property
    def first_speed(self) -> float:
        """Images a second with the first settings, the median so far."""
        return statistics.median(self._speeds)

    @property
    def fastest(self) -> BaseSpeed:
        """The fastest settings so far."""
        return max(self._found, key=lambda setting: setting.images_per_second)

    def run(self, setting: BaseSpeed) -> float:
        """Measures settings, and returns their speed as a multiple of that of the first ones.

        Raises:
            RunFailed: If this machine does not compute so.
        """
        engine, ratios = self._warm(setting), []
        for _ in range(_ROUNDS):
            self._speeds.append(self._speed(self._engine, self.first))
            ratios.append(self._speed(engine, setting) / self._speeds[-1])
        ratio = statistics.median(ratios)
        self._found.append(dataclasses.replace(setting, images_per_second=ratio))
        return ratio

    def results(self) -> tuple[BaseSpeed, ...]:
        """Returns all settings in images a second."""
        speed = self.first_speed
        return tuple(
            dataclasses.replace(each, images_per_second=speed * each.images_per_second) for each in self._found
        )

    def _warm(self, setting: BaseSpeed) -> Engine:
        engine, pixels = load_setting(self._conv_base, setting), self._pixels(setting)
        for batch in [engine.submit(pixels) for _ in range(setting.streams)]:
            batch.result()
        return engine

    def _speed(self, engine: Engine, setting: BaseSpeed) -> float:
        return _images_per_second(engine, self._pixels(setting), self._seconds / (2 * _ROUNDS))

    def _pixels(self, setting: BaseSpeed) -> np.ndarray:
        return np.random.default_rng(0).integers(0, 256, (setting.batch_size, *self._shape), np.uint8)


def load_setting(conv_base: PublishedBase, setting: BaseSpeed) -> Engine:
    """Loads a base with the settings of a measurement, on all cores.

    Raises:
        RunFailed: If this machine does not compute in that precision.
    """
    name = EngineName(setting.engine)
    return load_engine(name, conv_base, setting.batch_size, setting.precision, streams=setting.streams)


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
