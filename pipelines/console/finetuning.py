"""What `pipelines.finetune` prints, and the model card that it writes."""

import csv
import datetime
import io
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Final

from pipelines.console.padded_lines import size_text
from pipelines.console.training import left_out_text, match_lines, metrics_line, use_lines
from pipelines.jobs import FineTuningJob
from schemas.classifiers import SPLITS, FineTuning, ModelCard
from schemas.errors import printable, spreadsheet_text, with_count
from schemas.spec import FeatureSpec
from schemas.storage import canonical_uri, without_secrets
from transforms.evaluation import Evaluation
from transforms.export import model_id
from transforms.finetuning import Checkpoint, FineTuned, LabelledPictures, LeftOut, TrainableNetwork
from transforms.runtime import package_versions, peak_memory

LEFT_OUT_FILE: Final = "left_out.csv"
_PACKAGES: Final = ("convbase", "keras", "numpy", "openvino", "pillow", "pyarrow", "tensorflow")
_LEFT_OUT_SHOWN: Final = 3


def fine_tuned_card(job: FineTuningJob, spec: FeatureSpec, tuned: FineTuned, evaluation: Evaluation) -> ModelCard:
    """Returns what is known of a fine-tuned classifier once it is judged.

    Args:
        job: What was asked.
        spec: The spec of the features that it takes.
        tuned: What came of it.
        evaluation: How good it is.
    """
    given, parent, data = job.given, job.classifier.card, job.data
    images = data.images
    counts = {split.word: images.class_counts(split) for split in SPLITS}
    options = {name: value for name, value in vars(given).items() if value is not None and value != []}
    base, head = job.network.trainable_parameters
    return ModelCard(
        model_id=model_id(job.network.head, images.labels, spec.fingerprint, parent.layer),
        created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        spec=spec,
        layer=parent.layer,
        feature_shape=parent.feature_shape,
        store=parent.store,
        table_version=parent.table_version,
        labels_from=f"the file {without_secrets(given.labels)}" if given.labels else "the listing of --input",
        split_by=str(images.split_by),
        images=images.counts(),
        left_out={
            "unlabelled": images.unlabelled,
            "without a split": images.unsplit,
            "unreadable": len(data.pictures.left_out),
        },
        images_by_class={
            name: {split: int(found[index]) for split, found in counts.items()}
            for index, name in enumerate(images.labels.classes)
        },
        recipe=parent.recipe,
        batch_size=job.how.batch_size,
        learning_rate=job.how.learning_rate,
        epochs=len(tuned.history["loss"]),
        best_epoch=tuned.best_epoch,
        streamed=data.pictures.held is None,
        memory_bytes=held_bytes(data),
        peak_memory_bytes=peak_memory(),
        seconds=tuned.seconds,
        metrics=evaluation.summary(),
        options=json.loads(without_secrets(json.dumps(options, default=str))),
        versions=package_versions(_PACKAGES),
        fine_tuning={
            **job.how.to_dict(),
            "model": parent.model_id,
            "model_folder": without_secrets(canonical_uri(given.model)),
            "model_sha256": job.asked["model"],
            "fingerprint": parent.fingerprint,
            "weights_sha256": parent.spec.weights_sha256,
            "trainable_parameters": {"base": base, "head": head},
            "resumed_from": tuned.resumed_from,
            "before": job.before,
        },
    )


def parameters_text(network: TrainableNetwork, how: FineTuning) -> str:
    """Returns how much is trained."""
    base, head = network.trainable_parameters
    return (
        f"{base + head:,} trainable parameters: {base:,} in the base from {how.unfreeze_from} on, {head:,} in the head."
    )


def held_bytes(data: LabelledPictures) -> int:
    """Returns the bytes of pixels that are held in memory."""
    return 0 if data.pictures.held is None else data.pictures.held.nbytes


def pictures_text(data: LabelledPictures) -> str:
    """Returns what is printed of the pictures before the training."""
    images = data.images
    counts = ", ".join(f"{name} {count:,}" for name, count in images.counts().items())
    held = held_bytes(data)
    where = f"{size_text(held)} of pixels in memory" if held else "read and decoded again in each epoch"
    classes = with_count(len(images.labels.classes), "class", "classes")
    lines = [f"{classes} ({images.labels.kind}), split by {images.split_by}: {counts}; {where}."]
    if images.unlabelled or images.unsplit:
        lines.append(left_out_text(images.unlabelled, images.unsplit))
    return "\n".join([*lines, *match_lines(images.matches), *left_out_lines(data.pictures.left_out)])


def left_out_lines(left_out: Sequence[LeftOut]) -> list[str]:
    """Returns the lines about images that cannot be used."""
    shown = [
        f"  {printable(image.uri)}: {image.error.code} ({printable(image.error.message)})"
        for image in left_out[:_LEFT_OUT_SHOWN]
    ]
    further = [f"  and {len(left_out) - _LEFT_OUT_SHOWN:,} more"] if len(left_out) > _LEFT_OUT_SHOWN else []
    return [f"Left out: {with_count(len(left_out), 'unreadable image')}.", *shown, *further] if left_out else []


def left_out_csv(left_out: Sequence[LeftOut]) -> str:
    """Returns the images that cannot be used as CSV, with stage, code and message as in `failures`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["uri", "stage", "code", "message"])
    for image in left_out:
        cells = (image.uri, image.error.code.stage, image.error.code, image.error.message)
        writer.writerow(map(spreadsheet_text, cells))
    return text.getvalue()


def start_text(state: Checkpoint | None, before: Mapping[str, float | None]) -> str:
    """Returns the lines about where it begins."""
    splits = [(split.word, before[f"{split.word}_accuracy"]) for split in SPLITS]
    figures = ", ".join(f"{name} {accuracy:.4f}" for name, accuracy in splits if accuracy is not None)
    going_on = f" Going on after epoch {state.epochs}, from the checkpoint." if state else ""
    return f"Accuracy before: {figures}.{going_on}"


def epoch_text(state: Checkpoint, epochs: int) -> str:
    """Returns the line of the epoch that was just done."""
    last = {name: values[-1] for name, values in state.history.items()}
    best = "   best" if state.best_epoch == state.epochs else ""
    return (
        f"epoch {state.epochs:>3} of {epochs}: loss {last['loss']:.4f} accuracy {last['accuracy']:.4f}   "
        f"validation loss {last['val_loss']:.4f} accuracy {last['val_accuracy']:.4f}{best}"
    )


def finetuning_text(
    output: str, card: ModelCard, evaluation: Evaluation, *, missing: Sequence[str], seconds: float
) -> str:
    """Returns what is printed in the end.

    Args:
        output: The folder of the classifier, as it was named.
        card: What is known of it.
        evaluation: How good it is.
        missing: Why each picture is missing that its report would show.
        seconds: Wall time of the whole command.
    """
    kept = f"epoch {card.best_epoch} of {card.epochs}" if card.best_epoch else "no epoch was better than the start"
    lines = [f"Classifier {card.model_id}: {kept}, fine-tuned in {card.seconds:.1f} s."]
    for split, metrics in evaluation.by_split.items():
        if metrics is not None:
            was = (card.fine_tuning or {})["before"][f"{split.word}_accuracy"]
            lines.append(f"{metrics_line(split.word, metrics)}, before accuracy {was:.4f}")
    lines.append(f"  {seconds:.1f} s in all, peak memory {size_text(peak_memory())}")
    lines += use_lines(output, len(evaluation.judged.mistakes), missing)
    lines.append(f"Features of its base: {extract_command(card.spec)}")
    return "\n".join(lines)


def extract_command(spec: FeatureSpec, images: str = "IMAGES", store: str = "NEW_STORE") -> str:
    """Returns the command that extracts the features of a spec."""
    saved = {"conv_base": spec.weights, "preprocess": str(spec.preprocess)}
    options = {
        "input": images,
        "output": store,
        **({"conv_base": spec.conv_base, "weights": spec.weights} if spec.saved_format is None else saved),
        "input_shape": ",".join(map(str, spec.resolved_input_shape)),
        "layers": ",".join(spec.layers),
        "pooling": spec.pooling,
        "interpolation": spec.interpolation,
        "exif_orientation": spec.exif_orientation,
        "precision": spec.precision,
        "decode": spec.decode,
        "truncated": spec.truncated,
        **({"resize": spec.resize, "crop_ratio": f"{spec.crop_ratio:g}"} if spec.resize != "stretch" else {}),
    }
    words = [f"--{name}={value}" for name, value in options.items()]
    words += [f"--conv_base_arg={name}={value}" for name, value in spec.conv_base_args.items()]
    words += ["--include_top"] if spec.include_top else []
    return " ".join(["python -m pipelines.extract", *map(shlex.quote, words)])
