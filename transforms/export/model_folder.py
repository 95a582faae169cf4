"""Writing a classifier: every file of its folder, from what was trained."""

import concurrent.futures
import csv
import hashlib
import io
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from schemas.classifiers import CARD_FILE, LABELS_FILE, NETWORKS_FOLDER, LabelSet, ModelCard
from schemas.errors import ModelNotWritable
from schemas.storage import canonical_uri, check_writable, join, write_file
from transforms.conv_bases import publish_files
from transforms.evaluation import Evaluation, card_markdown, evaluate, report_html
from transforms.export.end_to_end import (
    CLASSIFIER_FILE,
    CLASSIFIER_NETWORK,
    END_TO_END_FILE,
    END_TO_END_NETWORK,
    compose_end_to_end,
)
from transforms.training import Fitted, TrainingData

if TYPE_CHECKING:
    import keras

REPORT_FILE: Final = "report.html"
_METRICS_FILE: Final = "metrics.json"
_HISTORY_FILE: Final = "history.csv"
_CARD_TEXT_FILE: Final = "model_card.md"


def model_id(head: "keras.Model", labels: LabelSet, fingerprint: str, layer: str) -> str:
    """Returns the name of a classifier: a hash of all that decides what it says. See `ModelCard.model_id`."""
    import keras

    digest = hashlib.sha256(f"{fingerprint} {layer} {labels.to_json()}".encode())
    for variable in head.weights:
        values = keras.ops.convert_to_numpy(variable)
        digest.update(f"{variable.path} {values.shape} {values.dtype}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()[:16]


def check_folder(uri: str) -> None:
    """Checks before the training that the folder of a classifier can be written.

    Raises:
        ModelNotWritable: If it cannot.
    """
    try:
        check_writable(uri)
    except OSError as error:
        raise _not_writable(uri, error) from error


def write_classifier(
    uri: str, data: TrainingData, fitted: Fitted, card_of: Callable[[Evaluation], ModelCard]
) -> tuple[ModelCard, Evaluation]:
    """Judges a classifier and writes all its files. What stood in the folder under these names is replaced.

    It is judged while it is put on its conv base in a process of its own. The card is written last.

    Args:
        uri: The folder.
        data: What it was trained on.
        fitted: The trained head.
        card_of: Makes the card once it is judged.

    Raises:
        ModelNotWritable: If the folder cannot be written.
        RunFailed: If the conv base is not the one that was published.
    """
    with tempfile.TemporaryDirectory() as name, concurrent.futures.ThreadPoolExecutor(1) as pool:
        folder = Path(name)
        fitted.head.save(folder / CLASSIFIER_FILE)
        composed = pool.submit(compose_end_to_end, data.store, data.layer, folder)
        evaluation = evaluate(fitted, data)
        card = card_of(evaluation)
        composed.result()
        write_folder(uri, folder, card, evaluation, fitted.history)
    return card, evaluation


def write_folder(
    uri: str,
    folder: Path,
    card: ModelCard,
    evaluation: Evaluation,
    history: Mapping[str, Sequence[float]],
    *,
    further: Sequence[str] = (),
) -> None:
    """Writes all files of a classifier, the card last.

    Args:
        uri: The classifier's folder.
        folder: The local folder of its models, as composing leaves them.
        card: What is known of it.
        evaluation: How good it is.
        history: Loss and accuracy an epoch, by Keras's names.
        further: Files of the local folder that are copied as well.

    Raises:
        ModelNotWritable: If the folder cannot be written.
    """
    texts = {
        LABELS_FILE: evaluation.labels.to_json(),
        _METRICS_FILE: json.dumps(evaluation.to_dict(), indent=2),
        _HISTORY_FILE: history_csv(history),
        _CARD_TEXT_FILE: card_markdown(card, evaluation),
        REPORT_FILE: report_html(card, evaluation, history),
        CARD_FILE: card.to_json(),
    }
    try:
        networks = (*CLASSIFIER_NETWORK, *END_TO_END_NETWORK)
        publish_files(folder, networks, join(canonical_uri(uri), NETWORKS_FOLDER), card.spec)
        for file in (CLASSIFIER_FILE, END_TO_END_FILE, *further):
            write_file(join(uri, file), (folder / file).read_bytes())
        for file, text in texts.items():
            write_file(join(uri, file), text.encode())
    except OSError as error:
        raise _not_writable(uri, error) from error


def history_csv(history: Mapping[str, Sequence[float]]) -> str:
    """Returns loss and accuracy an epoch as CSV, epochs from 1."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["epoch", *history])
    writer.writerows([epoch, *values] for epoch, values in enumerate(zip(*history.values(), strict=True), 1))
    return text.getvalue()


def _not_writable(uri: str, error: OSError) -> ModelNotWritable:
    return ModelNotWritable(f"The classifier's folder {uri} cannot be written: {error}")
