"""The URIs of a manifest, made canonical; what is none stays as it is, for its row will say so."""

import dataclasses
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import ImageError
from schemas.storage import (
    canonical_uri,
    image_errors,
    is_chained,
    is_local,
    join,
    protocol_of,
    split_chain,
    without_query,
)
from schemas.uris import AllowedSources, bare_uri
from transforms.manifests.allowed import refused_rows

# URIs of the first two forms are canonical as they are, unless they are of the third; the others are looked at singly.
_CLOUD: Final = r"^(s3|gs|abfs|https?)://[^/]"
_LOCAL: Final = r"^file:///[^/]"
# A user, or a parameter whose name may be a secret's: fast, and often enough wrong.
_SUSPICIOUS: Final = (
    r"(?i)://[^/?#]*@|(?:[?#&]|%3f|%26)[^=&]*(?:token|secr|pass|pwd|sig|cred|key|access|auth|amz|goog|oss|cos|tos|q-|jwt|"
    r"hmac|sas|ticket|session|sid|hdn|%)[^=&]*(?:=|%3d)"
)
_UNTIDY: Final = r"^file://.*(//|/\.\.?(/|$))"
# How canonical URIs begin. Most manifests have one of these throughout.
_ROOTS: Final = ("file:///", "s3://", "gs://", "abfs://", "http://", "https://")

NO_URI: Final = "The row has no URI."


class ResolvedUris(NamedTuple):
    """The URIs of some rows.

    Attributes:
        uris: string [n]: those of images in canonical form; of a row without one, its place in the manifest.
        problems: string [n]: why no image can be there, else null; None if there is no such row.
    """

    uris: pa.Array
    problems: pa.Array | None = None


def folder_of(manifest_uri: str) -> str:
    """Returns the folder of a manifest, against which its relative paths are resolved."""
    return without_query(manifest_uri).rpartition("/")[0]


def canonical_uris(uris: pa.Array, manifest_uri: str) -> pa.Array:
    """Returns URIs as tables have them: canonical, without what signs them.

    A relative path is one beside its manifest. What is no URI stays as it is.
    """
    return bare_uris(_canonical(uris, folder_of(manifest_uri)))


def bare_uris(uris: pa.Array) -> pa.Array:
    """Returns URIs without what signs them, string [n]."""
    return changed_urls(uris, bare_uri)


def changed_urls(texts: pa.Array, change: Callable[[str], str]) -> pa.Array:
    """Returns texts with a change made to those with a URL in which there may be a secret.

    Args:
        texts: string [n]. They are returned themselves if there is no such text among them.
        change: Makes the change.
    """
    if not _may_hide_secrets(_bytes_of(texts)):
        return texts
    suspicious = pc.fill_null(pc.match_substring_regex(texts, _SUSPICIOUS), False)
    if not pc.any(suspicious).as_py():
        return texts
    changed = pa.array([change(text) for text in pc.filter(texts, suspicious).to_pylist()], pa.string())
    return pc.replace_with_mask(texts, suspicious, changed)


def _may_hide_secrets(texts: bytes) -> bool:
    return b"@" in texts or b"=" in texts or (b"%" in texts and b"%3d" in texts.lower())


def _bytes_of(texts: pa.Array) -> bytes:
    """Returns texts one after the other: a byte is looked for a hundred times faster in them than in each of them."""
    _, ends, characters = texts.buffers()
    if not len(texts) or characters is None:
        return b""
    first, last = np.frombuffer(ends, np.int32)[[texts.offset, texts.offset + len(texts)]].tolist()
    return bytes(characters[first:last])


@dataclasses.dataclass(frozen=True)
class UriRules:
    """How the URIs of a manifest are read.

    Attributes:
        manifest_uri: The manifest.
        folder: The folder to which relative paths are relative.
        prefix: Is put before each URI.
        suffix: Is put behind each URI.
    """

    manifest_uri: str
    folder: str
    prefix: str = ""
    suffix: str = ""

    def resolve(self, uris: pa.Array, first_row: int, allowed: AllowedSources) -> ResolvedUris:
        """Makes the URIs of some rows canonical, and finds those that may not be looked for.

        Args:
            uris: string [n].
            first_row: The number of the first of the rows, from 0.
            allowed: Where the manifest may point.
        """
        resolved = self.canonical(uris, first_row)
        refused = refused_rows(resolved.uris, uris, self.manifest_uri, allowed)
        if refused is None:
            return resolved
        problems = refused if resolved.problems is None else pc.coalesce(resolved.problems, refused)
        return ResolvedUris(resolved.uris, problems)

    def canonical(self, uris: pa.Array, first_row: int) -> ResolvedUris:
        """Makes the URIs of some rows canonical; see `resolve`."""
        missing = pc.fill_null(pc.equal(uris, ""), True)
        extended = uris
        if self.prefix or self.suffix:
            extended = pc.binary_join_element_wise(self.prefix, uris, self.suffix, "")
        if not pc.any(missing).as_py():
            return ResolvedUris(_canonical(extended, self.folder))
        rows = pc.indices_nonzero(missing).to_pylist()
        places = pa.array([f"{self.manifest_uri}#row={first_row + row + 1}" for row in rows], pa.string())
        named = pc.replace_with_mask(extended, missing, places)
        problems = pc.if_else(missing, NO_URI, pa.scalar(None, pa.string()))
        return ResolvedUris(_canonical(named, self.folder), problems)


def _canonical(uris: pa.Array, folder: str) -> pa.Array:
    if _are_canonical(uris):
        return uris
    local = pc.and_not(pc.match_substring_regex(uris, _LOCAL), pc.match_substring_regex(uris, _UNTIDY))
    others = pc.invert(pc.or_(pc.match_substring_regex(uris, _CLOUD), local))
    if not pc.any(others).as_py():
        return uris
    absolute = [_absolute(uri, folder) for uri in pc.filter(uris, others).to_pylist()]
    return pc.replace_with_mask(uris, others, pa.array(absolute, pa.string()))


def _are_canonical(uris: pa.Array) -> bool:
    """Whether it is seen at a glance that URIs are canonical: they begin alike, and nothing in them is to be tidied."""
    first = uris[0].as_py() or "" if len(uris) else ""
    root = next((root for root in _ROOTS if first.startswith(root)), None)
    if root is None or pc.min(pc.binary_length(pc.fill_null(uris, ""))).as_py() <= len(root):
        return False
    if not pc.all(pc.starts_with(uris, root)).as_py() or pc.any(pc.starts_with(uris, f"{root}/")).as_py():
        return False
    return not is_local(root) or _are_tidy(uris)


def _are_tidy(uris: pa.Array) -> bool:
    """Whether no path of a local URI has an empty name in it, or one that begins with a dot."""
    characters = np.frombuffer(_bytes_of(uris), np.uint8)
    after_slashes = characters[1:][characters[:-1] == ord("/")]
    doubled = np.count_nonzero(after_slashes == ord("/"))  # In `file:///` alone there are two.
    return doubled == 2 * len(uris) and not np.any(after_slashes == ord("."))


def _absolute(uri: str, folder: str) -> str:
    try:
        with image_errors():
            return canonical_uri(_beside(uri, folder))
    except ImageError:
        return uri  # Fetching the image will say what is wrong with it.


def _beside(uri: str, folder: str) -> str:
    """Returns a URI whose path, if it is relative, is one below a folder; in a chain that of the last link is."""
    if is_chained(uri):
        head, rest = split_chain(uri)
        return f"{head}::{_beside(rest, folder)}"
    is_relative = protocol_of(uri) == "file" and not uri.startswith(("/", "file:", "local:"))
    return join(folder, uri) if is_relative else uri
