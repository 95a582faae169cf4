"""The process that a transform runs in: cores, pools, memory, counters, versions, TensorFlow."""

from transforms.runtime.blas import single_threaded_blas
from transforms.runtime.cores import available_cores
from transforms.runtime.counters import PROGRESS, Progress, ShardProgress, progress_of_processes, shard_progress
from transforms.runtime.mapping import FIRST_READS, MOST_READS, ReadWindow, windowed_map
from transforms.runtime.memory import available_memory, limit_memory, peak_memory, return_freed_memory, trim_heap
from transforms.runtime.meter import Meter
from transforms.runtime.openvino import OPENVINO_ERRORS, import_openvino, why_openvino_fails, without_telemetry
from transforms.runtime.temporary import temporary_folder
from transforms.runtime.tensorflow import import_tensorflow
from transforms.runtime.versions import package_versions

__all__ = [
    "FIRST_READS",
    "MOST_READS",
    "OPENVINO_ERRORS",
    "PROGRESS",
    "Meter",
    "Progress",
    "ReadWindow",
    "ShardProgress",
    "available_cores",
    "available_memory",
    "import_openvino",
    "import_tensorflow",
    "limit_memory",
    "package_versions",
    "peak_memory",
    "progress_of_processes",
    "return_freed_memory",
    "shard_progress",
    "single_threaded_blas",
    "temporary_folder",
    "trim_heap",
    "why_openvino_fails",
    "windowed_map",
    "without_telemetry",
]
