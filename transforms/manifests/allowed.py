"""Which rows of a manifest may be looked for: the policy of `schemas.uris`, over many URIs at once."""

import functools
import re
from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from schemas.images import not_allowed
from schemas.storage import is_known_protocol
from schemas.uris import (
    ANY,
    BUCKET_PROTOCOLS,
    LOCAL_PROTOCOLS,
    AllowedSources,
    is_chained,
    is_local,
    is_on_the_web,
    protocol_of,
)

# How canonical URIs begin that a local manifest may name, and those of them that are looked at singly.
_FILES_AND_BUCKETS: Final = ("file:///", "s3://", "gs://", "abfs://")
_PERHAPS_THE_KERNELS: Final = ("file:////", "file:///proc", "file:///sys", "file:///dev")
_SERVER: Final = r"^(?P<server>https?://[^/?#\\@]+)(?:[/?#]|$)"
# A server or a bucket: where all of one is allowed, so is what is in it.
_PLACE: Final = re.compile(r"(?:https?://[^/?#\\@]+|(?:s3|gs|abfs)://[^/?#\\]+)/")
_WITH_PLACES: Final = ("http://", "https://", "s3://", "gs://", "abfs://")
# Places of a batch that are looked for one after the other: comparing beginnings is far less than taking URLs apart.
_FEW_PLACES: Final = 8
_PLACES_KEPT: Final = 2**14
_LOCAL: Final = "local:"
_PERHAPS_LOCAL: Final = ("l", "L")


def refused_rows(uris: pa.Array, written: pa.Array, manifest_uri: str, allowed: AllowedSources) -> pa.Array | None:
    """Returns why rows of a manifest may not be looked for.

    Args:
        uris: string [n], in canonical form.
        written: string [n], as they stand in the manifest.
        manifest_uri: The manifest.
        allowed: Where it may point.

    Returns:
        string [n], null where a row may be looked for; None if all may.
    """
    if ANY in allowed.named:
        return None
    left = pc.invert(_plain(uris, manifest_uri, allowed))
    if written is not uris:
        left = pc.or_(left, _named_local(written))
    if not pc.any(left).as_py():
        return None
    rows = zip(pc.filter(uris, left).to_pylist(), pc.filter(written, left).to_pylist(), strict=True)
    reasons = [_refusal(uri, text, manifest_uri, allowed) for uri, text in rows]
    if not any(reasons):
        return None
    return pc.replace_with_mask(pa.nulls(len(uris), pa.string()), left, pa.array(reasons, pa.string()))


def _named_local(written: pa.Array) -> pa.Array:
    """Returns bool [n]: which texts are URIs of `local:`, in upper or lower case."""
    perhaps = _begin_with(written, _PERHAPS_LOCAL)
    if not pc.any(perhaps).as_py():  # To ignore case costs more than all else here.
        return perhaps
    return pc.fill_null(pc.starts_with(written, _LOCAL, ignore_case=True), False)


def _plain(uris: pa.Array, manifest_uri: str, allowed: AllowedSources) -> pa.Array:
    """Returns bool [n]: which URIs are allowed at a glance."""
    first = _PLACE.match(uris[0].as_py() or "") if len(uris) else None
    if first is not None and _is_allowed(first[0], manifest_uri, allowed):
        here = _begin_with(uris, (first[0],))
        if pc.all(here).as_py():  # As in most manifests of the web and of buckets.
            return here
    named = tuple(f"{name.rstrip('/')}/" for name in allowed.named if name.startswith(_FILES_AND_BUCKETS))
    found = _begin_with(uris, named)
    if is_local(manifest_uri) and not allowed.is_exclusive:
        own = pc.and_not(_begin_with(uris, _FILES_AND_BUCKETS), _begin_with(uris, _PERHAPS_THE_KERNELS))
        found = pc.or_(found, own)
    return found if pc.all(found).as_py() else _or_at_allowed_places(found, uris, manifest_uri, allowed)


def _or_at_allowed_places(found: pa.Array, uris: pa.Array, manifest_uri: str, allowed: AllowedSources) -> pa.Array:
    """Returns bool [n]: which URIs are allowed already, or are in servers and buckets all of which is."""
    left = pc.and_not(_begin_with(uris, _WITH_PLACES), found)
    for _ in range(_FEW_PLACES):
        row = pc.index(left, True).as_py()
        if row < 0:
            return found
        place = _PLACE.match(uris[row].as_py())
        if place is None:
            break
        here = _begin_with(uris, (place[0],))
        if _is_allowed(place[0], manifest_uri, allowed):
            found = pc.or_(found, here)
        left = pc.and_not(left, here)
    servers = pc.struct_field(pc.extract_regex(uris.filter(left), _SERVER), "server").dictionary_encode()
    may = [_is_allowed(f"{server}/", manifest_uri, allowed) for server in servers.dictionary.to_pylist()]
    return pc.replace_with_mask(found, left, pc.fill_null(pa.array(may, pa.bool_()).take(servers.indices), False))


@functools.lru_cache(maxsize=_PLACES_KEPT)
def _is_allowed(place: str, manifest_uri: str, allowed: AllowedSources) -> bool:
    return allowed.refusal(place, manifest_uri) is None


def _begin_with(texts: pa.Array, beginnings: Sequence[str]) -> pa.Array:
    """Returns bool [n]: which texts begin with one of these; a null does not."""
    found: pa.Array = pa.repeat(pa.scalar(False), len(texts))
    for beginning in beginnings:
        found = pc.or_(found, pc.fill_null(pc.starts_with(texts, beginning), False))
        if pc.all(found).as_py():
            break
    return found


def _refusal(uri: str, written: str, manifest_uri: str, allowed: AllowedSources) -> str | None:
    if uri is None:
        return None
    refusal = allowed.refusal(uri, manifest_uri)
    if protocol_of(written) == "local" and refusal is None and "local:" not in allowed.named:
        refusal = "Manifests name files as file:///…; --allowed_sources=local: would allow it."
    if refusal is None or _says_so_itself(uri):
        return None
    return not_allowed(refusal)


def _says_so_itself(uri: str) -> bool:
    """Whether a URI cannot be opened at all, which fetching it will say."""
    if is_chained(uri) or is_on_the_web(uri) or protocol_of(uri) in BUCKET_PROTOCOLS | LOCAL_PROTOCOLS:
        return False
    return not is_known_protocol(protocol_of(uri))
