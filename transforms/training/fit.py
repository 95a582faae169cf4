"""Training in epochs: a head fitted by Keras to the training split, with the best weights by the validation split."""

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from schemas.classifiers import LabelKind, Recipe, Split
from schemas.errors import InvalidRecipe, RunFailed
from schemas.loaders import tensorflow_batches
from transforms.linear import LinearHead
from transforms.runtime import PROGRESS
from transforms.training.dataset import TrainingData
from transforms.training.feature_rows import SplitRows
from transforms.training.heads import build_head, compile_head
from transforms.training.targets import LabelledImages

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

EVALUATION_BATCH_SIZE: Final = 1024
_ALIGNMENT: Final = 64


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A head that was trained.

    Attributes:
        head: The model, or a linear probe's arrays, with the weights that are kept.
        asked: The recipe that was asked for.
        recipe: How it was trained, with the L2 that was chosen.
        batch_size: Images an update.
        learning_rate: The optimizer's; None for L-BFGS.
        history: The loss and the accuracy on both splits, by Keras's names, an epoch each; for L-BFGS what was found
            with each L2.
        epochs: Passes over the training split.
        best_epoch: The place in the history, from 1, of the weights that are kept.
        seconds: How long it took.
        folds: Folds of the training split by which L2 was chosen; 0 where the validation split chose.
    """

    head: "keras.Model | LinearHead"
    asked: Recipe
    recipe: Recipe
    batch_size: int
    learning_rate: float | None
    history: Mapping[str, Sequence[float]]
    epochs: int
    best_epoch: int
    seconds: float
    folds: int = 0

    @property
    def validation_accuracy(self) -> float:
        """The accuracy on the validation split, or folds, of the weights that are kept, 0 to 1."""
        return self.history["val_accuracy"][self.best_epoch - 1]

    @property
    def validation_loss(self) -> float:
        """The loss on the validation split, or folds, of the weights that are kept."""
        return self.history["val_loss"][self.best_epoch - 1]


def fit_head(asked: Recipe, data: TrainingData) -> Fitted:
    """Builds and trains a head.

    The same seed gives the same weights on the same machine: this seeds Python, NumPy and TensorFlow, and makes the
    operations of TensorFlow deterministic for the whole process.

    Args:
        asked: How.
        data: What it is trained on; held or streamed, batches come from shuffled windows.

    Raises:
        RunFailed: If the loss does not stay finite.
    """
    import keras
    import tensorflow as tf

    started = time.perf_counter()
    recipe = asked.resolved()
    keras.utils.set_random_seed(recipe.seed)
    tf.config.experimental.enable_op_determinism()
    rows, images = data.rows, data.images
    moments = data.moments[recipe.map_reduction] if recipe.standardise else None
    head = build_head(recipe, rows.train.rows.shape, images.labels, moments)
    compile_head(head, recipe, images.labels)
    batch_size = recipe.batch_size_for(len(rows.train))
    learning_rate = float(head.optimizer.learning_rate)
    history = _train(head, recipe, data, batch_size)
    losses = history["val_loss"]
    if not np.isfinite([*losses, *history["loss"]]).all():
        raise RunFailed(f"The training diverged: the loss is not finite with the learning rate {learning_rate:g}.")
    best = int(np.argmin(losses)) + 1 if recipe.patience else len(losses)
    return Fitted(
        head=head,
        asked=asked,
        recipe=recipe,
        batch_size=batch_size,
        learning_rate=learning_rate,
        history=history,
        epochs=len(losses),
        best_epoch=best,
        seconds=time.perf_counter() - started,
    )


def _train(head: "keras.Model", recipe: Recipe, data: TrainingData, batch_size: int) -> Mapping[str, Sequence[float]]:
    """Trains a head that is compiled, and returns its history by Keras's names."""
    import keras

    rows, images = data.rows, data.images
    weights = class_weights(recipe.class_weight, images)
    shuffling = np.random.default_rng(recipe.seed)
    epochs = recipe.epochs or 0  # Which every resolved recipe of Keras's has.
    PROGRESS.add(planned=epochs * len(rows.train))
    stopping = [keras.callbacks.EarlyStopping("val_loss", patience=recipe.patience, restore_best_weights=True)]
    fitted = head.fit(
        _dataset(rows.train, images, batch_size, weights, shuffling),
        steps_per_epoch=_steps(rows.train, batch_size),
        epochs=epochs,
        validation_data=_dataset(rows.validation, images, EVALUATION_BATCH_SIZE, None, None),
        validation_steps=_steps(rows.validation, EVALUATION_BATCH_SIZE),
        callbacks=[_epochs_told(epochs), *(stopping if recipe.patience else [])],
        shuffle=False,  # The batches are.
        verbose=0,
    )
    PROGRESS.add(planned=(len(fitted.history["val_loss"]) - epochs) * len(rows.train))
    PROGRESS.stage = ""
    history: Mapping[str, Sequence[float]] = fitted.history
    return history


def predict_split(head: "keras.Model | LinearHead", split: SplitRows) -> np.ndarray:
    """Returns the probabilities of a split, float32 [n, outputs], in the table's order.

    One batch is held at a time: Keras's own `predict` takes as many ahead from a generator as TensorFlow sees fit.
    """
    if isinstance(head, LinearHead):
        return head.predict(split.blocks(), len(split))
    probabilities = np.empty((len(split), head.output_shape[-1]), np.float32)
    done = 0
    for features, numbers in split.batches(EVALUATION_BATCH_SIZE):
        probabilities[done : done + len(numbers)] = head.predict_on_batch(features)
        done += len(numbers)
    return probabilities


def class_weights(class_weight: str, images: LabelledImages) -> np.ndarray | None:
    """Returns float32 [classes], the weight of a row by its class, or None where all weigh the same.

    `balanced` is n / (classes · n of the class), as in scikit-learn, in rows, of which images may have several;
    `LabelledImages.check` has seen to it that no class is without images.

    Raises:
        InvalidRecipe: If images are to be weighted that have several labels, and so no class of their own.
    """
    if class_weight == "none":
        return None
    if images.labels.kind == LabelKind.MULTI_LABEL:
        raise InvalidRecipe("--class_weight=balanced weighs images by their class, and these have several labels each.")
    counts = np.bincount(images.targets[images.splits == Split.TRAIN], minlength=len(images.labels.classes))
    weights: np.ndarray = (counts.sum() / (len(counts) * counts)).astype(np.float32)
    return weights


def as_tensor(values: np.ndarray) -> "tf.Tensor":
    """Returns an array as TensorFlow's, in its place where that is as aligned as TensorFlow's own, else a copy."""
    import tensorflow as tf

    with tf.device("CPU:0"):
        if values.ctypes.data % _ALIGNMENT:
            return tf.convert_to_tensor(values)
        return tf.experimental.dlpack.from_dlpack(values.__dlpack__())


def _dataset(
    split: SplitRows,
    images: LabelledImages,
    batch_size: int,
    weights: np.ndarray | None,
    shuffling: np.random.Generator | None,
) -> "tf.data.Dataset":
    """Returns a split endlessly, epoch after epoch: features, targets and weights.

    Features that are held are gathered by TensorFlow, which spares Python two copies of each batch.
    """
    import tensorflow as tf

    held = None if split.held is None else as_tensor(split.held)
    parts = split.batches if held is None else split.places

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        while True:
            for rows, numbers in parts(batch_size, shuffling):
                yield rows, images.columns(numbers), images.weights(numbers, weights)
                PROGRESS.add(extracted=0 if shuffling is None else len(numbers))

    targets = images.columns(split.numbers[:0]).shape[1:]
    rows = tf.TensorSpec((None, *split.rows.shape), tf.float32) if held is None else tf.TensorSpec((None,), tf.int64)
    others = (tf.TensorSpec((None, *targets), tf.float32), tf.TensorSpec((None,), tf.float32))
    dataset = tensorflow_batches(batches, (rows, *others))
    return dataset if held is None else dataset.map(lambda places, *others: (tf.gather(held, places), *others))


def _epochs_told(epochs: int) -> "keras.callbacks.Callback":
    """Returns what tells the progress in which epoch a fit is."""
    import keras

    def tell(epoch: int, _: object) -> None:
        PROGRESS.stage = f"epoch {epoch + 1} of {epochs}"

    return keras.callbacks.LambdaCallback(on_epoch_begin=tell)


def _steps(split: SplitRows, batch_size: int) -> int:
    return -(-len(split) // batch_size)
