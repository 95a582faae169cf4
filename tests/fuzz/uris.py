"""What holds of every text that may be a URI: in a manifest, or as an input."""

import contextlib
import functools
import os
import tempfile
from pathlib import Path
from random import Random
from typing import Final

from schemas.errors import ImageError, UsageError
from schemas.storage import (
    canonical_uri,
    image_errors,
    image_file,
    is_chained,
    is_local,
    member_uri,
    protocol_of,
    split_chain,
    tidy_name,
    without_query,
    without_secrets,
)
from tests.conftest import write_pictures
from tests.fuzz.mutations import mutated
from tests.fuzz.sandbox import no_network
from tests.fuzz.target import Target, refusal
from tests.support.archives import write_tar, write_zip
from transforms.folders import IgnoredFiles
from transforms.sources import ListingRules, find_sources, list_source, take_first_look

_PROTOCOLS: Final = (
    "file", "FILE", "local", "http", "https", "s3", "s3a", "gs", "gcs", "abfs", "az", "memory", "data", "zip", "tar",
    "tfrecord", "parquet", "simplecache", "filecache", "blockcache", "reference", "dir", "libarchive", "ftp", "sftp",
    "github", "hf", "webhdfs", "unknown", "", "a-b.c+d",
)  # fmt: skip
_PIECES: Final = (
    "pictures", "pictures/000.jpg", "pets.zip", "pets.tar", "list.csv", "list.txt", "cats/0.jpg", "..", ".", "", "*",
    "**", "[ab]", "{a,b}", "{0..3}", "{00..99999999}", "%2F", "%00", "a b", "#", "?", "?sig=x", "#row=1", "~", "\\",
    "\0", "\n", "\u00e9", "e\u0301", "\u202e", "\ud800", "x" * 300, "user:secret@host", "host:99999", "[::1]", "[",
    "::", "ds=2026-01-31", "::zip://", "=", "-", "$HOME", "127.0.0.1:1", "localhost",
)  # fmt: skip
_TOKENS: Final = (b"://", b"::", b"/", b"//", b"/../", b"file:///", b"zip://", b"@", b"\0", b"%", b"*", b"{", b"}")
_SECRET: Final = "user:secret@"


def _uri(chance: Random) -> str:
    links = "::".join(_link(chance) for _ in range(chance.choice((1, 1, 1, 2, 2, 3))))
    if chance.random() < 0.3:
        text = mutated(links.encode("utf-8", "surrogatepass"), chance, _TOKENS)
        return text.decode("utf-8", chance.choice(("replace", "surrogateescape")))
    return links


def _link(chance: Random) -> str:
    path = "/".join(chance.choice(_PIECES) for _ in range(chance.choice((1, 1, 2, 2, 3, 4))))
    start = chance.choice(("", "", "/", f"{chance.choice(_PROTOCOLS)}://", f"{chance.choice(_PROTOCOLS)}:///"))
    return start + path


@functools.cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="uris"))
    picture = write_pictures(folder / "pictures", 1)[0].read_bytes()
    write_zip(folder / "pets.zip", {"cats/0.jpg": picture})
    write_tar(folder / "pets.tar", {"cats/0.jpg": picture, "cats/0.cls": b"cat"})
    (folder / "list.csv").write_text("uri,label\npictures/000.jpg,cat\n")
    (folder / "list.txt").write_text("pictures/000.jpg\n")
    return folder


def check_uri(uri: str) -> str:
    """Its canonical form is one, names no more than it did, and is made without asking a server; an error is one of it.

    As an input it is found, or refused by a sentence.
    """
    os.chdir(_folder())
    _check_parts(uri)
    with no_network() as asked:
        try:
            with image_errors():
                canonical = canonical_uri(uri)
        except ImageError as error:
            return error.code
        _check_parts(canonical)
        assert protocol_of(canonical) == "memory" or canonical_uri(canonical) == canonical  # fsspec strips that again.
        assert is_local(canonical) == is_local(uri)
        if not is_local(canonical):
            return "asks a server" if asked else "remote"
        with contextlib.suppress(ImageError):
            image_file(canonical)
        return _as_input(uri) if _is_within(canonical) else "local"


def _check_parts(uri: str) -> None:
    assert _SECRET not in without_secrets(f"https://{_SECRET}host/{uri}").partition("host/")[0]
    assert uri.startswith(without_query(uri))
    if is_chained(uri):
        head, rest = split_chain(uri)
        assert f"{head}::{rest}" == uri
    member = member_uri(uri)
    if member is not None:
        assert tidy_name(member.name) == member.name
        assert not member.name.startswith("/")
        assert not {"..", "."} & set(member.name.split("/"))
        assert member_uri(str(member)) == member


def _is_within(canonical: str) -> bool:
    """Whether a file is one of this test: no other is looked at."""
    member = member_uri(canonical)
    if is_chained(canonical) and member is None:
        return False
    path = (member.archive_uri if member else canonical).removeprefix("file://")
    return Path(os.path.abspath(path)).is_relative_to(_folder())  # noqa: PTH100 (no link is followed)


def _as_input(uri: str) -> str:
    try:
        sources = find_sources([uri])
        rules = ListingRules(stat_manifests=False)
        take_first_look(sources, rules)
        found = sum(batch.num_rows for source in sources for batch in list_source(source, rules, IgnoredFiles()))
    except UsageError as error:
        return refusal(error)
    return "listed" if found else "without an image"


FAILED: Final = ("//.", "//tmp", "dir://a", "missing/*.jpg", "pets.tar/*.jpg", "tfrecord://::pictures", "{a")
KNOWN: Final = (
    "", "::", "zip://", "zip://::", "zip://a::b::c", "simplecache::file:///etc/passwd", "local:///etc/passwd",
    "reference::file:///a", "memory://a", "file://host/a", "http://[", "http://host:99999/a", "s3://", "s3:///a",
    "a\0b", "{" * 50, "{0..999999999}.zip", "zip://../../a.jpg::file:///a.zip", *(f"{name}://a" for name in _PROTOCOLS),
)  # fmt: skip

URIS: Final = Target(_uri, check_uri, {repr(uri): uri for uri in (*KNOWN, *FAILED)})
