"""How good a classifier is: metrics by split and class, the worst mistakes, charts and the report."""

from transforms.evaluation.card_text import card_markdown
from transforms.evaluation.evaluation import Evaluation, ScoredPart, evaluate, judge
from transforms.evaluation.metrics import PartMetrics, part_metrics, predicted_indicators, score_text
from transforms.evaluation.report import report_html

__all__ = [
    "Evaluation",
    "PartMetrics",
    "ScoredPart",
    "card_markdown",
    "evaluate",
    "judge",
    "part_metrics",
    "predicted_indicators",
    "report_html",
    "score_text",
]
