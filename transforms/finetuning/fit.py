"""Fine-tuning: a trained head and the last layers of its base, trained together, gently."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from schemas.classifiers import FineTuning, LabelSet, Split
from schemas.errors import RunFailed
from transforms.evaluation import ScoredSplit, split_metrics
from transforms.finetuning.checkpoints import Checkpoint
from transforms.finetuning.dataset import LabelledPictures
from transforms.finetuning.unfreezing import TrainableNetwork, compute_in_mixed_precision
from transforms.runtime import PROGRESS
from transforms.training import class_weights, compile_classifier

if TYPE_CHECKING:
    import keras

EVALUATION_BATCH_SIZE: Final = 64


@dataclasses.dataclass(frozen=True)
class FineTuned:
    """What came of a fine-tuning; the network itself has the weights that are kept.

    Attributes:
        history: The loss and the accuracy on both splits, by Keras's names, an epoch each.
        best_epoch: The epoch, from 1, whose weights are kept; 0 where none was better than the start.
        resumed_from: The epochs that an earlier process had done.
        seconds: How long this process took.
    """

    history: Mapping[str, Sequence[float]]
    best_epoch: int
    resumed_from: int
    seconds: float


def fine_tune(
    network: TrainableNetwork,
    how: FineTuning,
    data: LabelledPictures,
    start: Checkpoint | None,
    on_epoch: Callable[[Checkpoint], None],
) -> FineTuned:
    """Trains what is released of a network.

    Everything random depends on the seed and the epoch alone: order, copies and dropout. So a training that goes on
    from a checkpoint ends as one that was never stopped.

    Args:
        network: The network, with the weights that it begins with.
        how: How it is trained.
        data: The pictures.
        start: What an earlier process left; None to begin.
        on_epoch: Is given the state after each epoch. Its `asked` and `before` are those of `start`, or empty.

    Raises:
        RunFailed: If the loss does not stay finite, or too many pictures can no longer be read.
    """
    import keras
    import tensorflow as tf

    started = time.perf_counter()
    keras.utils.set_random_seed(how.seed)
    tf.config.experimental.enable_op_determinism()
    images = data.images
    compute_in_mixed_precision(network, mixed=how.mixed_precision)
    model = network.model
    optimizer = build_optimizer(how, data.steps(Split.TRAIN, how.batch_size))
    compile_classifier(model, optimizer, images.labels)
    optimizer.build(model.trainable_variables)
    weights = class_weights(how.class_weight, images)
    state = start or _begin(network, data)
    _assign(model.trainable_variables, state.weights)
    if start:
        _assign(optimizer.variables, start.optimizer)
    resumed_from = state.epochs
    for epoch in range(resumed_from + 1, how.epochs + 1):
        if how.patience and epoch - 1 - state.best_epoch >= how.patience:
            break
        PROGRESS.stage = f"epoch {epoch} of {how.epochs}"
        found = _train_epoch(model, how, data, weights, epoch)
        state.record(found, _values(model.trainable_variables), _values(optimizer.variables))
        on_epoch(state)
    if how.patience:
        _assign(model.trainable_variables, state.best)
    compute_in_mixed_precision(network, mixed=False)
    return FineTuned(
        history=state.history,
        best_epoch=state.best_epoch if how.patience else state.epochs,
        resumed_from=resumed_from,
        seconds=time.perf_counter() - started,
    )


def _train_epoch(
    model: "keras.Model", how: FineTuning, data: LabelledPictures, weights: np.ndarray | None, epoch: int
) -> dict[str, float]:
    """Trains one epoch, and returns the loss and the accuracy on both splits, by Keras's names."""
    _seed_dropout(model, how.seed, epoch)
    pictures = data.training_epoch(epoch, how.batch_size, how.augmentation, weights, how.seed)
    updates = data.steps(Split.TRAIN, how.batch_size)
    with data.own_errors():
        trained = model.fit(pictures, steps_per_epoch=updates, shuffle=False, verbose=0).history
    found = {name: float(values[0]) for name, values in trained.items()}
    found |= {f"val_{name}": value for name, value in _validate(model, data).items()}
    if not np.isfinite([found["loss"], found["val_loss"]]).all():
        raise RunFailed(f"The training diverged: the loss is not finite with the learning rate {how.learning_rate:g}.")
    return found


def build_optimizer(how: FineTuning, updates: int) -> "keras.optimizers.Optimizer":
    """Returns the optimizer, with the schedule of its learning rate.

    Args:
        how: What is asked for.
        updates: Updates an epoch.
    """
    import keras

    learning_rate: Any = how.learning_rate
    warmup = how.warmup_epochs * updates
    schedules = keras.optimizers.schedules
    if how.decay == "cosine" and warmup:
        learning_rate = schedules.CosineDecay(
            0.0, how.epochs * updates - warmup, warmup_target=how.learning_rate, warmup_steps=warmup
        )
    elif how.decay == "cosine":
        learning_rate = schedules.CosineDecay(how.learning_rate, how.epochs * updates)
    elif warmup:
        learning_rate = schedules.PolynomialDecay(0.0, warmup, end_learning_rate=how.learning_rate)
    return keras.optimizers.get({"class_name": how.optimizer, "config": {"learning_rate": learning_rate}})


def score_split(network: TrainableNetwork, data: LabelledPictures, split: Split) -> ScoredSplit:
    """Returns what a network says of the pictures of a split; without those that can no longer be read."""
    labels, uris = data.images.labels, data.pictures.refs.column("uri")
    rows = [np.empty(0, np.int64)]
    probabilities = [np.empty((0, labels.outputs), np.float32)]
    for pixels, found in data.pictures.batches(data.numbers(split), EVALUATION_BATCH_SIZE):
        rows.append(found)
        probabilities.append(np.asarray(network.model.predict_on_batch(pixels), np.float32))
    numbers = np.concatenate(rows)
    return ScoredSplit(
        targets=data.images.targets[numbers],
        scores=labels.scores(np.concatenate(probabilities)),
        uris_of=lambda places: [uris[int(row)].as_py() for row in numbers[places]],
    )


def log_loss_of_frequencies(data: LabelledPictures, split: Split) -> float:
    """Returns the log loss on a split of the one who knows nothing but how frequent the classes are in it."""
    labels: LabelSet = data.images.labels
    targets = data.images.targets[data.numbers(split)]
    frequencies = labels.indicators(targets).mean(axis=0, dtype=np.float64)
    metrics = split_metrics(labels, targets, np.tile(frequencies.astype(np.float32), (len(targets), 1)))
    return metrics.log_loss if metrics else 0.0


def _begin(network: TrainableNetwork, data: LabelledPictures) -> Checkpoint:
    """Returns the state before the first epoch; as good as it is, no epoch may be better."""
    values = _values(network.model.trainable_variables)
    loss = _validate(network.model, data)["loss"]
    return Checkpoint({}, {}, {}, best_epoch=0, best_loss=loss, weights=values, optimizer=[], best=values)


def _validate(model: "keras.Model", data: LabelledPictures) -> dict[str, float]:
    pictures = data.evaluation(Split.VALIDATION, EVALUATION_BATCH_SIZE)
    steps = data.steps(Split.VALIDATION, EVALUATION_BATCH_SIZE)
    with data.own_errors():
        found = model.evaluate(pictures, steps=steps, verbose=0, return_dict=True)
    return {name: float(value) for name, value in found.items()}


def _seed_dropout(model: "keras.Model", seed: int, epoch: int) -> None:
    """Sets the state of every layer that draws at random."""
    weights = {id(variable) for variable in model.weights}
    for number, variable in enumerate(variable for variable in model.variables if id(variable) not in weights):
        if variable.path.endswith("seed_generator_state"):
            variable.assign(np.array([seed, epoch * 2**16 + number * 2**8], np.uint32))


def _values(variables: "Sequence[keras.Variable]") -> list[np.ndarray]:
    return [np.array(variable.numpy()) for variable in variables]


def _assign(variables: "Sequence[keras.Variable]", values: Sequence[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
