"""Which column holds the labels: the one that was named, else `label`, or `labels` where images have several each."""

import argparse
from collections.abc import Callable, Collection

import pyarrow as pa

from schemas.annotations import LABELS, has_label_lists
from schemas.classifiers import LabelKind, LabelSet
from schemas.errors import UsageError, nearest_names
from transforms.training import LABEL


def found_label_column(given: argparse.Namespace, schema: pa.Schema, has_single: Callable[[], bool]) -> str:
    """Returns the column to learn labels from: that of lists where no image has a single label.

    Args:
        given: The command's options; a file of labels goes before all columns of images.
        schema: That of the images.
        has_single: Whether an image has a label in the column `label`; it is asked only where there are lists, too.
    """
    if given.labels or given.label_column != LABEL or not has_label_lists(schema) or has_single():
        return str(given.label_column)
    return LABELS


def known_label_column(given: argparse.Namespace, labels: LabelSet) -> str:
    """Returns the column of the true labels of what is predicted: that of lists where classes go together."""
    has_lists = labels.kind == LabelKind.MULTI_LABEL and given.label_column == LABEL
    return LABELS if has_lists else str(given.label_column)


def check_label_column(given: argparse.Namespace, columns: Collection[str]) -> None:
    """Looks for the column of labels that was named; a file of labels needs none.

    Raises:
        UsageError: If it is missing.
    """
    own = [name for name in columns if not name.startswith("_")]  # Not those of refs that no input has.
    if not given.labels and given.label_column not in own:
        near = nearest_names(given.label_column, own) or f"; there are {', '.join(own)}."
        raise UsageError(f"There is no column '{given.label_column}' with labels{near}")
