"""The data of fine-tuning: pictures, their targets and their weights as `tf.data`, another copy of each an epoch."""

import contextlib
import dataclasses
import functools
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from schemas.augmentation import Augmentation
from schemas.classifiers import LabelKind, Split
from schemas.errors import ConvbaseError
from schemas.loaders import tensorflow_batches
from transforms.finetuning.pictures import Pictures
from transforms.images import augmented
from transforms.runtime import PROGRESS
from transforms.training import LabelledImages

if TYPE_CHECKING:
    import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class LabelledPictures:
    """Pictures with their targets and splits.

    Attributes:
        pictures: The pictures.
        images: The target and the split of each row of `pictures.refs`.
        errors: What ended a dataset early.
    """

    pictures: Pictures
    images: LabelledImages
    errors: list[ConvbaseError] = dataclasses.field(default_factory=list)

    def numbers(self, split: Split) -> np.ndarray:
        """Returns int64 [n], the rows of a split, ascending."""
        return np.flatnonzero(self.images.splits == split)

    def steps(self, split: Split, batch_size: int) -> int:
        """Returns the batches of a split."""
        return -(-len(self.numbers(split)) // batch_size)

    def training_epoch(
        self, epoch: int, batch_size: int, augmentation: Augmentation | None, weights: np.ndarray | None, seed: int
    ) -> "tf.data.Dataset":
        """Returns the training split in an order, and as copies, that depend on nothing but the arguments.

        Args:
            epoch: The epoch, from 1; the number of the copies.
            batch_size: Pictures a batch.
            augmentation: The ranges of the copies; the pictures themselves where it is None.
            weights: float32 [classes], the weight of an image by its class; None where all weigh the same.
            seed: Another seed gives another order.
        """
        numbers = np.random.default_rng([seed, epoch]).permutation(self.numbers(Split.TRAIN))

        def batches() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
            change = functools.partial(_copy, augmentation=augmentation, index=epoch)
            for pixels, found in self.pictures.batches(numbers, batch_size, change):
                yield pixels, self.images.columns(found), self.images.weights(found, weights)
                PROGRESS.add(extracted=len(found))

        return self._dataset(batches, weighted=True)

    def evaluation(self, split: Split, batch_size: int) -> "tf.data.Dataset":
        """Returns a split as it is, in the order of the rows."""

        def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            for pixels, found in self.pictures.batches(self.numbers(split), batch_size):
                yield pixels, self.images.columns(found)

        return self._dataset(batches, weighted=False)

    @contextlib.contextmanager
    def own_errors(self) -> Iterator[None]:
        """Raises what ended a dataset early, in the place of what Keras makes of that."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "\\s*Your input ran out of data")
            try:
                yield
            finally:
                if self.errors:
                    raise self.errors[0] from None

    def _dataset(self, batches: Callable[[], Iterator[tuple[np.ndarray, ...]]], *, weighted: bool) -> "tf.data.Dataset":
        import tensorflow as tf

        rules, labels = self.pictures.rules.decoding, self.images.labels

        def until_an_error() -> Iterator[tuple[np.ndarray, ...]]:
            try:
                yield from batches()
            except ConvbaseError as error:
                self.errors.append(error)  # TensorFlow would write it out with its traceback.

        outputs = len(labels.classes) if labels.kind == LabelKind.MULTI_LABEL else 1
        signature = (
            tf.TensorSpec((None, rules.height, rules.width, 3), tf.uint8),
            tf.TensorSpec((None, outputs), tf.float32),
            *([tf.TensorSpec((None,), tf.float32)] if weighted else []),
        )
        return tensorflow_batches(until_an_error, signature)


def _copy(pixels: np.ndarray, sha256: str, augmentation: Augmentation | None, index: int) -> np.ndarray:
    return pixels if augmentation is None else augmented(pixels, augmentation, sha256, index)
