"""Buckets read through obstore: stores, keys as they are, listings, and whether a bucket can be reached."""

from schemas.buckets.file_system import AzureFileSystem, BucketFileSystem, GoogleFileSystem, S3FileSystem
from schemas.buckets.reachable import why_out_of_reach
from schemas.buckets.stores import (
    ATTEMPTS,
    CONNECT_TIMEOUT_SECONDS,
    READ_TIMEOUT_SECONDS,
    is_read_by_obstore,
    tried_again_outside,
)

__all__ = [
    "ATTEMPTS",
    "CONNECT_TIMEOUT_SECONDS",
    "READ_TIMEOUT_SECONDS",
    "AzureFileSystem",
    "BucketFileSystem",
    "GoogleFileSystem",
    "S3FileSystem",
    "is_read_by_obstore",
    "tried_again_outside",
    "why_out_of_reach",
]
