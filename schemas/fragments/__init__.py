"""Fragments: Parquet files that are written and not committed yet, statistics, footers, receipts and Delta actions."""

from schemas.fragments.actions import add_action, add_actions, partition_values, remove_action
from schemas.fragments.feature_pages import FeaturePages
from schemas.fragments.fragment import Fragment, FragmentWriter, TableName, has_told_rows
from schemas.fragments.parquet_footer import null_counts
from schemas.fragments.receipts import (
    RECEIPTS,
    forget_start,
    has_started,
    leave_receipt,
    leave_start,
    read_receipts,
    remove_receipts,
)
from schemas.fragments.rewriting import (
    COMPACTED,
    RESTORED,
    SUPERSEDED,
    TAKEDOWN,
    WIDENED,
    Keep,
    keep_rows,
    keys_of,
    run_of,
    with_schema,
    without,
    without_keys,
    write_again,
)
from schemas.fragments.statistics import statistics_json
from schemas.fragments.totals import Totals

__all__ = [
    "COMPACTED",
    "RECEIPTS",
    "RESTORED",
    "SUPERSEDED",
    "TAKEDOWN",
    "WIDENED",
    "FeaturePages",
    "Fragment",
    "FragmentWriter",
    "Keep",
    "TableName",
    "Totals",
    "add_action",
    "add_actions",
    "forget_start",
    "has_started",
    "has_told_rows",
    "keep_rows",
    "keys_of",
    "leave_receipt",
    "leave_start",
    "null_counts",
    "partition_values",
    "read_receipts",
    "remove_action",
    "remove_receipts",
    "run_of",
    "statistics_json",
    "with_schema",
    "without",
    "without_keys",
    "write_again",
]
