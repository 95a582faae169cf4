"""Composing: a trained head on the conv base that made its features, as one model from pixels to probabilities.

<model>/classifier.keras               features -> probabilities
<model>/end_to_end.keras               uint8 pixels -> probabilities
<model>/openvino/classifier.xml        the same two for workers, which load no TensorFlow
<model>/openvino/end_to_end.xml
"""

from pathlib import Path
from typing import Final

from schemas.store import FeatureStore
from transforms.publishing import KERAS_FILE, export_to_openvino, fetch_published, in_keras_process

CLASSIFIER_FILE: Final = "classifier.keras"
END_TO_END_FILE: Final = "end_to_end.keras"
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


def _compose(output: int, folder: Path) -> None:
    import keras

    base = keras.saving.load_model(folder / KERAS_FILE, compile=False)
    head = keras.saving.load_model(folder / CLASSIFIER_FILE, compile=False)
    end_to_end = keras.Model(base.inputs, head(base.outputs[output]), name="end_to_end")
    end_to_end.save(folder / END_TO_END_FILE)
    export_to_openvino(head, folder / CLASSIFIER_NETWORK[0])
    export_to_openvino(end_to_end, folder / END_TO_END_NETWORK[0])
