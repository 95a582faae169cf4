"""The first look at sources, before the work begins: whether there is an image, and whether any can be had.

Where the host, the bucket, the credentials or the folder are wrong, every image fails of the same: that is one sentence
about the input, and no row for each of its images.
"""

import concurrent.futures
import contextlib
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from schemas.clouds import BucketUnavailable
from schemas.errors import FailureCode, ImageError, InvalidInput, shown
from schemas.images import PROBLEM, not_allowed, problem_error
from schemas.storage import (
    ANYWHERE,
    Reach,
    image_errors,
    input_file_system,
    is_in_a_bucket,
    is_local,
    member_uri,
    reaching,
)
from transforms.source_kinds import FirstImages, ListingRules, ManifestSource, Source

# Hosts and buckets that are asked; where there are more, some of them will answer.
_PLACES: Final = 8
_SECONDS: Final = 8

_PLACE: Final = re.compile(r"[^:/]+://[^/?#]*")

# What fails for one image of a host or bucket fails for all.
_OF_ALL: Final = frozenset(
    {
        FailureCode.NOT_ALLOWED,
        FailureCode.UNKNOWN_PROTOCOL,
        FailureCode.PACKAGE_MISSING,
        FailureCode.NO_CREDENTIALS,
        FailureCode.UNKNOWN_HOST,
        FailureCode.CONNECTION_REFUSED,
        FailureCode.TLS_ERROR,
    }
)


def take_first_look(sources: Iterable[Source], rules: ListingRules, *, expect_files: bool = False) -> bool:
    """Returns whether sources hold at least one image; the beginning of a manifest is read once for all questions.

    One image of each host is looked at, and each bucket, for at most some seconds.

    Args:
        sources: The sources.
        rules: How they are read.
        expect_files: Whether a manifest is refused whose first images are all missing from this machine's disks;
            never one whose images are not looked up.

    Raises:
        InvalidInput: If a source cannot be read, or none of the first images of a manifest can be had, for a reason
            that all of them share.
    """
    found = False
    for source in sources:
        with _explained(source):
            if isinstance(source, ManifestSource):
                first = source.first_images(rules)
                found = found or first is not None
                if first is not None:
                    _check_first(source, first, rules.reach, expect_files=expect_files and rules.stat_manifests)
            else:  # To find it was to reach it.
                found = found or source.has_image(rules)
    return found


def _check_first(source: ManifestSource, first: FirstImages, reach: Reach, *, expect_files: bool) -> None:
    allowed = first.refs.filter(pc.invert(_are_refused(first.refs)))
    if not allowed.num_rows:
        reason = problem_error(first.refs.column(PROBLEM)[0].as_py()).message
        raise InvalidInput(f"No image of {shown(source.uri)} may be looked for. {reason}")
    if expect_files:
        source.check_files(first)
    places = _places(map(_file_of, pc.unique(allowed.column("uri")).to_pylist()))
    if any(map(is_local, places.values())):
        return
    reasons = _reasons(list(itertools.islice(places.values(), _PLACES)), reach)
    if reasons:
        raise InvalidInput(f"No image of {shown(source.uri)} can be read. {reasons[0]}")


def _are_refused(refs: pa.RecordBatch) -> pa.Array:
    return pc.fill_null(pc.starts_with(refs.column(PROBLEM), not_allowed("")), False)


@contextlib.contextmanager
def _explained(source: Source) -> Iterator[None]:
    try:
        with image_errors():
            yield
    except ImageError as error:
        raise InvalidInput(f"The input {shown(source.uri)} cannot be read. {error.message}") from error


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


def _reasons(uris: list[str], reach: Reach) -> list[str]:
    """Returns why images cannot be reached; nothing if one of them can, or may be."""
    pool = concurrent.futures.ThreadPoolExecutor(_PLACES, "reach")
    try:
        answers = [pool.submit(why_unreachable, uri, reach) for uri in uris]
        waiting = concurrent.futures.wait(answers, _SECONDS).not_done
        reasons = [] if waiting else [answer.result() for answer in answers]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return [reason for reason in reasons if reason] if all(reasons) else []


def why_unreachable(uri: str, reach: Reach = ANYWHERE) -> str | None:
    """Returns why an image cannot be reached that others of its host or bucket cannot be reached for either."""
    bucket = ""
    try:
        with reaching(reach), image_errors():
            fs, path = input_file_system(uri)
            bucket = path.partition("/")[0] if is_in_a_bucket(uri) else ""
            fs.info(bucket or path)
    except ImageError as error:
        if error.code == FailureCode.NOT_FOUND and bucket:
            return f"There is no bucket {bucket}."
        is_of_all = error.code in _OF_ALL or isinstance(error.__cause__, BucketUnavailable)
        return error.message if is_of_all else None
    return None
