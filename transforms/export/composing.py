"""Composing: a trained head on the conv base that made its features, as one model from pixels to probabilities.

<model>/classifier.keras               features -> probabilities
<model>/end_to_end.keras               uint8 pixels -> probabilities
<model>/openvino/classifier.xml        the same two for workers, which load no TensorFlow
<model>/openvino/end_to_end.xml
<model>/base.weights.h5                the weights of a fine-tuned base alone, as Keras's own builders load them

These functions run in a process of their own, where Keras is on its OpenVINO backend.
"""

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Final

from schemas.classifiers import LabelSet
from schemas.errors import RunFailed, shown
from schemas.spec import NO_WEIGHTS, FeatureSpec, Shape
from transforms.conv_bases import KERAS_FILE, load_application
from transforms.linear import LinearHead
from transforms.networks import export_to_openvino, load_keras_model
from transforms.training import build_linear_head

if TYPE_CHECKING:
    import keras

CLASSIFIER_FILE: Final = "classifier.keras"
END_TO_END_FILE: Final = "end_to_end.keras"
BASE_WEIGHTS_FILE: Final = "base.weights.h5"
CLASSIFIER_NETWORK: Final = ("classifier.xml", "classifier.bin")
END_TO_END_NETWORK: Final = ("end_to_end.xml", "end_to_end.bin")


def load_base_ahead(folder: Path) -> None:
    """Loads the base in a folder for the call that composes, which comes to the same process."""
    _load_base(folder)


def compose(folder: Path, output: int) -> None:
    """Puts the classifier in a folder on the base in it, and writes the other three forms beside it.

    Args:
        folder: A local folder that holds `base.keras` and `classifier.keras`.
        output: The number of the base's output that the classifier takes.
    """
    _compose(folder, output, load_keras_model(folder / CLASSIFIER_FILE))


def compose_linear(folder: Path, output: int, head: LinearHead, labels: LabelSet, shape: Shape) -> None:
    """Does the same for a classifier that was fitted without Keras, and writes all four forms.

    Args:
        folder: A local folder that holds `base.keras`.
        output: The number of the base's output that the classifier takes.
        head: The classifier.
        labels: Its classes.
        shape: The shape of a feature.
    """
    model = build_linear_head(head, labels, shape)
    model.save(folder / CLASSIFIER_FILE)
    _compose(folder, output, model)


def compose_tuned(folder: Path, spec: FeatureSpec) -> None:
    """Does the same for a classifier whose base was trained with it, and writes the base's weights as well.

    Layers of the application that lie beyond the base's outputs, of which the base knows nothing, get random weights.

    Args:
        folder: A local folder that holds `classifier.keras`, and `base.keras` from pixels to the features that the
            classifier takes.
        spec: The spec of the application that the base is part of.
    """
    random = dataclasses.replace(spec, weights=NO_WEIGHTS, weights_sha256=None)
    application, _ = load_application(random)
    tuned = find_application(_load_base(folder))
    weights = {layer.name: layer.get_weights() for layer in tuned.layers}
    for layer in application.layers:
        if layer.name in weights:
            layer.set_weights(weights[layer.name])
    application.save_weights(folder / BASE_WEIGHTS_FILE)
    compose(folder, 0)


def find_application(base: "keras.Model") -> "keras.Model":
    """Returns the Keras application in a published base, which is preprocessing, application and pooling.

    Raises:
        RunFailed: If there is none.
    """
    import keras

    found = [layer for layer in base.layers if isinstance(layer, keras.Model)]
    if not found:
        raise RunFailed(f"The model {shown(base.name)} holds no Keras application.")
    return found[0]


@functools.cache
def _load_base(folder: Path) -> "keras.Model":
    return load_keras_model(folder / KERAS_FILE)


def _compose(folder: Path, output: int, head: "keras.Model") -> None:
    import keras

    base = _load_base(folder)
    end_to_end = keras.Model(base.inputs, head(base.outputs[output]), name="end_to_end")
    end_to_end.save(folder / END_TO_END_FILE)
    export_to_openvino(head, folder / CLASSIFIER_NETWORK[0])
    export_to_openvino(end_to_end, folder / END_TO_END_NETWORK[0])
