"""Delta tables: opening, creating, transactions, a snapshot's rows, conditions on them, history."""

from schemas.delta.conflict_token import commit_with_token
from schemas.delta.dataset import ScannedFile
from schemas.delta.history import commit_info, commits_between, find_commit, table_history
from schemas.delta.log_entries import DamagedEntry, damaged_entries, remove_entry
from schemas.delta.opening import data_files, files_of, find_table, holds_table, open_table, paths_of
from schemas.delta.scan import Scan, Where, as_expression
from schemas.delta.transactions import (
    COMMIT_ID,
    LOST_CONFLICTS,
    RUN_ID,
    UPKEEP,
    TableAction,
    commit_once,
    commit_properties,
    committed,
    create_table,
    write_actions,
)
from schemas.delta.where import parse_where

__all__ = [
    "COMMIT_ID",
    "LOST_CONFLICTS",
    "RUN_ID",
    "UPKEEP",
    "DamagedEntry",
    "Scan",
    "ScannedFile",
    "TableAction",
    "Where",
    "as_expression",
    "commit_info",
    "commit_once",
    "commit_properties",
    "commit_with_token",
    "commits_between",
    "committed",
    "create_table",
    "damaged_entries",
    "data_files",
    "files_of",
    "find_commit",
    "find_table",
    "holds_table",
    "open_table",
    "parse_where",
    "paths_of",
    "remove_entry",
    "table_history",
    "write_actions",
]
