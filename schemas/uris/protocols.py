"""What the protocol of a URI says of where it is."""

import re
from typing import Final

from schemas.uris.chains import is_chained, split_chain

S3_PROTOCOLS: Final = frozenset({"s3", "s3a"})
GCS_PROTOCOLS: Final = frozenset({"gs", "gcs"})
AZURE_PROTOCOLS: Final = frozenset({"abfs", "abfss", "az"})
BUCKET_PROTOCOLS: Final = S3_PROTOCOLS | GCS_PROTOCOLS | AZURE_PROTOCOLS
LOCAL_PROTOCOLS: Final = frozenset({"file", "local"})

# As Azure's tools name a container: `abfss://container@account.dfs.core.windows.net/folder`.
_ACCOUNT: Final = re.compile(r"[^/@]+@([a-z0-9]+)\.(?:blob|dfs)\.core\.windows\.net(?:/|$)")
_PROTOCOL: Final = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://")


def protocol_of(uri: str) -> str:
    """Returns the protocol of a URI, `file` for a bare path."""
    match = _PROTOCOL.match(uri)
    return match[1].lower() if match else "file"


def is_local(uri: str) -> bool:
    """Whether a URI is on this machine's disk; of a chain its last link counts.

    >>> is_local("photos/"), is_local("zip://*.jpg::file:///a.zip"), is_local("gs://bucket/a")
    (True, True, False)
    """
    return is_local(split_chain(uri)[1]) if is_chained(uri) else protocol_of(uri) in LOCAL_PROTOCOLS


def is_on_the_web(uri: str) -> bool:
    """Whether a URI is a URL of a web server."""
    return protocol_of(uri) in {"http", "https"}


def is_in_a_bucket(uri: str) -> bool:
    """Whether a URI names a bucket of S3 or Google's, or a container of Azure's, and what is in it."""
    return protocol_of(uri) in BUCKET_PROTOCOLS


def account_of(uri: str) -> str | None:
    """Returns the storage account that a URI of Azure's names; None where it names none.

    >>> account_of("abfss://photos@ours.dfs.core.windows.net/a.jpg"), account_of("abfs://photos/a.jpg")
    ('ours', None)
    """
    found = _ACCOUNT.match(uri.partition("://")[2]) if protocol_of(uri) in AZURE_PROTOCOLS else None
    return found[1] if found else None


def without_query(uri: str) -> str:
    """Returns a URL without its query and fragment; in other URIs `?` and `#` are part of a name."""
    return uri.partition("#")[0].partition("?")[0] if is_on_the_web(uri) else uri
