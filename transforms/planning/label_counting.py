"""Counting the labels and splits of an input, a hash partition at a time. Pure of Beam."""

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

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
    labels = images.column("label")
    contradictions, contradicted = (0, ()) if images is listed else _contradictions(listed)
    # Summed with nothing, so that there are never more classes than are to be counted.
    return LabelCounts() + LabelCounts(
        classes=_by_value(labels),
        splits=_by_value(images.column("split")),
        unlabelled=labels.null_count,
        contradictions=contradictions,
        contradicted=contradicted,
        folders=_folders(images) if labels.null_count else (),
    )


def _by_value(values: pa.Array) -> dict[str, int]:
    values = pc.list_flatten(values) if pa.types.is_nested(values.type) else values
    return {found["values"]: found["counts"] for found in pc.value_counts(values.drop_null()).to_pylist()}


def _contradictions(listed: pa.RecordBatch) -> tuple[int, tuple[str, ...]]:
    if pa.types.is_nested(listed.column("label").type):
        return 0, ()
    rows = pa.Table.from_batches([listed.select(["uri", "label"])])
    labels = rows.group_by(["uri", "label"], use_threads=False).aggregate([]).filter(pc.field("label").is_valid())
    counts = labels.group_by("uri", use_threads=False).aggregate([("label", "count"), ("label", "list")])
    several = counts.filter(pc.greater(counts["label_count"], 1)).sort_by("uri")
    shown = several.slice(0, MOST_EXAMPLES).to_pylist()
    return several.num_rows, tuple(f"{row['uri']} ({', '.join(sorted(row['label_list']))})" for row in shown)


def _folders(images: pa.RecordBatch) -> tuple[str, ...]:
    some = images.filter(pc.is_null(images.column("label"))).slice(0, _FOLDERS_OF)
    names = pc.unique(parent_annotations(some).column("label")).drop_null()
    return tuple(sorted(names.to_pylist())[:MOST_EXAMPLES])
