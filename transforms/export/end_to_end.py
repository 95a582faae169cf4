"""Composing: a trained head on the conv base that made its features, as one model from pixels to probabilities.

<model>/classifier.keras               features -> probabilities
<model>/end_to_end.keras               uint8 pixels -> probabilities
<model>/openvino/classifier.xml        the same two for workers, which load no TensorFlow
<model>/openvino/end_to_end.xml
<model>/base.weights.h5                the weights of a fine-tuned base alone, as Keras's own builders load them
"""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Final

from schemas.spec import NO_WEIGHTS, FeatureSpec
from schemas.store import FeatureStore
from transforms.conv_bases import KERAS_FILE, export_to_openvino, fetch_published, in_keras_process, load_application

if TYPE_CHECKING:
    import keras

CLASSIFIER_FILE: Final = "classifier.keras"
END_TO_END_FILE: Final = "end_to_end.keras"
BASE_WEIGHTS_FILE: Final = "base.weights.h5"
CLASSIFIER_NETWORK: Final = ("classifier.xml", "classifier.bin")
END_TO_END_NETWORK: Final = ("end_to_end.xml", "end_to_end.bin")


def compose_end_to_end(store: FeatureStore, layer: str, folder: Path) -> None:
    """Puts the classifier in a folder on the store's own conv base, and writes the other three forms beside it.

    Args:
        store: The store whose features the classifier takes.
        layer: The layer that it takes.
        folder: A local folder that holds `classifier.keras`.

    Raises:
        RunFailed: If the conv base is not the one that was published, or the process that builds the model is killed.
    """
    fetch_published(store.conv_base_uri, (KERAS_FILE,), folder)
    in_keras_process(_compose, store.spec.layers.index(layer), folder)
    Path(folder, KERAS_FILE).unlink()


def compose_fine_tuned(spec: FeatureSpec, folder: Path) -> None:
    """Does the same for a classifier whose base was trained with it, and writes the base's weights as well.

    Layers of the application that lie beyond the base's outputs, of which the base knows nothing, get random weights.

    Args:
        spec: The spec of the application that the base is part of.
        folder: A local folder that holds `classifier.keras`, and `base.keras` from pixels to the features that the
            classifier takes.

    Raises:
        RunFailed: If the process that builds the model is killed.
    """
    in_keras_process(_compose_fine_tuned, spec, folder)
    Path(folder, KERAS_FILE).unlink()


def find_application(base: "keras.Model") -> "keras.Model":
    """Returns the Keras application in a published base, which is preprocessing, application and pooling."""
    import keras

    return next(layer for layer in base.layers if isinstance(layer, keras.Model))


def _compose_fine_tuned(spec: FeatureSpec, folder: Path) -> None:
    import keras

    random = dataclasses.replace(spec, weights=NO_WEIGHTS, weights_sha256=None)
    application, _ = load_application(random)
    tuned = find_application(keras.saving.load_model(folder / KERAS_FILE, compile=False))
    weights = {layer.name: layer.get_weights() for layer in tuned.layers}
    for layer in application.layers:
        if layer.name in weights:
            layer.set_weights(weights[layer.name])
    application.save_weights(folder / BASE_WEIGHTS_FILE)
    _compose(0, folder)


def _compose(output: int, folder: Path) -> None:
    import keras

    base = keras.saving.load_model(folder / KERAS_FILE, compile=False)
    head = keras.saving.load_model(folder / CLASSIFIER_FILE, compile=False)
    end_to_end = keras.Model(base.inputs, head(base.outputs[output]), name="end_to_end")
    end_to_end.save(folder / END_TO_END_FILE)
    export_to_openvino(head, folder / CLASSIFIER_NETWORK[0])
    export_to_openvino(end_to_end, folder / END_TO_END_NETWORK[0])
