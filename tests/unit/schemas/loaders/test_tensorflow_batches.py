"""Batches for Keras's `fit` on TensorFlow."""

import itertools
import multiprocessing
import threading
import time

import numpy as np
import tensorflow as tf

from schemas.loaders import tensorflow_batches

SIGNATURE = (tf.TensorSpec((None,), tf.float32), tf.TensorSpec((None,), tf.int64))


def test_batches_arrive_whole_and_in_order() -> None:
    batches = [(np.full(size, size, np.float32), np.arange(size)) for size in (3, 2, 1)]
    arrived = list(tensorflow_batches(lambda: iter(batches), SIGNATURE).as_numpy_iterator())
    assert len(arrived) == 3
    for (floats, numbers), (came_floats, came_numbers) in zip(batches, arrived, strict=True):
        np.testing.assert_array_equal(came_floats, floats)
        np.testing.assert_array_equal(came_numbers, numbers)


def _take_one_of_endless() -> None:
    started = []
    enough = threading.Event()

    def endless():
        for number in itertools.count():
            started.append(number)
            if number == 2:
                enough.set()
            yield np.zeros(1, np.float32), np.zeros(1, np.int64)

    iterator = iter(tensorflow_batches(endless, SIGNATURE))
    next(iterator)
    assert enough.wait(120)
    time.sleep(0.2)
    # The one that was taken, two that are prepared, and those between: without a bound there would be hundreds.
    assert len(started) <= 8


def test_two_batches_are_prepared_ahead_and_not_any_number() -> None:
    """In a process of its own: where a training has made operations deterministic, TensorFlow prepares none ahead."""
    process = multiprocessing.get_context("spawn").Process(target=_take_one_of_endless)
    process.start()
    process.join()
    assert process.exitcode == 0


def test_no_thread_tunes_that_could_keep_an_iterator_from_ending() -> None:
    assert tensorflow_batches(lambda: iter([]), SIGNATURE).options().autotune.enabled is False
