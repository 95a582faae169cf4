"""The model card for people: as names and texts, and as Markdown."""

import json
import re
from collections.abc import Mapping
from typing import Final

from schemas.classifiers import SPLITS, ModelCard
from schemas.errors import printable
from transforms.evaluation.evaluation import Evaluation
from transforms.evaluation.metrics import score_text

# What makes more of a text than a text, in a paragraph or in a cell of a table.
_MARKDOWN: Final = re.compile(r"[\\`*_~\[\]<>&|#!]")


def card_lines(card: ModelCard) -> list[tuple[str, str]]:
    """Returns what the card says, as names and texts."""
    spec = card.spec
    args = ", ".join(f"{name}={value}" for name, value in spec.conv_base_args.items())
    return [
        ("model", card.model_id),
        ("trained", f"{card.created_at}, {card.seconds:.1f} s, {_trained(card)}"),
        ("features", f"{card.store}, version {card.table_version}, fingerprint {card.fingerprint}"),
        ("conv base", f"{spec.conv_base}({args}), weights {spec.weights_sha256}"),
        ("layer", f"{card.layer} {list(card.feature_shape)}, pooling {spec.pooling}"),
        ("labels", f"from {card.labels_from}"),
        ("split", f"by {card.split_by}: " + _pairs(card.images)),
        *([("augmented rows", f"{card.augmented_rows:,} of the training split")] if card.augmented_rows else []),
        ("left out", _pairs(card.left_out)),
        ("recipe", json.dumps(dict(card.recipe))),
        *(
            [("batch size, learning rate", f"{card.batch_size}, {card.learning_rate:.3g}")]
            if card.learning_rate is not None
            else []
        ),
        ("features in memory", "streamed" if card.streamed else "all of them"),
        (
            "peak memory",
            f"{card.peak_memory_bytes / 1e6:,.0f} MB, {card.memory_bytes / 1e6:,.0f} MB allowed for features",
        ),
        *([("fine-tuning", json.dumps(dict(card.fine_tuning)))] if card.fine_tuning else []),
        ("options", json.dumps(dict(card.options))),
        ("versions", ", ".join(f"{name} {version}" for name, version in card.versions.items())),
    ]


def card_markdown(card: ModelCard, evaluation: Evaluation) -> str:
    """Returns the model card for people, as Markdown."""
    lines = [f"# Classifier {_escaped(card.model_id)}", ""]
    lines += [f"- **{name}**: {_escaped(text)}" for name, text in card_lines(card)]
    lines += ["", "| split | images | accuracy | AUC | log loss |", "|---|---|---|---|---|"]
    for split in SPLITS:
        metrics = evaluation.by_split[split]
        if metrics is not None:
            figures = f"{metrics.accuracy:.4f} | {score_text(metrics.auc)} | {metrics.log_loss:.4f}"
            lines.append(f"| {split.word} | {metrics.images:,} | {figures} |")
    lines += ["", "| class | " + " | ".join(split.word for split in SPLITS) + " |", "|---|---|---|---|"]
    for name, counts in card.images_by_class.items():
        lines.append(f"| {_escaped(name)} | " + " | ".join(f"{counts[split.word]:,}" for split in SPLITS) + " |")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """Returns a text that Markdown shows as it is, on one line: names of classes and files come from anybody."""
    return _MARKDOWN.sub(r"\\\g<0>", printable(text))


def _trained(card: ModelCard) -> str:
    if card.learning_rate is not None:
        return f"{card.epochs} epochs, best {card.best_epoch}"
    return (
        f"{card.epochs} passes, L2 {card.recipe['l2']:.3g} by {f'{card.folds} folds' if card.folds else 'validation'}"
    )


def _pairs(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())
