"""Whether a bucket can be reached at all, found out before others try for minutes."""

import functools
import os
import socket
import ssl
import time
from typing import Final

import obstore

from schemas.buckets.stores import ENVIRONMENTS, is_read_by_obstore, store_of
from schemas.clouds import BucketUnavailable, NoCredentialsError, bucket_errors
from schemas.uris import AZURE_PROTOCOLS, GCS_PROTOCOLS, S3_PROTOCOLS

# What fails for all of a bucket; that it may not be listed does not.
_OF_ALL: Final = (
    BucketUnavailable, ConnectionRefusedError, FileNotFoundError, NoCredentialsError, socket.gaierror, ssl.SSLError,
)  # fmt: skip

# A command asks several times for its store.
_KNOWN_FOR_SECONDS: Final = 10
_CLOUDS: Final = {"s3": S3_PROTOCOLS, "gs": GCS_PROTOCOLS, "abfs": AZURE_PROTOCOLS}


def why_out_of_reach(protocol: str, bucket: str) -> str | None:
    """Returns why nothing of a bucket can be read or written; None if something can, or may be.

    Args:
        protocol: The protocol of its URIs; of those that obstore does not read nothing is known.
        bucket: The bucket.
    """
    cloud = next((cloud for cloud, protocols in _CLOUDS.items() if protocol in protocols), None)
    if cloud is None or not is_read_by_obstore(protocol, bucket, ""):
        return None
    return _asked(cloud, bucket, int(time.monotonic() // _KNOWN_FOR_SECONDS), *map(os.environ.get, ENVIRONMENTS[cloud]))


@functools.lru_cache(maxsize=64)
def _asked(cloud: str, bucket: str, _moment: int, *_environment: str | None) -> str | None:
    try:
        with bucket_errors(bucket):
            next(iter(obstore.list(store_of(cloud, bucket), chunk_size=1)), None)
    except _OF_ALL as error:
        return str(error)
    except OSError:
        return None
    return None
