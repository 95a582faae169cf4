"""Composing: a trained head on the conv base that made its features, as one model from pixels to probabilities.

<model>/classifier.keras               features -> probabilities
<model>/end_to_end.keras               uint8 pixels -> probabilities, where the base is a Keras model
<model>/end_to_end.onnx                the same, for ONNX Runtime and others
<model>/openvino/classifier.xml        the same two for workers, which load no TensorFlow
<model>/openvino/end_to_end.xml
<model>/base.weights.h5                the weights of a fine-tuned base alone, as Keras's own builders load them
<model>/base_network.keras             in place of it a fine-tuned base that was a saved network, as it was

These functions run in a process of their own, where Keras is on its OpenVINO backend.
"""

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Final

from schemas.classifiers import LabelSet
from schemas.errors import RunFailed, shown
from schemas.spec import NO_WEIGHTS, FeatureSpec, Shape
from transforms.linear import LinearHead
from transforms.networks import NotInOnnx, export_to_openvino, join_networks, load_keras_model, write_onnx
from transforms.origins import KERAS_FILE, OPENVINO_FILES, load_application
from transforms.training import build_linear_head

if TYPE_CHECKING:
    import keras

CLASSIFIER_FILE: Final = "classifier.keras"
END_TO_END_FILE: Final = "end_to_end.keras"
BASE_WEIGHTS_FILE: Final = "base.weights.h5"
BASE_NETWORK_FILE: Final = "base_network.keras"
END_TO_END_ONNX: Final = "end_to_end.onnx"
CLASSIFIER_NETWORK: Final = ("classifier.xml", "classifier.bin")
END_TO_END_NETWORK: Final = ("end_to_end.xml", "end_to_end.bin")


def load_base_ahead(folder: Path) -> None:
    """Loads the base in a folder for the call that composes, which comes to the same process."""
    if Path(folder, KERAS_FILE).exists():
        _load_base(folder)


def compose(folder: Path, output: int) -> str:
    """Puts the classifier in a folder on the base in it, and writes its other forms beside it.

    Args:
        folder: A local folder that holds `classifier.keras`, and `base.keras` or, of a base that is no Keras model, its
            OpenVINO network.
        output: The number of the base's output that the classifier takes.

    Returns:
        Why there is no ONNX file; empty where there is one.
    """
    return _compose(folder, output, load_keras_model(folder / CLASSIFIER_FILE))


def compose_linear(folder: Path, output: int, head: LinearHead, labels: LabelSet, shape: Shape) -> str:
    """Does the same for a classifier that was fitted without Keras, and writes all forms.

    Args:
        folder: A local folder that holds the base.
        output: The number of the base's output that the classifier takes.
        head: The classifier.
        labels: Its classes.
        shape: The shape of a feature.
    """
    model = build_linear_head(head, labels, shape)
    model.save(folder / CLASSIFIER_FILE)
    return _compose(folder, output, model)


def compose_tuned(folder: Path, spec: FeatureSpec) -> str:
    """Does the same for a classifier whose base was trained with it, and writes the base alone as well.

    Layers of the application that lie beyond the base's outputs, of which the base knows nothing, get random weights.

    Args:
        folder: A local folder that holds `classifier.keras`, and `base.keras` from pixels to the features that the
            classifier takes.
        spec: The spec of the application, or the saved network, that the base is part of.
    """
    tuned = find_application(_load_base(folder))
    if spec.saved_format is None:
        _save_weights(tuned, folder / BASE_WEIGHTS_FILE, spec)
    else:
        tuned.save(folder / BASE_NETWORK_FILE)
    return compose(folder, 0)


def _save_weights(tuned: "keras.Model", path: Path, spec: FeatureSpec) -> None:
    random = dataclasses.replace(spec, weights=NO_WEIGHTS, weights_sha256=None)
    application, _ = load_application(random)
    weights = {layer.name: layer.get_weights() for layer in tuned.layers}
    for layer in application.layers:
        if layer.name in weights:
            layer.set_weights(weights[layer.name])
    application.save_weights(path)


def tuned_base_file(spec: FeatureSpec) -> str:
    """Returns the name of the file that a fine-tuned base is written to alone: of its weights, or a saved network."""
    return BASE_WEIGHTS_FILE if spec.saved_format is None else BASE_NETWORK_FILE


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


def _compose(folder: Path, output: int, head: "keras.Model") -> str:
    import keras

    classifier, end_to_end = folder / CLASSIFIER_NETWORK[0], folder / END_TO_END_NETWORK[0]
    export_to_openvino(head, classifier)
    if Path(folder, KERAS_FILE).exists():
        base = _load_base(folder)
        model = keras.Model(base.inputs, head(base.outputs[output]), name="end_to_end")
        model.save(folder / END_TO_END_FILE)
        export_to_openvino(model, end_to_end)
    else:
        join_networks(folder / OPENVINO_FILES[0], output, classifier, end_to_end)
    try:
        write_onnx(end_to_end, folder / END_TO_END_ONNX)
    except NotInOnnx as error:
        return str(error)
    return ""
