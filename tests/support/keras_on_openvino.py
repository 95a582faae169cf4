"""What a process for Keras imports before it works, in seconds: preloaded by the server that forks them for tests.

See `tests/support/keras_processes.py`.
"""

import importlib
import os
import sys

from transforms.networks import keras_process
from transforms.runtime import without_telemetry

os.environ["KERAS_BACKEND"] = "openvino"
without_telemetry()
sys.meta_path.insert(0, keras_process._WithoutTensorFlow())
for module in (
    "keras",
    "transforms.conv_bases.publishing",
    "transforms.origins.finding",
    "transforms.export.composing",
):
    importlib.import_module(module)
