"""Batches for Keras's `fit` on TensorFlow."""

import gc
import itertools
import multiprocessing
import threading
import time

import numpy as np
import pytest
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
    tf.config.experimental.enable_op_determinism()
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
    assert started == [0, 1, 2]


def test_two_batches_are_prepared_ahead_where_operations_are_deterministic_too() -> None:
    """In a process of its own: operations stay deterministic for its whole life."""
    process = multiprocessing.get_context("spawn").Process(target=_take_one_of_endless)
    process.start()
    process.join()
    assert process.exitcode == 0


def test_what_is_left_unread_is_prepared_no_further() -> None:
    ended = threading.Event()

    def endless():
        try:
            yield from ((np.zeros(1, np.float32), np.zeros(1, np.int64)) for _ in itertools.count())
        finally:
            ended.set()

    iterator = iter(tensorflow_batches(endless, SIGNATURE))
    next(iterator)
    del iterator
    gc.collect()
    assert ended.wait(60)


def test_an_error_while_a_batch_is_prepared_arrives_after_the_batches_before_it() -> None:
    def failing():
        yield np.zeros(1, np.float32), np.zeros(1, np.int64)
        raise ValueError("no more")

    iterator = iter(tensorflow_batches(failing, SIGNATURE))
    next(iterator)
    with pytest.raises(tf.errors.InvalidArgumentError, match="no more"):
        next(iterator)


def test_no_thread_tunes_that_could_keep_an_iterator_from_ending() -> None:
    assert tensorflow_batches(lambda: iter([]), SIGNATURE).options().autotune.enabled is False
