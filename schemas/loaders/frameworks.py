"""Batches for TensorFlow, JAX and Hugging Face's datasets, each imported where it is asked for."""

import concurrent.futures
import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import numpy as np
import pyarrow as pa

from schemas.errors import UsageError
from schemas.loaders.batches import Batch, RowBatches, is_number
from schemas.loaders.order import Reader
from schemas.tables import feature_shape
from schemas.threads import bounded_map

if TYPE_CHECKING:
    import datasets
    import tensorflow as tf

T = TypeVar("T")

_BATCHES_AHEAD: Final = 2
_DIMENSIONS_OF_MAPS: Final = 3


def tensorflow_batches(batches: Callable[[], Iterator[Any]], signature: Any) -> "tf.data.Dataset":
    """Returns batches as TensorFlow, and Keras's `fit` on it, take them, two prepared ahead.

    A thread of ours prepares them: TensorFlow prepares none where its operations were made deterministic, as in
    training, and Keras, given the generator itself, has as many prepared as TensorFlow sees fit. Nothing is tuned while
    it runs: the thread that does may miss that an iterator ends, which then waits, for up to a minute, until that
    thread wakes (TensorFlow 2.21).

    Args:
        batches: Starts to yield the batches, each a tuple or a dictionary of arrays.
        signature: The same of `tf.TensorSpec`, the shape and the dtype of each array.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = tf.data.Dataset.from_generator(lambda: _prepared_ahead(batches()), output_signature=signature)
    return dataset.with_options(options)


def _prepared_ahead(items: Iterator[T]) -> Iterator[T]:
    """Yields items, while a thread prepares the next ones."""
    end = object()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        for item in bounded_map(pool, lambda _: next(items, end), itertools.repeat(None), _BATCHES_AHEAD + 1):
            if item is end:
                return
            yield cast("T", item)


def tf_dataset(batches: RowBatches, epoch: int, step: int, reader: Reader) -> "tf.data.Dataset":
    """Returns batches as a `tf.data.Dataset`: dictionaries by column; each iteration is the next epoch.

    Args:
        batches: The batches.
        epoch: The epoch of the first iteration.
        step: Batches of that epoch which are left out.
        reader: Which process this is.

    Raises:
        UsageError: If a column is neither of features nor of numbers nor of texts.
    """
    import tensorflow as tf

    signature = {}
    for field in batches.schema:
        shape = feature_shape(field)
        if shape is not None:
            signature[field.name] = tf.TensorSpec((None, *shape), tf.float32)
        elif is_number(field.type):
            signature[field.name] = tf.TensorSpec((None,), tf.as_dtype(field.type.to_pandas_dtype()))
        elif pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            signature[field.name] = tf.TensorSpec((None,), tf.string)
        else:
            raise UsageError(
                f"The column '{field.name}' of {field.type} becomes no tensor: name the columns that are wanted, as in "
                f"scan(['uri', …])."
            )
    epochs = itertools.count(epoch)

    def generate() -> Iterator[Batch]:
        number = next(epochs)
        for batch in batches.read(number, step if number == epoch else 0, reader):
            yield {name: _without_none(values) for name, values in batch.items()}

    return tensorflow_batches(generate, signature)


def _without_none(values: np.ndarray) -> np.ndarray:
    return np.array([value or "" for value in values], object) if values.dtype == object else values


def jax_batches(batches: RowBatches, epoch: int, step: int, reader: Reader) -> Iterator[dict[str, Any]]:
    """Yields the batches of an epoch, dictionaries by column: arrays of features and numbers on JAX's default device.

    Args:
        batches: The batches.
        epoch: The epoch.
        step: Batches of it that are left out.
        reader: Which process this is.
    """
    import jax

    for batch in batches.read(epoch, step, reader):
        yield {
            name: values.tolist() if values.dtype == object else jax.numpy.asarray(values)
            for name, values in batch.items()
        }


def hugging_face_rows(batches: RowBatches) -> "datasets.IterableDataset":
    """Returns rows as a `datasets.IterableDataset`, a shard a row group: it shuffles, divides and resumes by itself.

    Args:
        batches: Whose rows; their order is of no account.
    """
    import datasets

    columns = datasets.Features.from_arrow_schema(pa.schema(map(_of_fixed_size, batches.schema)).remove_metadata())
    shapes = {field.name: feature_shape(field) for field in batches.schema}
    for name, shape in shapes.items():
        if shape is not None and len(shape) == _DIMENSIONS_OF_MAPS:
            columns[name] = datasets.Array3D(shape, "float32")
    return datasets.IterableDataset.from_generator(
        _rows, features=columns, gen_kwargs={"batches": batches, "groups": list(range(len(batches.groups)))}
    )


def _of_fixed_size(field: pa.Field) -> pa.Field:
    shape = feature_shape(field)
    return field if shape is None or len(shape) > 1 else field.with_type(pa.list_(pa.float32(), shape[0]))


def _rows(batches: RowBatches, groups: list[int]) -> Iterator[dict[str, Any]]:
    names = batches.schema.names
    for group in groups:
        columns = batches.of_group(group)
        for values in zip(*columns, strict=True):
            yield dict(zip(names, values, strict=True))
