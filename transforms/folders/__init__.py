"""Folders: what lies in them and below, on this machine's disks and in everything that fsspec lists."""

from transforms.folders.found_file import NOT_UTF_8, FoundFile, escaped
from transforms.folders.links import FollowLinks, Links
from transforms.folders.local import files_in, holds_file, leading_out, walk_folders
from transforms.folders.remote import FolderLister, matching_files, split_glob
from transforms.folders.selection import IgnoredFiles, Selection

__all__ = [
    "NOT_UTF_8",
    "FolderLister",
    "FollowLinks",
    "FoundFile",
    "IgnoredFiles",
    "Links",
    "Selection",
    "escaped",
    "files_in",
    "holds_file",
    "leading_out",
    "matching_files",
    "split_glob",
    "walk_folders",
]
