"""What `pipelines.finetune` does before it trains: fetch the classifier, read the pictures, judge where it begins."""

import argparse
import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from pipelines.jobs.label_columns import check_label_column, found_label_column
from pipelines.options import decoding_limits, fetching_reach
from pipelines.runners import shown_progress
from schemas.classifiers import Classifier, FineTuning, Split, SplitFractions
from schemas.errors import InvalidLabels, UsageError
from transforms.decoding import DecodingRules
from transforms.evaluation import Evaluation, judge
from transforms.export import END_TO_END_FILE
from transforms.finetuning import (
    PICTURES_PER_BATCH,
    LabelledPictures,
    Pictures,
    TrainableNetwork,
    log_loss_of_frequencies,
    open_network,
    read_pictures,
    score_split,
)
from transforms.images import LoadingPools, LoadingRules
from transforms.runtime import available_cores, available_memory, temporary_folder
from transforms.training import LABEL, LabelledImages, SplitBy, read_label_file, read_labelled_images

# The log loss of a head that has learned something, as a share of that of knowing only how frequent the classes are.
_LEARNED: Final = 0.98


@dataclasses.dataclass(frozen=True)
class FineTuningJob:
    """A fine-tuning that is about to start.

    Attributes:
        given: The command's options.
        classifier: The classifier that it begins with.
        network: The same, loaded, its last layers released.
        how: How it is trained.
        data: On what.
        asked: All that decides the result, by the names of options; `model` is the SHA-256 of the network's file.
        before: The metrics of the classifier.
    """

    given: argparse.Namespace
    classifier: Classifier
    network: TrainableNetwork
    how: FineTuning
    data: LabelledPictures
    asked: Mapping[str, Any]
    before: Mapping[str, float | None]


def fetch_network(classifier: Classifier) -> tuple[TrainableNetwork, str]:
    """Loads a classifier on its base, and returns it with the SHA-256 of its file.

    Raises:
        UsageError: If its base is no Keras model.
        DamagedModel: If the file is missing, or is not the one that was written.
    """
    if not classifier.card.spec.is_keras:
        raise UsageError(
            f"Fine-tuning needs a base that is a Keras model, and {classifier.card.spec.conv_base} is none: take one "
            "of keras.applications, or a .keras file."
        )
    content = classifier.files.read(END_TO_END_FILE)
    with temporary_folder() as folder:
        path = Path(folder, END_TO_END_FILE)
        path.write_bytes(content)
        return open_network(path), hashlib.sha256(content).hexdigest()


def read_labelled_pictures(given: argparse.Namespace, classifier: Classifier, refs: pa.RecordBatch) -> LabelledPictures:
    """Reads the pictures as the classifier's features were made, and their labels and splits.

    Raises:
        RunFailed: If more of them are bad than is allowed, or the machine is at its limit.
        InvalidLabels: If the labels are none of the classifier's, or a split lacks images.
        UsageError: If there is no such column of labels.
    """
    check_label_column(given, refs.schema.names)
    given.label_column = found_label_column(given, refs.schema, lambda: refs.column(LABEL).null_count < refs.num_rows)
    with shown_progress("reading"):
        pictures = read_pictures(
            refs,
            loading_rules(given, classifier),
            LoadingPools.start(available_cores(), available_cores()),
            available_memory() // 2 if given.memory_mb is None else given.memory_mb * 10**6,
            given.max_failure_ratio,
        )
    return LabelledPictures(pictures, _labelled(given, classifier, pictures))


def loading_rules(given: argparse.Namespace, classifier: Classifier) -> LoadingRules:
    """Returns how images become pixels: as they did for the features on which the classifier was trained."""
    decoding = DecodingRules.of_spec(classifier.card.spec, decoding_limits(given))
    return LoadingRules(decoding, given.max_bytes, PICTURES_PER_BATCH, fetching_reach(given))


def _labelled(given: argparse.Namespace, classifier: Classifier, pictures: Pictures) -> LabelledImages:
    """Returns the targets and splits of pictures.

    Raises:
        InvalidLabels: If the classes are not the classifier's, or a split lacks images.
    """
    fractions = SplitFractions(given.validation_fraction, given.test_fraction)
    file = read_label_file(given.labels, given.label_column) if given.labels else None
    table = pa.Table.from_batches([pictures.refs])
    images = read_labelled_images(table, given.label_column, SplitBy(given.split), fractions, file)
    if images.labels != classifier.labels:
        own, found = (", ".join(labels.classes) for labels in (classifier.labels, images.labels))
        raise InvalidLabels(
            f"The classifier distinguishes {own} ({classifier.labels.kind}); the images are of {found}."
        )
    images.check(fractions)
    return images


def judge_start(given: argparse.Namespace, network: TrainableNetwork, data: LabelledPictures) -> Evaluation:
    """Judges the classifier before it is changed, and refuses one that has learned nothing.

    A head that is hardly better than to know how frequent the classes are sends large gradients into the base, which
    undo what it has learned. A log loss shows that where an accuracy does not: a random head on good features may be
    far from one half by luck alone, and pays for its confidence in the log loss.

    Raises:
        UsageError: If its head is as good as untrained.
    """
    evaluation = judge(data.images.labels, lambda split: score_split(network, data, split))
    found, known = evaluation.by_split[Split.VALIDATION], log_loss_of_frequencies(data, Split.VALIDATION)
    if found and found.log_loss > _LEARNED * known and not given.untrained_head:
        raise UsageError(
            f"The head of {given.model} is as good as untrained: its log loss on the validation split is "
            f"{found.log_loss:.4f}, and {known:.4f} is that of knowing only how frequent the classes are. Its "
            "gradients would wreck the base: train it first with pipelines.train, or give --untrained_head."
        )
    return evaluation


def digest_of(data: LabelledPictures) -> str:
    """Returns a hash of the images, their targets and their splits."""
    digest = hashlib.sha256()
    for column in ("uri", "sha256"):
        digest.update("\n".join(data.pictures.refs.column(column).to_pylist()).encode())
    for array in (data.images.targets, data.images.splits):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
