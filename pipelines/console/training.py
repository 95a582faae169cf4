"""What `pipelines.train` prints, and the model card that it writes."""

import argparse
import datetime
import json
import shlex
from collections.abc import Sequence
from typing import Final

import numpy as np

from pipelines.console.padded_lines import size_text
from schemas.classifiers import L2, SPLITS, ModelCard
from schemas.errors import printable, with_count
from schemas.storage import join, without_secrets
from transforms.evaluation import Evaluation, SplitMetrics, interval_text, score_text
from transforms.exploration import Leaks
from transforms.export import REPORT_FILE, model_id
from transforms.runtime import package_versions, peak_memory
from transforms.training import Fitted, LabelledImages, LabelMatches, TrainingData

_PACKAGES: Final = ("convbase", "deltalake", "keras", "numpy", "openvino", "pyarrow", "tensorflow")


def model_card(given: argparse.Namespace, data: TrainingData, fitted: Fitted, evaluation: Evaluation) -> ModelCard:
    """Returns what is known of a classifier once it is judged."""
    images, store = data.images, data.store
    counts = {split.word: images.class_counts(split) for split in SPLITS}
    options = {name: value for name, value in vars(given).items() if value is not None and value != []}
    return ModelCard(
        model_id=model_id(fitted.head, images.labels, store.fingerprint, data.layer),
        created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        spec=store.spec,
        layer=data.layer,
        feature_shape=data.rows.train.rows.shape,
        store=without_secrets(store.uri),
        table_version=data.table_version,
        labels_from=f"the file {without_secrets(given.labels)}" if given.labels else f"column {given.label_column}",
        split_by=str(images.split_by),
        images=images.counts(),
        left_out={"unlabelled": images.unlabelled, "without a split": images.unsplit},
        images_by_class={
            name: {split: int(found[index]) for split, found in counts.items()}
            for index, name in enumerate(images.labels.classes)
        },
        recipe=fitted.recipe.to_dict(),
        batch_size=fitted.batch_size,
        learning_rate=fitted.learning_rate,
        epochs=fitted.epochs,
        best_epoch=fitted.best_epoch,
        streamed=data.rows.streamed,
        memory_bytes=data.memory_bytes,
        peak_memory_bytes=peak_memory(),
        seconds=fitted.seconds,
        metrics=evaluation.summary(),
        options=json.loads(without_secrets(json.dumps(options, default=str))),
        versions=package_versions(_PACKAGES),
        folds=fitted.folds,
        augmented_rows=len(data.rows.train) - images.counts()["train"],
    )


def images_text(tables: Sequence[LabelledImages]) -> str:
    """Returns what is printed of the images before features are read; those of several stores are the same ones."""
    images = tables[0]
    counts = ", ".join(
        f"{split.word} {_images_text(images.counts()[split.word], np.count_nonzero(images.splits == split))}"
        for split in SPLITS
    )
    classes = with_count(len(images.labels.classes), "class", "classes")
    lines = [f"{classes} ({images.labels.kind}), split by {images.split_by}: {counts}."]
    if images.unlabelled or images.unsplit:
        lines.append(left_out_text(images.unlabelled, images.unsplit))
    if images.dropped:
        lines.append(f"Left out: {with_count(images.dropped, 'near-duplicate')} of other images.")
    lines += match_lines(images.matches)
    if any(table.lacking_elsewhere for table in tables):
        counts = ", ".join(f"{table.lacking_elsewhere:,}" for table in tables)
        lines.append(f"Left out, as not all stores have them: {counts} images of the stores.")
    return "\n".join(lines)


def left_out_text(unlabelled: int, unsplit: int) -> str:
    """Returns what is printed of images that lack what a training needs."""
    return f"Left out: {with_count(unlabelled, 'image')} without a label, {unsplit:,} without a split."


def match_lines(matches: LabelMatches | None) -> list[str]:
    """Returns what a label file and a table lack of each other, in a line, if there is a file and they do."""
    if matches is None or not (matches.rows_without_image or matches.images_without_row):
        return []
    looked_for = f" (such as {printable(matches.looked_for)})" if matches.looked_for else ""
    unknown = f"{matches.rows_without_image:,} of {matches.rows:,} rows name no image of the table{looked_for}"
    without_row = with_count(matches.images_without_row, "image has", "images have")
    return [f"{matches.file_uri}: {unknown}; {without_row} no row in it."]


def data_text(data: TrainingData) -> str:
    """Returns what is printed of features once they are read."""
    how = "streamed" if data.rows.streamed else "in memory"
    return f"{size_text(data.feature_bytes)} of features, {how} ({size_text(data.memory_bytes)} allowed)."


def leak_lines(leaks: Leaks, store_uri: str) -> list[str]:
    """Returns what is printed of images that are in several splits, if there are any."""
    if not (leaks.near or leaks.identical):
        return []
    of = "of the validation and test splits"
    have, identical = with_count(leaks.identical, f"image {of} has", f"images {of} have"), ""
    if leaks.near is not None:
        have = f"{with_count(leaks.near, f'image {of} has', f'images {of} have')} near-duplicates, or"
        identical = f" ({leaks.identical:,} of these)"
    return [
        (
            f"Leaks: {have} identical content{identical}, in the training split; what is measured on them is too good. "
            f"Look at them: python -m pipelines.explore {shlex.quote(without_secrets(store_uri))}"
        )
    ]


def training_text(
    output: str, card: ModelCard, fitted: Fitted, evaluation: Evaluation, *, missing: Sequence[str], seconds: float
) -> str:
    """Returns what is printed in the end.

    Args:
        output: The folder of the classifier, as it was named.
        card: What is known of it.
        fitted: How it was trained.
        evaluation: How good it is.
        missing: Why each picture is missing that its report would show.
        seconds: Wall time of the whole command.
    """
    lines = [f"Classifier {card.model_id}: {_kept(fitted)}, trained in {card.seconds:.1f} s."]
    for split, metrics in evaluation.by_split.items():
        if metrics is not None:
            lines.append(metrics_line(split.word, metrics))
    lines.append(f"  {seconds:.1f} s in all, peak memory {size_text(peak_memory())}")
    lines += use_lines(output, len(evaluation.judged.mistakes), missing)
    return "\n".join(lines)


def _kept(fitted: Fitted) -> str:
    if L2 not in fitted.history:
        return f"epoch {fitted.best_epoch} of {fitted.epochs}"
    chosen = (
        f"the best of {len(set(fitted.history[L2]))} by {f'{fitted.folds} folds' if fitted.folds else 'validation'}"
    )
    passes: dict[float, float] = {}
    for rows, number in zip(fitted.history["rows"], fitted.history["passes"], strict=True):
        passes[rows] = passes.get(rows, 0) + number
    gone_through = " and ".join(
        f"{with_count(number, 'pass', 'passes')} over {with_count(int(rows), 'row')}" for rows, number in passes.items()
    )
    return f"L2 {fitted.recipe.l2:.1e}, {chosen}, {gone_through}"


def use_lines(output: str, mistakes: int, missing: Sequence[str]) -> list[str]:
    """Returns where the report of a classifier is, what it lacks, and how the classifier is used.

    Args:
        output: The folder of the classifier, as it was named.
        mistakes: The mistakes that the report shows.
        missing: Why each picture of these is missing that is.
    """
    sentence = f"  It has no picture of {len(missing)} of its {mistakes} mistakes: " if missing else ""
    return [
        f"  report {join(output, REPORT_FILE)}",
        *(sentence + printable(why) for why in missing[:1]),
        f"Use it: python -m pipelines.predict --model={shlex.quote(output)} --input=PHOTOS --output=PREDICTIONS",
    ]


def metrics_line(split: str, metrics: SplitMetrics) -> str:
    """Returns the metrics of one split on one line, its name first; with intervals of 95 %."""
    return (
        f"  {split:<11} accuracy {metrics.accuracy:.4f} {interval_text(metrics.accuracy_interval)}   "
        f"AUC {score_text(metrics.auc)} {interval_text(metrics.auc_interval)}   "
        f"log loss {metrics.log_loss:.4f}   ({with_count(metrics.images, 'image')})"
    )


def _images_text(images: int, rows: int) -> str:
    return f"{images:,} ({rows:,} rows)" if rows > images else f"{images:,}"
