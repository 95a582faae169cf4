"""Buckets read through obstore: credentials, stores, keys as they are, and errors as Python has them."""

from schemas.buckets.credentials import bucket_options
from schemas.buckets.errors import BucketUnavailable
from schemas.buckets.file_system import BucketFileSystem, GoogleFileSystem
from schemas.buckets.listing import is_object
from schemas.buckets.reachable import why_out_of_reach
from schemas.buckets.stores import ATTEMPTS, CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS, is_read_by_obstore

__all__ = [
    "ATTEMPTS",
    "CONNECT_TIMEOUT_SECONDS",
    "READ_TIMEOUT_SECONDS",
    "BucketFileSystem",
    "BucketUnavailable",
    "GoogleFileSystem",
    "bucket_options",
    "is_object",
    "is_read_by_obstore",
    "why_out_of_reach",
]
