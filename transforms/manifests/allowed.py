"""Which rows of a manifest may be looked for: the policy of `schemas.uris`, over many URIs at once."""

import functools
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
_LOCAL: Final = "local:"


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
    plain = _plain(uris, manifest_uri, allowed)
    named_local = pc.starts_with(written, _LOCAL, ignore_case=True)
    left = pc.or_(pc.invert(pc.fill_null(plain, False)), pc.fill_null(named_local, False))
    if not pc.any(left).as_py():
        return None
    rows = zip(pc.filter(uris, left).to_pylist(), pc.filter(written, left).to_pylist(), strict=True)
    reasons = [_refusal(uri, text, manifest_uri, allowed) for uri, text in rows]
    if not any(reasons):
        return None
    return pc.replace_with_mask(pa.nulls(len(uris), pa.string()), left, pa.array(reasons, pa.string()))


def _plain(uris: pa.Array, manifest_uri: str, allowed: AllowedSources) -> pa.Array:
    """Returns bool [n]: which URIs are allowed at a glance."""
    found = pa.repeat(pa.scalar(False), len(uris))
    if is_local(manifest_uri) and not allowed.is_exclusive:
        found = pc.and_not(_begin_with(uris, _FILES_AND_BUCKETS), _begin_with(uris, _PERHAPS_THE_KERNELS))
        if pc.all(found).as_py():
            return found
    servers = pc.struct_field(pc.extract_regex(uris, _SERVER), "server").dictionary_encode()
    may = pa.array([allowed.refusal(f"{server}/", manifest_uri) is None for server in servers.dictionary.to_pylist()])
    return pc.or_(found, pc.fill_null(may.cast(pa.bool_()).take(servers.indices), False))


def _begin_with(uris: pa.Array, beginnings: Sequence[str]) -> pa.Array:
    return functools.reduce(pc.or_, (pc.starts_with(uris, beginning) for beginning in beginnings))


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
