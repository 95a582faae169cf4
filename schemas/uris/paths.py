"""Paths below a folder, as text."""

import posixpath


def join(uri: str, *parts: str) -> str:
    """Joins path segments to a folder's URI."""
    return posixpath.join(uri.rstrip("/"), *parts)


def leaves_folder(path: str) -> bool:
    """Whether a path that somebody has written down is none of a file below its folder, however it is joined to it.

    >>> leaves_folder("ds=2026-01-01/a.parquet"), leaves_folder("../a.parquet"), leaves_folder("s3://bucket/a.parquet")
    (False, True, True)
    """
    parts = path.split("/")
    return "" in parts or "." in parts or ".." in parts or "::" in path or "\0" in path
