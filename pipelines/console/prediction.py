"""What `pipelines.predict` prints: how many images it predicted, and how right it was where labels are known."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.console.extraction import figure_lines
from pipelines.console.training import metrics_line
from schemas.classifiers import UNLABELLED, LabelKind, LabelSet
from schemas.errors import printable
from schemas.fragments import TableName
from schemas.storage import join
from schemas.store import STRINGS, PredictionTables, lists_of_one
from transforms.evaluation import split_metrics
from transforms.prediction import Prediction
from transforms.training import LabelFile


def prediction_text(tables: PredictionTables, prediction: Prediction, file: LabelFile | None) -> str:
    """Returns the closing summary of a run.

    Args:
        tables: The tables that it wrote to.
        prediction: The run.
        file: Labels by image; those of the predictions' own rows where it is None.
    """
    run_id, labels = prediction.run_id, prediction.labels
    rows = tables.of_run(TableName.PREDICTIONS, run_id, ["uri", "labels", "scores", "true_labels", "split"])
    codes = Counter(tables.of_run(TableName.FAILURES, run_id, ["code"])["code"].to_pylist())
    lines = [f"Run {run_id}: {rows.num_rows:,} images predicted, {codes.total():,} failed."]
    lines += figure_lines(*codes.most_common())
    replaced = tables.replaced_by(run_id)
    lines += [f"  {replaced:,} predictions of the same images by this classifier are replaced"] if replaced else []
    said = Counter(pc.list_flatten(rows["labels"]).to_pylist())
    lines.append("  " + ", ".join(f"{printable(name)} {said[name]:,}" for name in labels.classes if said[name]))
    lines += _metrics_lines(rows, labels, file)
    lines.append(f"  classifier {prediction.model_id}, table {join(tables.uri, TableName.PREDICTIONS)}")
    return "\n".join(lines)


def _metrics_lines(rows: pa.Table, labels: LabelSet, file: LabelFile | None) -> Iterator[str]:
    """Yields the metrics of each split, and of all rows where there is none."""
    true = file.labels_of(rows["uri"].combine_chunks()) if file else rows["true_labels"].combine_chunks()
    targets = _targets(true, labels)
    labelled = (targets if targets.ndim == 1 else targets[:, 0]) != UNLABELLED
    scores = pc.list_flatten(rows["scores"]).to_numpy().reshape(-1, len(labels.classes))
    splits = pc.fill_null(rows["split"], "all").to_numpy()
    for name in sorted(set(splits[labelled])):
        chosen = labelled & (splits == name)
        metrics = split_metrics(labels, targets[chosen], scores[chosen])
        if metrics is not None:
            yield metrics_line(name, metrics)


def _targets(true: pa.Array, labels: LabelSet) -> np.ndarray:
    """Returns targets of labels of either kind; an image with several classes has no single one."""
    lists = pa.types.is_list(true.type)
    if labels.kind == LabelKind.MULTI_LABEL:
        return labels.targets(true if lists else lists_of_one(true))
    if not lists:
        return labels.targets(true)
    single = pc.equal(pc.list_value_length(true), 1)
    first = pc.list_element(pc.if_else(pc.fill_null(single, False), true, pa.scalar([""], STRINGS)), 0)
    return labels.targets(first)
