"""Counting the labels and splits of an input, a hash partition at a time. Pure of Beam."""

import functools
from collections import Counter
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.annotations import LABELS, has_label_lists
from schemas.store import MOST_EXAMPLES, LabelCounts
from transforms.sources import parent_annotations

# Images of a partition whose folders are looked at where they have no label: partitions are drawn by hash.
_FOLDERS_OF: Final = 256


def count_labels(listed: pa.RecordBatch, chosen: np.ndarray) -> LabelCounts:
    """Counts what the input says of images.

    Args:
        listed: Refs, some of the same image.
        chosen: The row of each image that counts.
    """
    images = listed if len(chosen) == listed.num_rows else listed.take(pa.array(chosen))
    labels = [images.column("label"), *([images.column(LABELS)] if has_label_lists(images.schema) else [])]
    unlabelled = images.filter(functools.reduce(pc.and_, map(pc.is_null, labels)))
    contradictions, contradicted = (0, ()) if images is listed else _contradictions(listed)
    # Summed with nothing, so that there are never more classes than are to be counted.
    return LabelCounts() + LabelCounts(
        classes=dict(sum(map(_by_value, labels), Counter[str]())),
        splits=dict(_by_value(images.column("split"))),
        unlabelled=unlabelled.num_rows,
        contradictions=contradictions,
        contradicted=contradicted,
        folders=_folders(unlabelled) if unlabelled.num_rows else (),
    )


def _by_value(values: pa.Array) -> Counter[str]:
    values = pc.list_flatten(values) if pa.types.is_nested(values.type) else values
    return Counter({found["values"]: found["counts"] for found in pc.value_counts(values.drop_null()).to_pylist()})


def _contradictions(listed: pa.RecordBatch) -> tuple[int, tuple[str, ...]]:
    rows = pa.Table.from_batches([listed.select(["uri", "label"])])
    labels = rows.group_by(["uri", "label"], use_threads=False).aggregate([]).filter(pc.field("label").is_valid())
    counts = labels.group_by("uri", use_threads=False).aggregate([("label", "count"), ("label", "list")])
    several = counts.filter(pc.greater(counts["label_count"], 1)).sort_by("uri")
    shown = several.slice(0, MOST_EXAMPLES).to_pylist()
    return several.num_rows, tuple(f"{row['uri']} ({', '.join(sorted(row['label_list']))})" for row in shown)


def _folders(unlabelled: pa.RecordBatch) -> tuple[str, ...]:
    names = pc.unique(parent_annotations(unlabelled.slice(0, _FOLDERS_OF)).column("label")).drop_null()
    return tuple(sorted(names.to_pylist())[:MOST_EXAMPLES])
