"""Where bytes live: URIs and file systems.

Paths are kept as they are named (never percent-encoded): a `#`, `?`, `%2F`, a space or an NFD accent in a file's name
comes back exactly.
"""

import datetime
import enum
import functools
import operator
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any, Final

import fsspec
from fsspec.config import conf
from fsspec.implementations.local import LocalFileSystem

from schemas.buckets import (
    ATTEMPTS,
    CONNECT_TIMEOUT_SECONDS,
    READ_TIMEOUT_SECONDS,
    AzureFileSystem,
    GoogleFileSystem,
    S3FileSystem,
    is_read_by_obstore,
    why_out_of_reach,
)
from schemas.errors import StoreUnreachable
from schemas.storage.reach import current_reach
from schemas.uris import (
    AZURE_PROTOCOLS,
    BUCKET_PROTOCOLS,
    GCS_PROTOCOLS,
    LOCAL_PROTOCOLS,
    MEMBER_PROTOCOLS,
    S3_PROTOCOLS,
    AllowedSources,
    account_of,
    bare_uri,
    is_chained,
    is_on_the_web,
    join,
    protocol_of,
    server_uri,
    split_chain,
    tidy_name,
)

STORAGE_VARIABLE: Final = "CONVBASE_STORAGE"

# Their file systems are those of a machine or an account; in a path of theirs everything is part of a name.
_NAMED_BY_PROTOCOL: Final = LOCAL_PROTOCOLS | BUCKET_PROTOCOLS


class Storage(enum.StrEnum):
    """What reads inputs in buckets, where both can."""

    OBSTORE = "obstore"
    FSSPEC = "fsspec"


class UnknownProtocol(ValueError):
    """No file system has the protocol of a URI."""


def files_below(folder_uri: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yields the paths of all files in and below a folder, relative to it, and what their file system says of them.

    They are listed anew: a listing of this process from before will not do where others write.
    """
    fs, root = file_system(folder_uri)
    root = root.rstrip("/")
    fs.invalidate_cache()
    for path, info in fs.find(root, detail=True).items():
        yield path.removeprefix(f"{root}/"), info


def remove_folder(folder_uri: str) -> None:
    """Removes a folder with all that is in it, if it is there."""
    fs, root = file_system(folder_uri)
    if isinstance(fs, LocalFileSystem):
        shutil.rmtree(root, ignore_errors=True)
        return
    for path, _ in files_below(folder_uri):
        fs.rm_file(join(root, path))


def file_system(uri: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """Returns the file system of a URI and the path in it.

    File systems are made where they are used and are cached per process by fsspec. Reads have a timeout: without one, a
    connection that dies silently would block a worker.

    Args:
        uri: A local path or any fsspec URL, such as `s3://bucket/a.jpg` or `zip://a.jpg::s3://bucket/a.zip`.
    """
    if is_chained(uri):
        fs, path = fsspec.core.url_to_fs(uri)
        return fs, path
    protocol = protocol_of(uri)
    kind = _file_system_class(protocol)
    try:
        fs = (
            _web_file_system(uri)
            if _is_fsspecs_own(kind)
            else kind(**_options_in(uri), **_file_system_options(protocol))
        )
    except (TypeError, AttributeError) as error:
        raise ValueError(f"{bare_uri(uri)} does not say all that its file system needs: {error}") from error
    return fs, fs._strip_protocol(uri)


def use_storage(storage: Storage) -> None:
    """Says what reads inputs in buckets, in this process and those that it starts."""
    os.environ[STORAGE_VARIABLE] = storage


def input_file_system(uri: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """Returns the file system through which an input or an image is read, and the path in it.

    It is obstore's for keys that it can tell, of buckets for which nothing is configured that only fsspec follows; for
    everything else it is `file_system`. Both have the same paths, and say the same of a file.

    Args:
        uri: As in `file_system`.
    """
    protocol, bucket, key = protocol_of(uri), *_bucket_and_key(uri)
    is_chosen = os.environ.get(STORAGE_VARIABLE) != Storage.FSSPEC
    if is_chosen and not is_chained(uri) and is_read_by_obstore(protocol, bucket, key):
        fs = _bucket_file_system(protocol)
        return fs, fs._strip_protocol(uri)
    return file_system(uri)


def _bucket_and_key(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.partition("://")[2].rstrip("/").partition("/")
    return bucket, key


@functools.cache
def _bucket_file_system(protocol: str) -> fsspec.AbstractFileSystem:
    kinds = ((S3_PROTOCOLS, S3FileSystem), (GCS_PROTOCOLS, GoogleFileSystem), (AZURE_PROTOCOLS, AzureFileSystem))
    kind = next(kind for protocols, kind in kinds if protocol in protocols)
    return kind(lambda path: file_system(f"{protocol}://{path}")[0])


def _file_system_class(protocol: str) -> type[fsspec.AbstractFileSystem]:
    try:
        kind: type[fsspec.AbstractFileSystem] = fsspec.get_filesystem_class(protocol)
    except ValueError as error:
        raise UnknownProtocol(f"{protocol}://") from error
    return kind


def is_known_protocol(protocol: str) -> bool:
    """Whether there is a file system of a protocol, and its package is installed."""
    try:
        _file_system_class(protocol)
    except (UnknownProtocol, ImportError):
        return False
    return True


def _is_fsspecs_own(kind: type[fsspec.AbstractFileSystem]) -> bool:
    """Whether it is what fsspec has for the web, and no file system that was registered in its place."""
    return (kind.__module__, kind.__name__) == ("fsspec.implementations.http", "HTTPFileSystem")


def open_stream(uri: str) -> IO[bytes]:
    """Opens a file to be read from its beginning on; one of the web without asking for parts of it.

    Raises:
        OSError: If it cannot be opened.
    """
    fs, path = input_file_system(uri)
    is_ours = is_on_the_web(uri) and _is_fsspecs_own(_file_system_class(protocol_of(uri)))
    file: IO[bytes] = fs.open(path, "rb", **({"block_size": 0} if is_ours else {}))
    return file


def _web_file_system(uri: str) -> fsspec.AbstractFileSystem:
    from schemas.storage.web import WebFileSystem

    reach = current_reach()
    # Whatever is read besides images was named by the user: its own server is allowed, wherever that is.
    allowed = reach.allowed or AllowedSources((server_uri(uri),))
    return WebFileSystem(
        connect_seconds=CONNECT_TIMEOUT_SECONDS,
        read_seconds=READ_TIMEOUT_SECONDS,
        total_seconds=reach.total_seconds,
        allowed=allowed,
    )


def _options_in(uri: str) -> dict[str, Any]:
    """Returns what a URI itself says of its file system: the host of `sftp://`, the repository of `github://`."""
    protocol = protocol_of(uri)
    if protocol in AZURE_PROTOCOLS:
        account = account_of(uri)
        return {"account_name": account} if account else {}
    if protocol in _NAMED_BY_PROTOCOL:
        return {}
    options: dict[str, Any] = _file_system_class(protocol)._get_kwargs_from_urls(uri)
    return options


def _file_system_options(protocol: str) -> dict[str, Any]:
    if protocol in LOCAL_PROTOCOLS:
        return {"auto_mkdir": True}
    if protocol in S3_PROTOCOLS:
        given = conf.get("s3", {}).get("config_kwargs", {})
        return {
            "config_kwargs": {
                "connect_timeout": CONNECT_TIMEOUT_SECONDS,
                "read_timeout": READ_TIMEOUT_SECONDS,
                "retries": {"mode": "standard", "max_attempts": ATTEMPTS},
                **given,
            }
        }
    if protocol in GCS_PROTOCOLS:
        return {"timeout": READ_TIMEOUT_SECONDS}
    return {}


def canonical_uri(uri: str) -> str:
    """Returns the one form in which a URI is stored: absolute, with its protocol, its name untouched.

    In local paths `..` goes up one name, as in a shell; symbolic links are not followed.

    >>> canonical_uri("s3a://bucket//a b#.jpg")
    's3://bucket//a b#.jpg'
    >>> canonical_uri("HTTPS://host/A.jpg")
    'https://host/A.jpg'
    >>> canonical_uri("ZIP:///cats/0.jpg::/pets.zip")
    'zip://cats/0.jpg::file:///pets.zip'
    """
    if is_chained(uri):
        return _canonical_chain(uri)
    protocol, separator, rest = uri.partition("://")
    if separator and protocol.lower() == protocol_of(uri):
        uri = f"{protocol.lower()}://{rest}"
    if protocol_of(uri) in AZURE_PROTOCOLS:
        return f"abfs://{rest.rstrip('/')}"  # With its account, if that is named: adlfs would leave it out.
    fs, path = input_file_system(uri)
    if isinstance(fs, LocalFileSystem):
        # Not `Path.absolute`, which keeps `..`; POSIX leaves open what two slashes at the beginning are.
        return f"file:///{os.path.abspath(path).lstrip('/')}"  # noqa: PTH100
    return uri if _options_in(uri) else str(fs.unstrip_protocol(path))


def _canonical_chain(uri: str) -> str:
    head, rest = split_chain(uri)
    protocol, _, name = head.partition("://")
    if protocol.lower() in MEMBER_PROTOCOLS:
        head = f"{protocol.lower()}://{tidy_name(name)}"
    return f"{head}::{canonical_uri(rest)}"


def uri_builder(uri: str, fs: fsspec.AbstractFileSystem) -> Callable[[str], str]:
    """Returns a function from paths in `fs`, the file system of `uri`, to canonical URIs."""
    if account_of(uri):
        return functools.partial(_with_account, _bucket_and_key(uri)[0])
    if not is_chained(uri):
        return _within(uri, fs) if _options_in(uri) else functools.partial(_plain_uri, fs)
    head, _, rest = uri.partition("::")
    return f"{protocol_of(head)}://{{}}::{rest}".format


def _with_account(container: str, path: str) -> str:
    return f"abfs://{container}/{path.partition('/')[2]}"


def _plain_uri(fs: fsspec.AbstractFileSystem, path: str) -> str:
    return str(fs.unstrip_protocol(path))


def _within(uri: str, fs: fsspec.AbstractFileSystem) -> Callable[[str], str]:
    """Returns a function to URIs that say what `uri` says of its file system, which its paths leave out."""
    return functools.partial(operator.add, uri.removesuffix(fs._strip_protocol(uri)))


def modified_at(info: Mapping[str, Any]) -> datetime.datetime:
    """Returns when a file was last written, from what its file system says of it.

    Args:
        info: One entry of `fsspec`'s `ls(detail=True)` or `info`.

    Raises:
        KeyError: If it says nothing of it.
    """
    names = ("mtime", "LastModified", "last_modified", "updated", "created")
    stamp = next((info[name] for name in names if info.get(name) is not None), None)
    if stamp is None:
        raise KeyError(f"The storage does not say when {info.get('name')} was written.")
    if isinstance(stamp, int | float):
        return datetime.datetime.fromtimestamp(stamp, datetime.UTC)
    moment = datetime.datetime.fromisoformat(stamp) if isinstance(stamp, str) else stamp
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)


def check_reachable(uri: str) -> None:
    """Refuses a folder in a bucket of which nothing can be had, before others ask for it for minutes.

    Raises:
        StoreUnreachable: If there is no such bucket, nobody who may ask for it, or no server.
    """
    bucket, _ = _bucket_and_key(uri)
    reason = why_out_of_reach(protocol_of(uri), bucket)
    if reason is not None:
        raise StoreUnreachable(f"The storage of {uri} cannot be reached: {reason.rstrip('.')}.")
