"""How fast this machine is: a conv base alone, pictures read and decoded, and what these allow together."""

from transforms.machine.agreement import Agreement, agreement_of
from transforms.machine.bases import BaseSpeed, measure_bases, speed_against_float32
from transforms.machine.kept import fastest_settings, find_measured, keep_measured
from transforms.machine.limit import Measured, composite_limit, measured_base, this_processor
from transforms.machine.pictures import PictureCosts, SampledPictures, sample_pictures
from transforms.machine.text import measured_text, time_and_cost

__all__ = [
    "Agreement",
    "BaseSpeed",
    "Measured",
    "PictureCosts",
    "SampledPictures",
    "agreement_of",
    "composite_limit",
    "fastest_settings",
    "find_measured",
    "keep_measured",
    "measure_bases",
    "measured_base",
    "measured_text",
    "sample_pictures",
    "speed_against_float32",
    "this_processor",
    "time_and_cost",
]
