r"""The machine: what it is, and how many images a second it allows for one conv base and one kind of picture.

    python -m tests.benchmarks.machine decoding --pictures=list.txt --side=224 --output=seconds.json
    python -m tests.benchmarks.machine bare --runtime=OpenVINO --conv_base_folder=FOLDER --conv_base=MobileNet \
        --side=224 --precision=float32 --output=speed.json

The limit takes the cores for a fluid: each image costs 1/bare of the whole machine in the conv base, and decode/cores
in decoding; nothing else is counted, no start, no reading of lists, no Parquet, no Beam.
"""

import argparse
import dataclasses
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from tests.benchmarks.bare import onnxruntime_speed, openvino_speed, tensorflow_speed
from transforms.decoding import DecodingRules, decode_image
from transforms.machine import composite_limit

SECONDS_PER_SIZE: Final = 4.0
PICTURES_DECODED: Final = 200

OPENVINO: Final = "OpenVINO"
TENSORFLOW: Final = "TensorFlow"
ONNX_RUNTIME: Final = "ONNX Runtime"
RUNTIMES: Final = (OPENVINO, TENSORFLOW, ONNX_RUNTIME)

# Streams take a batch each; the others put all cores on one.
_BATCHES_OF_STREAMS: Final = (1, 2, 8)
_BATCHES_OF_CORES: Final = (8, 32)


@dataclasses.dataclass(frozen=True)
class Limit:
    """What the machine allows.

    Attributes:
        bare_speeds: Images a second of the conv base alone on random pixels, by the name of what runs it.
        decode_seconds: CPU seconds to read, decode and resize one picture on one core.
        cores: Cores that this process may use.
    """

    bare_speeds: Mapping[str, float]
    decode_seconds: float
    cores: int

    @property
    def bare(self) -> float:
        """Images a second of the conv base alone, by the fastest."""
        return max(self.bare_speeds.values())

    @property
    def images_per_second(self) -> float:
        """The composite limit."""
        return composite_limit(self.bare, self.decode_seconds, self.cores)


def decode_speed(paths: Sequence[str], side: int) -> float:
    """Returns the CPU seconds to read, decode and resize one picture, the mean over some pictures."""
    rules = DecodingRules(side, side)
    taken = []
    for path in paths[:PICTURES_DECODED]:
        started = time.thread_time()
        decode_image(Path(path).read_bytes(), rules)
        taken.append(time.thread_time() - started)
    return float(np.mean(taken))


def _bare(given: argparse.Namespace) -> float:
    match given.runtime:
        case "OpenVINO":
            return openvino_speed(given.conv_base_folder, given.precision, _BATCHES_OF_STREAMS, given.seconds)
        case "TensorFlow":
            return tensorflow_speed(given.conv_base, given.side, given.precision, _BATCHES_OF_CORES, given.seconds)
        case _:
            if given.precision != "float32":
                raise SystemExit("ONNX Runtime computes this in float32 only.")
            os.environ["KERAS_BACKEND"] = "torch"
            return onnxruntime_speed(given.conv_base, given.side, _BATCHES_OF_CORES, given.seconds)


def main() -> None:
    """Measures a part of the limit and writes it as JSON."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    commands = parser.add_subparsers(dest="part", required=True)
    decoding, bare = commands.add_parser("decoding"), commands.add_parser("bare")
    decoding.add_argument("--pictures", required=True)
    bare.add_argument("--runtime", choices=RUNTIMES, required=True)
    bare.add_argument("--conv_base_folder", required=True)
    bare.add_argument("--conv_base", required=True)
    bare.add_argument("--precision", choices=("float32", "bfloat16"), required=True)
    bare.add_argument("--seconds", type=float, default=SECONDS_PER_SIZE)
    for command in (decoding, bare):
        command.add_argument("--side", type=int, required=True)
        command.add_argument("--output", required=True)
    given = parser.parse_args()
    if given.part == "bare":
        figure = _bare(given)
    else:
        figure = decode_speed(Path(given.pictures).read_text().splitlines(), given.side)
    Path(given.output).write_text(json.dumps(figure))


if __name__ == "__main__":
    main()
