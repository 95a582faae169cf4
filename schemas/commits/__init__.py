"""Commits to the tables of a store: new rows in, superseded ones out, what others committed meanwhile left out."""

from schemas.commits.annotation_updates import FileUpdate, changed_images, update_file
from schemas.commits.commit import TOTALS, Commit, commit_fragments
from schemas.commits.removal import Holding, files_holding, removal_actions

__all__ = [
    "TOTALS",
    "Commit",
    "FileUpdate",
    "Holding",
    "changed_images",
    "commit_fragments",
    "files_holding",
    "removal_actions",
    "update_file",
]
