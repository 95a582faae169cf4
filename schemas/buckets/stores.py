"""obstore's stores: one a bucket in a process, shared by its threads."""

import contextlib
import datetime
import functools
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from fsspec.registry import known_implementations, registry
from obstore.store import AzureStore, GCSStore, S3Store

from schemas.buckets.keys import is_exact
from schemas.clouds import (
    AWS_ENVIRONMENT,
    AZURE_ENVIRONMENT,
    GOOGLE_ENVIRONMENT,
    azure_access,
    configuration_of,
    follows_token,
    given_option,
    google_access,
    region_of,
    s3_access,
    untranslated,
)
from schemas.uris import AZURE_PROTOCOLS, GCS_PROTOCOLS, S3_PROTOCOLS

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

ObjectStore: TypeAlias = S3Store | GCSStore | AzureStore

CONNECT_TIMEOUT_SECONDS: Final = 10
READ_TIMEOUT_SECONDS: Final = 60
ATTEMPTS: Final = 5

# The file systems that fsspec itself has for what is read here; one that a user has registered goes before.
_OF_FSSPEC: Final[Mapping[str, str]] = {
    **dict.fromkeys(S3_PROTOCOLS, "s3fs.S3FileSystem"),
    **dict.fromkeys(GCS_PROTOCOLS, "gcsfs.GCSFileSystem"),
    **dict.fromkeys(AZURE_PROTOCOLS, "adlfs.AzureBlobFileSystem"),
}
# What has colons is no bucket but an access point; a directory bucket has signatures and an order of its own.
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,221}(?<!--x-s3)")
# As Azure's tools write it, a container has its account behind it.
_CONTAINER: Final = re.compile(r"([a-z0-9$][a-z0-9-]{2,62})(?:@([a-z0-9]{3,24})\.(?:blob|dfs)\.core\.windows\.net)?")
# The variables by which a cloud is asked.
ENVIRONMENTS: Final = {"s3": AWS_ENVIRONMENT, "gs": GOOGLE_ENVIRONMENT, "abfs": AZURE_ENVIRONMENT}
_EVERY_BUCKET: Final = "https://s3.amazonaws.com"
# Seconds that a request may take: the first of these that is no less than whoever asks has left. Each has a store, with
# connections of its own. The last is longer than the largest image that is read takes at a megabit a second.
_TOTALS: Final = (1, 5, 30, 120, 300, 900)
_STORES_KEPT: Final = 64

_TRIES_AGAIN: ContextVar[bool] = ContextVar("tries again", default=True)
_UNTIL: ContextVar[float | None] = ContextVar("until", default=None)


def is_read_by_obstore(protocol: str, bucket: str, key: str) -> bool:
    """Whether obstore reads a key of a bucket as fsspec would: where it can tell it, and can do all that is configured.

    Args:
        protocol: The protocol of its URI.
        bucket: The bucket.
        key: The key; empty for the bucket.
    """
    return (
        protocol in _OF_FSSPEC
        and (_CONTAINER if protocol in AZURE_PROTOCOLS else _BUCKET).fullmatch(bucket) is not None
        and is_exact(key)
        and "?versionId=" not in key
        and _is_fsspecs_own(protocol)
        and _follows_configuration(protocol, configuration_of(protocol))
    )


def _is_fsspecs_own(protocol: str) -> bool:
    loaded, own = registry.get(protocol), _OF_FSSPEC[protocol]
    is_own = loaded is None or loaded.__module__.partition(".")[0] == own.partition(".")[0]
    return bool(is_own and known_implementations[protocol]["class"] == own)


@functools.lru_cache(maxsize=len(_OF_FSSPEC))
def _follows_configuration(protocol: str, _configuration: str) -> bool:
    """Whether obstore can do all that is configured; asked for each image, and looked through where it has changed."""
    is_known = protocol not in GCS_PROTOCOLS or follows_token(given_option(protocol, "token"))
    return is_known and not untranslated(protocol)


@contextlib.contextmanager
def tried_again_outside(seconds: float | None = None) -> Iterator[None]:
    """Lets each request of this thread be made once: whoever asks tries again, and counts how often.

    Args:
        seconds: After how many none is under way any more, or soon after; None if that is all the same.
    """
    token = _TRIES_AGAIN.set(False)
    until = _UNTIL.set(None if seconds is None else time.monotonic() + seconds)
    try:
        yield
    finally:
        _UNTIL.reset(until)
        _TRIES_AGAIN.reset(token)


def tries_again() -> bool:
    """Whether a request that fails is made again here."""
    return _TRIES_AGAIN.get()


def store_of(protocol: str, bucket: str) -> ObjectStore:
    """Returns the store of a bucket; the same one as long as the environment says the same.

    Args:
        protocol: `s3`, `gs` or `abfs`.
        bucket: The bucket; of Azure's the container, with its account if that is named.

    Raises:
        NoCredentialsError: If there are no credentials.
        TimeoutError: If the time of whoever asks is over.
    """
    return _STORES[protocol](bucket, _total(), tries_again(), *map(os.environ.get, ENVIRONMENTS[protocol]))


def _total() -> int:
    until = _UNTIL.get()
    left = _TOTALS[-1] if until is None else until - time.monotonic()
    if left <= 0:
        raise TimeoutError("its time was over")
    return next((total for total in _TOTALS if left <= total), _TOTALS[-1])


@functools.lru_cache(maxsize=_STORES_KEPT)
def _s3_store(bucket: str, total: int, is_tried_again: bool, *_environment: str | None) -> ObjectStore:
    access = s3_access()
    options, endpoint = dict(access.options), access.endpoint
    if endpoint is None:
        region = region_of(f"{_EVERY_BUCKET}/{bucket}")
        options |= {"AWS_REGION": region} if region else {}
    elif access.has_bucket_in_host:
        scheme, _, host = endpoint.partition("://")
        options |= {"AWS_ENDPOINT_URL": f"{scheme}://{bucket}.{host}", "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true"}
    return S3Store(
        bucket,
        config=options,  # type: ignore[arg-type]  # The names as `deltalake` has them.
        client_options=_client_options(endpoint or _EVERY_BUCKET, total),
        retry_config=_retries(is_tried_again),
        credential_provider=access.credentials,
    )


@functools.lru_cache(maxsize=_STORES_KEPT)
def _google_store(bucket: str, total: int, is_tried_again: bool, *_environment: str | None) -> ObjectStore:
    access = google_access()
    options = dict(access.options)
    return GCSStore(
        bucket,
        config=options,  # type: ignore[arg-type]  # The names as `deltalake` has them.
        client_options=_client_options(access.endpoint or "https://", total),
        retry_config=_retries(is_tried_again),
        credential_provider=access.credentials,
    )


@functools.lru_cache(maxsize=_STORES_KEPT)
def _azure_store(bucket: str, total: int, is_tried_again: bool, *_environment: str | None) -> ObjectStore:
    found = _CONTAINER.fullmatch(bucket)
    container, account = (found[1], found[2]) if found else (bucket, None)
    access = azure_access(account)
    # obstore says it in `client_options`, and cannot show a configuration that has it.
    options = {name: value for name, value in access.options.items() if name != "AZURE_ALLOW_HTTP"}
    return AzureStore(
        container,
        config=options,  # type: ignore[arg-type]  # The names as `deltalake` has them.
        client_options=_client_options(access.endpoint or "https://", total),
        retry_config=_retries(is_tried_again),
        credential_provider=access.credentials,
    )


_STORES: Final[Mapping[str, Callable[..., ObjectStore]]] = {
    "s3": _s3_store,
    "gs": _google_store,
    "abfs": _azure_store,
}


def _client_options(endpoint: str, total: int) -> "ClientConfig":
    options: ClientConfig = {
        "allow_http": endpoint.startswith("http://"),
        "connect_timeout": _seconds("connect_timeout", CONNECT_TIMEOUT_SECONDS),
        "read_timeout": _seconds("read_timeout", READ_TIMEOUT_SECONDS),
        "timeout": datetime.timedelta(seconds=total),
    }
    authorities = os.environ.get("AWS_CA_BUNDLE")
    if authorities and endpoint.startswith("https://"):
        options["root_certificate"] = Path(authorities).read_bytes()
    return options


def _seconds(name: str, otherwise: float) -> datetime.timedelta:
    return datetime.timedelta(seconds=float(given_option("s3", f"config_kwargs.{name}") or otherwise))


def _retries(is_tried_again: bool) -> "RetryConfig":
    """Returns as many attempts as s3fs makes; none begins after a minute."""
    attempts = int(given_option("s3", "config_kwargs.retries.max_attempts") or ATTEMPTS) if is_tried_again else 1
    return {"max_retries": attempts - 1, "retry_timeout": datetime.timedelta(seconds=READ_TIMEOUT_SECONDS)}
