"""Commits to tables: new rows in, those that they replace out, what others committed meanwhile left out."""

from schemas.commits.annotation_updates import FileUpdate, changed_images, update_file
from schemas.commits.appended_rows import append_rows
from schemas.commits.commit import TOTALS, Commit, commit_fragments
from schemas.commits.removal import Holding, files_holding, removal_actions
from schemas.commits.replacement import REPLACED, replace_rows
from schemas.commits.row_keys import RowKeys

__all__ = [
    "REPLACED",
    "TOTALS",
    "Commit",
    "FileUpdate",
    "Holding",
    "RowKeys",
    "append_rows",
    "changed_images",
    "commit_fragments",
    "files_holding",
    "removal_actions",
    "replace_rows",
    "update_file",
]
