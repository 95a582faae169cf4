"""Whether a bucket can be reached at all, found out before others try for minutes."""

import functools
import os
import socket
import ssl
from typing import Final

import obstore

from schemas.buckets.errors import BucketUnavailable, NoCredentialsError, bucket_errors
from schemas.buckets.stores import ENVIRONMENT, is_read_by_obstore, store_of

# What fails for all of a bucket; that it may not be listed does not.
_OF_ALL: Final = (
    BucketUnavailable, ConnectionRefusedError, FileNotFoundError, NoCredentialsError, socket.gaierror, ssl.SSLError,
)  # fmt: skip


def why_out_of_reach(protocol: str, bucket: str) -> str | None:
    """Returns why nothing of a bucket can be read or written; None if something can, or may be.

    Args:
        protocol: The protocol of its URIs; those of S3 are asked, of others nothing is known.
        bucket: The bucket.
    """
    if protocol not in {"s3", "s3a"} or not is_read_by_obstore(protocol, bucket, ""):
        return None
    return _asked(bucket, *map(os.environ.get, ENVIRONMENT))


@functools.lru_cache(maxsize=64)
def _asked(bucket: str, *_environment: str | None) -> str | None:
    try:
        with bucket_errors(bucket):
            next(iter(obstore.list(store_of("s3", bucket), chunk_size=1)), None)
    except _OF_ALL as error:
        return str(error)
    except OSError:
        return None
    return None
