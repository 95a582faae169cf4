"""Unfreezing: a classifier on its conv base in, the same with the last layers of the base released for training out."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Final

from schemas.errors import InvalidRecipe, RunFailed, nearest_names
from transforms.export import find_application
from transforms.networks import load_keras_model

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

MIXED_PRECISION: Final = "mixed_bfloat16"
_BFLOAT16_CAPABILITY: Final = (8, 0)


@dataclasses.dataclass(frozen=True)
class TrainableNetwork:
    """A classifier on its conv base, to be trained together. The models share their layers.

    Attributes:
        model: uint8 pixels [N, H, W, 3] -> probabilities; the base in inference mode, the head in that of the call.
        base: uint8 pixels -> features.
        head: features -> probabilities.
    """

    model: "keras.Model"
    base: "keras.Model"
    head: "keras.Model"

    @property
    def application(self) -> "keras.Model":
        """The Keras application in the base."""
        return find_application(self.base)

    @property
    def trainable_parameters(self) -> tuple[int, int]:
        """The parameters of the base and of the head that training changes."""
        return _parameters(self.base), _parameters(self.head)


def open_network(path: Path) -> TrainableNetwork:
    """Loads an end-to-end model and takes it apart.

    The base runs in inference mode even where the model is trained: batch normalisation keeps the moments of the
    pictures that the base was made with, for a few small batches would spoil them.

    Args:
        path: An `end_to_end.keras`.

    Raises:
        RunFailed: If it is none.
    """
    import keras

    end_to_end = load_keras_model(path)
    try:
        head = end_to_end.layers[-1]
        # `head.input` would be the head's own; this is the tensor of the base that it was called on.
        (features,) = head._inbound_nodes[-1].input_tensors
        application = find_application(end_to_end)
        base = keras.Model(end_to_end.input, features, name=f"{application.name}_features")
    except (AttributeError, IndexError, ValueError, RunFailed) as error:
        raise RunFailed(f"{path.name} is no conv base with a head on it, as pipelines.train writes it.") from error

    class HeadOnBase(keras.Model):  # type: ignore[misc]
        """A functional model would hand its own mode on to the base, whatever the base was called with (Keras 3.15)."""

        def call(self, pixels: "tf.Tensor", training: bool | None = None) -> "tf.Tensor":
            return head(base(pixels, training=False), training=training)

    model = HeadOnBase()
    model.base, model.head = base, head  # Keras finds their weights there.
    return TrainableNetwork(model, base, head)


def unfreeze(network: TrainableNetwork, layer: str) -> None:
    """Releases a layer of the base and all that follow in Keras's order, batch normalisation excepted.

    Args:
        network: The network; what is trainable of its head stays so.
        layer: The name of the layer.

    Raises:
        InvalidRecipe: If the base has no such layer, or nothing from there on can be trained.
    """
    import keras

    application = network.application
    names = [known.name for known in application.layers]
    if layer not in names:
        near = nearest_names(layer, names) or f"; its last ones are {', '.join(names[-5:])}."
        raise InvalidRecipe(f"The conv base {application.name} has no layer '{layer}'{near}")
    application.trainable = True
    for number, known in enumerate(application.layers):
        known.trainable = number >= names.index(layer)
        for inner in known._flatten_layers():
            if isinstance(inner, keras.layers.BatchNormalization):
                inner.trainable = False
    if not network.trainable_parameters[0]:
        raise InvalidRecipe(
            f"The conv base {application.name} has nothing to train from the layer '{layer}' on; name an earlier one."
        )


def compute_in_mixed_precision(network: TrainableNetwork, *, mixed: bool) -> None:
    """Lets the application compute in bfloat16, weights in float32, or puts it back to float32."""
    for layer in network.application._flatten_layers(include_self=False):
        layer.dtype_policy = MIXED_PRECISION if mixed else "float32"


def gpu_takes_bfloat16() -> bool:
    """Whether TensorFlow sees a GPU, and all of them compute in bfloat16: NVIDIA's since Ampere."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    return bool(gpus) and all(found.get("compute_capability", (0, 0)) >= _BFLOAT16_CAPABILITY for found in details)


def _parameters(model: "keras.Model") -> int:
    return sum(int(variable.shape.num_elements()) for variable in model.trainable_variables)
