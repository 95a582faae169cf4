"""Whether the images of an input can be reached at all, seen before the work begins.

Where the host, the bucket or the credentials are wrong, every image fails of the same: that is one sentence about the
input, and no row for each of its images.
"""

import concurrent.futures
import itertools
import re
from collections.abc import Iterable, Mapping
from typing import Final

import pyarrow.compute as pc

from schemas.errors import FailureCode, ImageError, InvalidInput, shown
from schemas.storage import file_system, image_errors, is_in_a_bucket, is_local, member_uri
from transforms.folders import IgnoredFiles
from transforms.source_kinds import ListingRules, ManifestSource, Source
from transforms.sources.listing import list_source

# Hosts and buckets that are asked; where there are more, some of them will answer.
_PLACES: Final = 8
_SECONDS: Final = 8

_PLACE: Final = re.compile(r"[^:/]+://[^/?#]*")

# What fails for one image of a host or bucket fails for all.
_OF_ALL: Final = frozenset(
    {
        FailureCode.UNKNOWN_PROTOCOL,
        FailureCode.PACKAGE_MISSING,
        FailureCode.NO_CREDENTIALS,
        FailureCode.UNKNOWN_HOST,
        FailureCode.CONNECTION_REFUSED,
        FailureCode.TLS_ERROR,
    }
)


def check_reachable(sources: Iterable[Source], rules: ListingRules) -> None:
    """Refuses manifests of whose first images none can be had, for a reason that all of a host or bucket share.

    One image of each host is looked at, and each bucket, for at most some seconds.

    Raises:
        InvalidInput: If there is no such host or bucket, no credentials, or no package for any of them.
    """
    for source in sources:
        if not isinstance(source, ManifestSource):
            continue  # To find it was to reach it.
        first = next(list_source(source, rules, IgnoredFiles()), None)
        uris = [] if first is None else pc.unique(first.column("uri")).to_pylist()
        places = _places(map(_file_of, uris))
        if any(map(is_local, places.values())):
            continue
        reasons = _reasons(list(itertools.islice(places.values(), _PLACES)))
        if reasons:
            raise InvalidInput(f"No image of {shown(source.uri)} can be read. {reasons[0]}")


def _file_of(uri: str) -> str:
    """Returns the archive of a member, and other URIs as they are."""
    member = member_uri(uri)
    return uri if member is None else member.archive_uri


def _places(uris: Iterable[str]) -> Mapping[str, str]:
    """Returns one URI of each host or bucket."""
    found: dict[str, str] = {}
    for uri in uris:
        match = _PLACE.match(uri)
        found.setdefault(match[0] if match else "", uri)
    return found


def _reasons(uris: list[str]) -> list[str]:
    """Returns why images cannot be reached; nothing if one of them can, or may be."""
    pool = concurrent.futures.ThreadPoolExecutor(_PLACES, "reach")
    try:
        answers = [pool.submit(_reason, uri) for uri in uris]
        waiting = concurrent.futures.wait(answers, _SECONDS).not_done
        reasons = [] if waiting else [answer.result() for answer in answers]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return [reason for reason in reasons if reason] if all(reasons) else []


def _reason(uri: str) -> str | None:
    """Returns why an image cannot be reached that others of its host or bucket cannot be reached for either."""
    bucket = ""
    try:
        with image_errors():
            fs, path = file_system(uri)
            bucket = path.partition("/")[0] if is_in_a_bucket(uri) else ""
            fs.info(bucket or path)
    except ImageError as error:
        if error.code == FailureCode.NOT_FOUND and bucket:
            return f"There is no bucket {bucket}."
        return error.message if error.code in _OF_ALL else None
    return None
