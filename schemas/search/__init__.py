"""Neighbours among the images of a snapshot: by comparing with all of them, or by an index beside the table."""

from schemas.search.building import BuiltIndex, IndexedLayer, build_index
from schemas.search.cells import Cells, cells_for, check_faiss, is_faiss_installed, sample_for, use_threads
from schemas.search.index_files import (
    ABOUT,
    CELLS,
    INDEXES,
    OpenIndex,
    StoredIndex,
    abandoned_files,
    find_index,
    numbers_of,
    open_index,
    read_about,
    remove_files,
    stored_indexes,
)
from schemas.search.nearest import nearest_images

__all__ = [
    "ABOUT",
    "CELLS",
    "INDEXES",
    "BuiltIndex",
    "Cells",
    "IndexedLayer",
    "OpenIndex",
    "StoredIndex",
    "abandoned_files",
    "build_index",
    "cells_for",
    "check_faiss",
    "find_index",
    "is_faiss_installed",
    "nearest_images",
    "numbers_of",
    "open_index",
    "read_about",
    "remove_files",
    "sample_for",
    "stored_indexes",
    "use_threads",
]
