"""What fine-tuning changed: the section of a report that tells it."""

import html

from schemas.classifiers import ModelCard
from transforms.evaluation import Evaluation
from transforms.report_blocks import section, table
from transforms.splitting import PARTS


def before_and_after(card: ModelCard, evaluation: Evaluation) -> str:
    """Returns what fine-tuning changed; nothing for a classifier that was trained on features."""
    if card.fine_tuning is None:
        return ""
    rows = []
    for part in PARTS:
        metrics, before = evaluation.by_part[part], card.fine_tuning["before"]
        if metrics is not None:
            was, loss = before[f"{part.word}_accuracy"], before[f"{part.word}_log_loss"]
            rows.append(
                f"<tr><th>{part.word}</th><td>{was:.4f}</td><td><strong>{metrics.accuracy:.4f}</strong></td>"
                f"<td>{metrics.accuracy - was:+.4f}</td><td>{loss:.4f}</td><td>{metrics.log_loss:.4f}</td></tr>"
            )
    heads = ("part", "accuracy before", "after", "difference", "log loss before", "after")
    note = (
        f"The layers of the conv base from {html.escape(card.fine_tuning['unfreeze_from'])} on were trained with the "
        f"head of model {html.escape(card.fine_tuning['model'])}."
    )
    return section("Before and after fine-tuning", table(heads, rows), note)
