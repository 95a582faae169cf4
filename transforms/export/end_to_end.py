"""The process that puts classifiers on conv bases: it begins with a training, and has the base ready when that ends."""

import concurrent.futures
import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.classifiers import LabelSet
from schemas.spec import FeatureSpec
from schemas.store import FeatureStore
from transforms.conv_bases import fetch_published
from transforms.export.composing import CLASSIFIER_FILE, compose, compose_linear, compose_tuned, load_base_ahead
from transforms.linear import LinearHead
from transforms.networks import KerasProcess, in_keras_process
from transforms.origins import KERAS_FILE, OPENVINO_FILES
from transforms.runtime import temporary_folder

if TYPE_CHECKING:
    import keras


@dataclasses.dataclass(frozen=True)
class Composer:
    """Puts a classifier on the conv base of a store, in a process that has the base ready when the training ends.

    Attributes:
        folder: The local folder of the models.
        spec: The spec of the base.
        process: The process.
        thread: The thread that waits for it.
        ready: Done once the base is loaded.
    """

    folder: Path
    spec: FeatureSpec
    process: KerasProcess
    thread: concurrent.futures.ThreadPoolExecutor
    ready: "concurrent.futures.Future[None]"

    @contextlib.contextmanager
    def of(self, store: FeatureStore) -> "Iterator[Composer]":
        """Gives a composer for a store: this one, unless it is for another base."""
        if store.spec == self.spec:
            yield self
        else:
            with composer_for(store) as other:
                yield other

    def start(self, head: "keras.Model | LinearHead", layer: str, labels: LabelSet) -> "concurrent.futures.Future[str]":
        """Begins to write all forms of a classifier into the folder.

        The future says why there is no ONNX file, if there is none, and raises RunFailed if the conv base is not the
        one that was published, or the process is killed.

        Args:
            head: The classifier.
            layer: The layer that it takes.
            labels: Its classes.
        """
        output = self.spec.layers.index(layer)
        if isinstance(head, LinearHead):
            shape = self.spec.feature_shapes[output]
            return self.thread.submit(self._compose, compose_linear, self.folder, output, head, labels, shape)
        head.save(self.folder / CLASSIFIER_FILE)
        return self.thread.submit(self._compose, compose, self.folder, output)

    def _compose(self, function: Callable[..., str], *args: object) -> str:
        self.ready.result()
        why_no_onnx = self.process.call(function, *args)
        for name in _files_to_compose(self.spec):
            Path(self.folder, name).unlink()
        return why_no_onnx


def _files_to_compose(spec: FeatureSpec) -> tuple[str, ...]:
    """Returns the files of a base that a classifier is put on."""
    return (KERAS_FILE,) if spec.is_keras else OPENVINO_FILES


@contextlib.contextmanager
def composer_for(store: FeatureStore) -> Iterator[Composer]:
    """Starts the process that will put a classifier on the conv base of a store, and lets it load the base meanwhile.

    Args:
        store: The store whose features the classifier takes.
    """
    with (
        temporary_folder() as folder,
        KerasProcess() as process,
        concurrent.futures.ThreadPoolExecutor(1) as thread,
    ):

        def load_base() -> None:
            fetch_published(store.conv_base(), _files_to_compose(store.spec), folder)
            process.call(load_base_ahead, folder)

        yield Composer(folder, store.spec, process, thread, thread.submit(load_base))


def compose_fine_tuned(spec: FeatureSpec, folder: Path) -> str:
    """Puts a classifier on a base that was trained with it, and writes all four forms and the base's weights.

    Layers of the application that lie beyond the base's outputs, of which the base knows nothing, get random weights.

    Args:
        spec: The spec of the application that the base is part of.
        folder: A local folder that holds `classifier.keras`, and `base.keras` from pixels to the features that the
            classifier takes.

    Returns:
        Why there is no ONNX file; empty where there is one.

    Raises:
        RunFailed: If the process that builds the model is killed.
    """
    why_no_onnx = in_keras_process(compose_tuned, folder, spec)
    Path(folder, KERAS_FILE).unlink()
    return why_no_onnx
