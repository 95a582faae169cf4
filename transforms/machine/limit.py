"""The limit: how many images a second a machine allows, for a conv base and the pictures that it is to see.

It takes the cores for a fluid: each image costs 1/base of the whole machine in the base, and decode/cores in decoding.
Nothing else is counted: no start, no Parquet, no Beam. Reading goes on meanwhile, and may be what is slowest.
"""

import dataclasses
import datetime
import platform
from pathlib import Path
from typing import Final

from schemas.serialisation import Serialisable
from schemas.spec import FeatureSpec
from transforms.machine.agreement import Agreement
from transforms.machine.bases import BaseSpeed
from transforms.machine.pictures import PictureCosts
from transforms.runtime import available_cores

_CPUINFO: Final = Path("/proc/cpuinfo")


@dataclasses.dataclass(frozen=True)
class Measured(Serialisable, indent=2):
    """What was measured of a machine.

    Attributes:
        machine: The name of its processor.
        cores: The cores that the process had.
        measured_at: When, in ISO 8601.
        conv_base: The name of the conv base.
        precision: The precision of the features that were asked for.
        decode: How their pictures are decoded.
        bases: How fast the base is alone.
        pictures: What pictures cost; None where none were named.
        agreements: How far features move where they are made in a quicker way.
        price_per_hour: What the machine costs, in whatever currency; None where that was not said.
    """

    machine: str
    cores: int
    measured_at: str
    conv_base: str
    precision: str
    decode: str
    bases: tuple[BaseSpeed, ...]
    pictures: PictureCosts | None = None
    agreements: tuple[Agreement, ...] = ()
    price_per_hour: float | None = None

    @property
    def precisions(self) -> list[str]:
        """The precisions that were measured, in that order."""
        return list(dict.fromkeys(base.precision for base in self.bases))

    def has(self, engine: str, precision: str) -> bool:
        """Whether an engine was measured in a precision."""
        return any((base.engine, base.precision) == (engine, precision) for base in self.bases)

    def best(self, precision: str) -> BaseSpeed:
        """Returns the fastest settings of a precision."""
        return max(
            (base for base in self.bases if base.precision == precision), key=lambda base: base.images_per_second
        )

    def limit(self, precision: str, decode: str) -> float:
        """Returns the images a second that the machine allows; without pictures, those of the base alone."""
        bare = self.best(precision).images_per_second
        if self.pictures is None:
            return bare
        allowed = composite_limit(bare, self.pictures.decode_seconds[decode], self.cores)
        return min(allowed, self.pictures.reads_per_second)

    def agreement(self, how: str) -> Agreement | None:
        """Returns how far features move with a precision, or with scaled decoding, where that was measured."""
        return next((each for each in self.agreements if each.how == how), None)


def measured_base(spec: FeatureSpec, bases: tuple[BaseSpeed, ...]) -> Measured:
    """Returns what was measured just now of a conv base on this machine, pictures left aside.

    Args:
        spec: Its resolved spec.
        bases: How fast it is.
    """
    height, width, _ = spec.resolved_input_shape
    return Measured(
        machine=this_processor(),
        cores=available_cores(),
        measured_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        conv_base=f"{spec.conv_base} at {height} × {width} pixels",
        precision=spec.precision,
        decode=spec.decode,
        bases=bases,
    )


def composite_limit(bare: float, decode_seconds: float, cores: int) -> float:
    """Returns the images per second that a machine allows: 1 / (1/bare + decode/cores).

    Args:
        bare: Images a second of the conv base alone on all cores.
        decode_seconds: CPU seconds to decode one picture on one core.
        cores: The cores.
    """
    return 1 / (1 / bare + decode_seconds / cores)


def this_processor() -> str:
    """Returns the CPU's name, with the family and model that tell apart what hypervisors call by one name."""
    if not _CPUINFO.exists():
        return platform.processor() or platform.machine()
    first = _CPUINFO.read_text().split("\n\n")[0]
    lines = [line.partition(":") for line in first.splitlines()]
    fields = {name.strip(): value.strip() for name, colon, value in lines if colon}
    names = [f"{name} {fields[name]}" for name in ("cpu family", "model") if name in fields]
    return ", ".join([fields.get("model name", platform.machine()), *names])
