"""How good a classifier is: metrics by split and class, the worst mistakes, charts and the report."""

from transforms.evaluation.card_text import card_markdown
from transforms.evaluation.evaluation import Evaluation, ScoredSplit, evaluate, judge
from transforms.evaluation.leaderboard import difference
from transforms.evaluation.metrics import SplitMetrics, interval_text, predicted_indicators, score_text, split_metrics
from transforms.evaluation.mistakes import thumbnail
from transforms.evaluation.report import report_html
from transforms.evaluation.templates import render

__all__ = [
    "Evaluation",
    "ScoredSplit",
    "SplitMetrics",
    "card_markdown",
    "difference",
    "evaluate",
    "interval_text",
    "judge",
    "predicted_indicators",
    "render",
    "report_html",
    "score_text",
    "split_metrics",
    "thumbnail",
]
