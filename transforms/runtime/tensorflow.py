"""Importing TensorFlow without its start-up notes, which no setting of its own silences (2.21)."""

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Final

import numpy as np

_LOGGER: Final = logging.getLogger(__name__)


def import_tensorflow() -> None:
    """Imports TensorFlow, chooses it as the backend of Keras, and looks for devices.

    What it writes to standard error meanwhile is logged at level debug. To be called before Keras is imported.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    # Else it takes a GPU's whole memory, and leaves none for a second process.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    with _logged_standard_error():
        import tensorflow as tf

        from schemas.loaders import tensorflow_batches

        tf.config.list_physical_devices()
        # The first dataset over a generator, too, has something to say.
        next(iter(tensorflow_batches(lambda: iter([(np.zeros(1),)]), (tf.TensorSpec((1,), tf.float32),))))


@contextlib.contextmanager
def _logged_standard_error() -> Iterator[None]:
    """Catches what native code writes to the file descriptor of standard error, past `sys.stderr`."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            notes.seek(0)
            _LOGGER.debug("TensorFlow said: %s", notes.read().decode(errors="replace"))
