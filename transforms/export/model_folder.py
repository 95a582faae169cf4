"""Writing a classifier: every file of its folder, from what was trained.

The report comes last, when the classifier is there and whole: it shows pictures, whose storage may be slow or gone.
"""

import contextlib
import csv
import hashlib
import io
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np

from schemas.classifiers import (
    L2,
    LABELS_FILE,
    NETWORKS_FOLDER,
    LabelSet,
    ModelCard,
    Recipe,
    add_file,
    holds_classifier,
    locked_folder,
    publish_classifier,
)
from schemas.errors import ModelNotWritable, OutputNotWritten, RunFailed, first_line
from schemas.storage import check_folder, refused_if_not_writable
from transforms.evaluation import Evaluation, TimedPictures, card_markdown, evaluate, illustrated, report_html
from transforms.export.composing import (
    CLASSIFIER_FILE,
    CLASSIFIER_NETWORK,
    END_TO_END_FILE,
    END_TO_END_NETWORK,
    END_TO_END_ONNX,
)
from transforms.export.end_to_end import Composer
from transforms.export.output_folders import CLASSIFIER, check_output_folder
from transforms.linear import LinearHead
from transforms.training import Fitted, TrainingData, Trial

if TYPE_CHECKING:
    import keras

_LOGGER: Final = logging.getLogger(__name__)

REPORT_FILE: Final = "report.html"
_METRICS_FILE: Final = "metrics.json"
_HISTORY_FILE: Final = "history.csv"
_CARD_TEXT_FILE: Final = "model_card.md"
# Two dozen pictures take a second from a bucket.
_SECONDS_FOR_PICTURES: Final = 60.0


def model_id(head: "keras.Model | LinearHead", labels: LabelSet, fingerprint: str, layer: str) -> str:
    """Returns the name of a classifier: a hash of all that decides what it says. See `ModelCard.model_id`."""
    digest = hashlib.sha256(f"{fingerprint} {layer} {labels.to_json()}".encode())
    for name, values in head.named_weights() if isinstance(head, LinearHead) else _named_weights(head):
        digest.update(f"{name} {values.shape} {values.dtype}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()[:16]


def _named_weights(head: "keras.Model") -> Iterator[tuple[str, np.ndarray]]:
    import keras

    return ((variable.path, keras.ops.convert_to_numpy(variable)) for variable in head.weights)


@contextlib.contextmanager
def reserved_folder(uri: str, *, overwrite: bool) -> Iterator[None]:
    """Keeps the folder of a classifier for one training, until that ends.

    Args:
        uri: The folder.
        overwrite: Whether a classifier that is there is to be replaced.

    Raises:
        ModelNotWritable: If it cannot be written, or another training writes to it.
        UsageError: If it is a store, or holds predictions.
    """
    with contextlib.ExitStack() as reserved:
        check_folder(_folder(uri), uri, refusal=ModelNotWritable)
        check_output_folder(uri, CLASSIFIER)
        with refused_if_not_writable(_folder(uri), ModelNotWritable):
            reserved.enter_context(locked_folder(uri))
            is_taken = holds_classifier(uri)
        if is_taken and not overwrite:
            raise ModelNotWritable(
                f"There is a classifier in {uri} already; give --overwrite to replace it, or another --output."
            )
        yield


def write_classifier(
    uri: str,
    data: TrainingData,
    fitted: Fitted,
    composer: Composer,
    card_of: Callable[[Evaluation], ModelCard],
    *,
    learning: Recipe | None = None,
    trials: Sequence[Trial] = (),
    further: Mapping[str, str] = MappingProxyType({}),
) -> tuple[ModelCard, Evaluation]:
    """Judges a classifier and writes its files but for the report, in the place of the classifier that may be there.

    It is judged while it is put on its conv base in a process of its own.

    Args:
        uri: The folder.
        data: What it was trained on.
        fitted: The trained head.
        composer: What puts it on its conv base.
        card_of: Makes the card once it is judged.
        learning: A recipe of which a learning curve is wanted.
        trials: What it was compared with, itself included.
        further: Further files of text that belong to it.

    Raises:
        RunFailed: If the folder cannot be written, or the conv base is not the one that was published.
    """
    composed = composer.start(fitted.head, data.layer, data.images.labels)
    evaluation = evaluate(fitted, data, learning, trials)
    card = card_of(evaluation)
    texts = {**folder_texts(card, evaluation, fitted.history), **further}
    return write_folder(uri, composer.folder, card, texts, why_no_onnx=composed.result()), evaluation


def write_report(
    uri: str, card: ModelCard, evaluation: Evaluation, history: Mapping[str, Sequence[float]]
) -> tuple[ModelCard, list[str]]:
    """Writes the report of a classifier that is in its folder, with pictures of its mistakes as far as these are read.

    Args:
        uri: The folder.
        card: What is known of the classifier, its files among it.
        evaluation: How good it is.
        history: Loss and accuracy an epoch, by Keras's names, or what was found with each L2.

    Returns:
        The card, which names the report as well, and why each picture is missing that could not be read.

    Raises:
        OutputNotWritten: If it cannot be written. The classifier is there, whole.
    """
    pictures = TimedPictures(_SECONDS_FOR_PICTURES)
    page = report_html(card, illustrated(evaluation, pictures), history)
    try:
        return add_file(uri, card, REPORT_FILE, page.encode()), pictures.missing
    except OSError as error:
        raise OutputNotWritten(
            f"The classifier is in {uri}, whole, but its report cannot be written: {first_line(error)}"
        ) from error


def folder_texts(card: ModelCard, evaluation: Evaluation, history: Mapping[str, Sequence[float]]) -> dict[str, str]:
    """Returns the files of a classifier that hold text, by their names, but for the card and the report.

    Args:
        card: What is known of it.
        evaluation: How good it is.
        history: Loss and accuracy an epoch, by Keras's names, or what was found with each L2.
    """
    return {
        LABELS_FILE: evaluation.labels.to_json(),
        _METRICS_FILE: json.dumps(evaluation.to_dict(), indent=2),
        _HISTORY_FILE: history_csv(history),
        _CARD_TEXT_FILE: card_markdown(card, evaluation),
    }


def write_folder(
    uri: str,
    folder: Path,
    card: ModelCard,
    texts: Mapping[str, str],
    *,
    further: Sequence[str] = (),
    why_no_onnx: str = "",
) -> ModelCard:
    """Writes all files of a classifier, in the place of the classifier that may be there.

    Args:
        uri: The classifier's folder.
        folder: The local folder of its models, as composing leaves them.
        card: What is known of it.
        texts: What `folder_texts` returns, and further files of text.
        further: Files of the local folder that are copied as well.
        why_no_onnx: Why there is no ONNX file; empty where there is one.

    Returns:
        The card, with the list of the files.

    Raises:
        RunFailed: If the folder cannot be written.
    """
    if why_no_onnx:
        _LOGGER.warning("The classifier %s has no %s: %s", uri, END_TO_END_ONNX, why_no_onnx)
    networks = (*CLASSIFIER_NETWORK, *END_TO_END_NETWORK)
    contents: dict[str, bytes | Path] = {f"{NETWORKS_FOLDER}/{file}": folder / file for file in networks}
    models = (CLASSIFIER_FILE, *([END_TO_END_FILE] if card.spec.is_keras else []))
    models += () if why_no_onnx else (END_TO_END_ONNX,)
    contents |= {file: folder / file for file in (*models, *further)}
    contents |= {file: text.encode() for file, text in texts.items()}
    try:
        return publish_classifier(uri, card, contents)
    except OSError as error:
        raise RunFailed(
            f"{_folder(uri)} cannot be written: {first_line(error)}. No classifier in it is left half written."
        ) from error


def history_csv(history: Mapping[str, Sequence[float]]) -> str:
    """Returns a history as CSV: a row an epoch, numbered from 1, or a row for each L2 in the order of the fits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = history if L2 in history else {"epoch": range(1, len(history["loss"]) + 1), **history}
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue()


def _folder(uri: str) -> str:
    return f"The classifier's folder {uri}"
