"""How good a classifier is: metrics by split and class, the worst mistakes, charts and the report."""

from transforms.evaluation.card_text import card_markdown
from transforms.evaluation.charts import ticks
from transforms.evaluation.evaluation import MOST_SCORES, Evaluation, ScoredSplit, evaluate, illustrated, judge
from transforms.evaluation.leaderboard import difference
from transforms.evaluation.metrics import SplitMetrics, interval_text, predicted_indicators, score_text, split_metrics
from transforms.evaluation.mistakes import TimedPictures, small_pictures, thumbnail
from transforms.evaluation.report import judged_parts, report_html
from transforms.evaluation.templates import render

__all__ = [
    "MOST_SCORES",
    "Evaluation",
    "ScoredSplit",
    "SplitMetrics",
    "TimedPictures",
    "card_markdown",
    "difference",
    "evaluate",
    "illustrated",
    "interval_text",
    "judge",
    "judged_parts",
    "predicted_indicators",
    "render",
    "report_html",
    "score_text",
    "small_pictures",
    "split_metrics",
    "thumbnail",
    "ticks",
]
