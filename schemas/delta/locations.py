"""Where a table is, as the `deltalake` package wants to be told."""

import re
from typing import Final

from schemas.clouds import bucket_options
from schemas.errors import UsageError
from schemas.storage import canonical_uri, file_system
from schemas.uris import LOCAL_PROTOCOLS, protocol_of

# `deltalake` (1.6.6) decodes `a%20b` once more and takes the folder `a b`, panics where it writes below `[`, takes `\`
# for `/`, and knows no control characters; in a URL `?` and `#` end the path.
_NOT_IN_DELTA: Final = re.compile(r"%[0-9A-Fa-f]{2}|[\x00-\x1f\x7f\\\[\]^|]")
_NOT_IN_DELTA_URLS: Final = re.compile(r"[?#]")


def delta_location(uri: str) -> str:
    """Returns a folder's URI as the `deltalake` package wants it: a local one as a bare path, unquoted.

    Raises:
        UsageError: If the package would take the path for another one, or not at all.
    """
    is_on_disk = protocol_of(uri) in LOCAL_PROTOCOLS
    refused = _NOT_IN_DELTA.search(uri) or (None if is_on_disk else _NOT_IN_DELTA_URLS.search(uri))
    if refused:
        raise UsageError(
            f"A Delta table cannot be at {uri!r}, for the {refused[0]!r} in its path; take another folder."
        )
    return str(file_system(uri)[1]) if is_on_disk else canonical_uri(uri)


def delta_storage_options(uri: str) -> dict[str, str]:
    """Returns the options of the `deltalake` package for a store: what is configured for fsspec alone.

    Args:
        uri: The store's URI.

    Returns:
        Options by name; empty for a local store.
    """
    return bucket_options(protocol_of(uri))
