r"""The machine: what it is, and how many images a second it allows for one conv base and one kind of picture.

    python -m tests.benchmarks.machine --conv_base_folder=FOLDER --precision=float32 --pictures=list.txt --side=224 \
        --output=limit.json

The limit takes the cores for a fluid: each image costs 1/bare of the whole machine in the conv base, and decode/cores
in decoding; nothing else is counted, no start, no reading of lists, no Parquet, no Beam.
"""

import argparse
import dataclasses
import json
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from transforms.images import DecodingRules, decode_image

BATCH_SIZES: Final = (1, 2, 4, 8)
SECONDS_A_SIZE: Final = 4.0
PICTURES_DECODED: Final = 200

_HINTS: Final = {"float32": "f32", "bfloat16": "bf16"}


@dataclasses.dataclass(frozen=True)
class Limit:
    """What the machine allows.

    Attributes:
        bare: Images a second of the compiled conv base alone on random pixels, at the best batch size.
        batch_size: That batch size.
        decode_seconds: CPU seconds to read, decode and resize one picture on one core.
        cores: Cores that this process may use.
    """

    bare: float
    batch_size: int
    decode_seconds: float
    cores: int

    @property
    def images_per_second(self) -> float:
        """The composite limit."""
        return composite_limit(self.bare, self.decode_seconds, self.cores)


def composite_limit(bare: float, decode_seconds: float, cores: int) -> float:
    """Returns the images per second that a machine allows: 1 / (1/bare + decode/cores).

    Args:
        bare: Images a second of the conv base alone on all cores.
        decode_seconds: CPU seconds to decode one picture on one core.
        cores: The cores.
    """
    return 1 / (1 / bare + decode_seconds / cores)


def cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def cpu_model() -> str:
    """Returns the CPU's name, with the family and model that tell apart what hypervisors call by one name."""
    fields = dict(
        (part.strip() for part in line.split(":", 1))
        for line in Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
        if ":" in line
    )
    names = [f"{name} {fields[name]}" for name in ("cpu family", "model") if name in fields]
    return ", ".join([fields.get("model name", platform.machine()), *names])


def bare_speed(conv_base_folder: str, precision: str, seconds: float = SECONDS_A_SIZE) -> tuple[float, int]:
    """Runs a published conv base on random pixels, one stream a core, in an asynchronous queue.

    Args:
        conv_base_folder: The folder of `base.xml`.
        precision: float32 or bfloat16.
        seconds: How long, for each batch size.

    Returns:
        Images a second at the best of `BATCH_SIZES`, and that batch size.
    """
    import openvino

    core = openvino.Core()
    speeds = {}
    for batch_size in BATCH_SIZES:
        network = core.read_model(Path(conv_base_folder, "base.xml"))
        shape = network.input(0).get_partial_shape()
        shape[0] = batch_size
        network.reshape(shape)
        config = {"INFERENCE_PRECISION_HINT": _HINTS[precision], "NUM_STREAMS": str(cores())}
        requests = openvino.AsyncInferQueue(core.compile_model(network, "CPU", config))
        pixels = np.random.default_rng(0).integers(0, 256, tuple(network.input(0).shape), np.uint8)
        for _ in range(2 * len(requests)):
            requests.start_async([pixels])
        requests.wait_all()
        batches, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            requests.start_async([pixels])
            batches += 1
        requests.wait_all()
        speeds[batch_size] = batches * batch_size / (time.perf_counter() - started)
    best = max(speeds, key=speeds.__getitem__)
    return speeds[best], best


def decode_speed(paths: Sequence[str], side: int) -> float:
    """Returns the CPU seconds to read, decode and resize one picture, the mean over some pictures."""
    rules = DecodingRules(side, side)
    taken = []
    for path in paths[:PICTURES_DECODED]:
        started = time.thread_time()
        decode_image(Path(path).read_bytes(), rules)
        taken.append(time.thread_time() - started)
    return float(np.mean(taken))


def main() -> None:
    """Measures the limit and writes it as JSON."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--conv_base_folder", required=True)
    parser.add_argument("--precision", choices=tuple(_HINTS), required=True)
    parser.add_argument("--pictures", required=True)
    parser.add_argument("--side", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=SECONDS_A_SIZE)
    parser.add_argument("--output", required=True)
    given = parser.parse_args()
    decode_seconds = decode_speed(Path(given.pictures).read_text().splitlines(), given.side)
    bare, batch_size = bare_speed(given.conv_base_folder, given.precision, given.seconds)
    limit = Limit(bare, batch_size, decode_seconds, cores())
    Path(given.output).write_text(json.dumps(dataclasses.asdict(limit)))


if __name__ == "__main__":
    main()
