"""TensorFlow (2.21): importing it without its start-up notes, which no setting silences, and feeding it batches."""

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

_BATCHES_AHEAD: Final = 2

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

        tf.config.list_physical_devices()
        # The first dataset over a generator, too, has something to say.
        next(iter(tensorflow_batches(lambda: iter([(np.zeros(1),)]), [tf.TensorSpec((1,), tf.float32)])))


def tensorflow_batches(
    batches: Callable[[], Iterator[tuple[np.ndarray, ...]]], signature: "Sequence[tf.TensorSpec]"
) -> "tf.data.Dataset":
    """Returns batches as Keras's `fit` on TensorFlow takes them, two prepared ahead.

    Given the generator itself, Keras has as many prepared as TensorFlow sees fit. Nothing is tuned while it runs: the
    thread that does may miss that an iterator ends, which then waits, for up to a minute, until that thread wakes.

    Args:
        batches: Starts to yield the batches.
        signature: The shape and the dtype of each array of a batch.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = tf.data.Dataset.from_generator(batches, output_signature=tuple(signature))
    return dataset.prefetch(_BATCHES_AHEAD).with_options(options)


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
