"""Fragments: Parquet files that are written and not committed yet, their statistics, receipts and Delta actions."""

from schemas.fragments.actions import add_action, add_actions, partition_values, remove_action
from schemas.fragments.fragment import Fragment, FragmentWriter, TableName
from schemas.fragments.receipts import RECEIPTS, leave_receipt, read_receipts, remove_receipts
from schemas.fragments.rewriting import (
    COMPACTED,
    RESTORED,
    SUPERSEDED,
    TAKEDOWN,
    WIDENED,
    Keep,
    keep_rows,
    with_schema,
    without,
    write_again,
)
from schemas.fragments.statistics import statistics_json

__all__ = [
    "COMPACTED",
    "RECEIPTS",
    "RESTORED",
    "SUPERSEDED",
    "TAKEDOWN",
    "WIDENED",
    "Fragment",
    "FragmentWriter",
    "Keep",
    "TableName",
    "add_action",
    "add_actions",
    "keep_rows",
    "leave_receipt",
    "partition_values",
    "read_receipts",
    "remove_action",
    "remove_receipts",
    "statistics_json",
    "with_schema",
    "without",
    "write_again",
]
