"""obstore's stores: one a bucket in a process, shared by its threads."""

import datetime
import functools
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from fsspec.registry import known_implementations, registry
from obstore.store import GCSStore, S3Store

from schemas.buckets.aws import ENVIRONMENT as OF_AWS
from schemas.buckets.aws import region_of, s3_access
from schemas.buckets.credentials import given_option, untranslated
from schemas.buckets.google import ENVIRONMENT as OF_GOOGLE
from schemas.buckets.google import follows_token, google_access
from schemas.buckets.keys import is_exact

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

ObjectStore: TypeAlias = S3Store | GCSStore

CONNECT_TIMEOUT_SECONDS: Final = 10
READ_TIMEOUT_SECONDS: Final = 60
ATTEMPTS: Final = 5

# The file systems that fsspec itself has for what is read here; one that a user has registered goes before.
_GOOGLES: Final = frozenset({"gs", "gcs"})
_OF_FSSPEC: Final[Mapping[str, str]] = {
    **dict.fromkeys(("s3", "s3a"), "s3fs.S3FileSystem"),
    **dict.fromkeys(_GOOGLES, "gcsfs.GCSFileSystem"),
}
# What has colons is no bucket but an access point; a directory bucket has signatures and an order of its own.
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,221}(?<!--x-s3)")
ENVIRONMENT: Final = (*OF_AWS, *OF_GOOGLE)
_EVERY_BUCKET: Final = "https://s3.amazonaws.com"
# Longer than the largest image that is read takes at a megabit a second.
_TOTAL: Final = "900s"
_STORES_KEPT: Final = 64


def is_read_by_obstore(protocol: str, bucket: str, key: str) -> bool:
    """Whether obstore reads a key of a bucket as fsspec would: where it can tell it, and can do all that is configured.

    Args:
        protocol: The protocol of its URI.
        bucket: The bucket.
        key: The key; empty for the bucket.
    """
    return (
        protocol in _OF_FSSPEC
        and _BUCKET.fullmatch(bucket) is not None
        and is_exact(key)
        and "?versionId=" not in key
        and _is_fsspecs_own(protocol)
        and not untranslated(protocol)
        and (protocol not in _GOOGLES or follows_token(given_option(protocol, "token")))
    )


def _is_fsspecs_own(protocol: str) -> bool:
    loaded, own = registry.get(protocol), _OF_FSSPEC[protocol]
    is_own = loaded is None or loaded.__module__.partition(".")[0] == own.partition(".")[0]
    return bool(is_own and known_implementations[protocol]["class"] == own)


def store_of(protocol: str, bucket: str) -> ObjectStore:
    """Returns the store of a bucket; the same one as long as the environment says the same.

    Raises:
        NoCredentialsError: If there are no credentials.
    """
    return _STORES[protocol](bucket, *map(os.environ.get, ENVIRONMENT))


@functools.lru_cache(maxsize=_STORES_KEPT)
def _s3_store(bucket: str, *_environment: str | None) -> ObjectStore:
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
        client_options=_client_options(endpoint or _EVERY_BUCKET),
        retry_config=_retries(),
        credential_provider=access.credentials,
    )


@functools.lru_cache(maxsize=_STORES_KEPT)
def _google_store(bucket: str, *_environment: str | None) -> ObjectStore:
    access = google_access()
    options = dict(access.options)
    return GCSStore(
        bucket,
        config=options,  # type: ignore[arg-type]  # The names as `deltalake` has them.
        client_options=_client_options(access.endpoint or "https://"),
        retry_config=_retries(),
        credential_provider=access.credentials,
    )


_STORES: Final[Mapping[str, Callable[..., ObjectStore]]] = {"s3": _s3_store, "gs": _google_store}


def _client_options(endpoint: str) -> "ClientConfig":
    options: ClientConfig = {
        "allow_http": endpoint.startswith("http://"),
        "connect_timeout": _seconds("connect_timeout", CONNECT_TIMEOUT_SECONDS),
        "read_timeout": _seconds("read_timeout", READ_TIMEOUT_SECONDS),
        "timeout": _TOTAL,
    }
    authorities = os.environ.get("AWS_CA_BUNDLE")
    if authorities and endpoint.startswith("https://"):
        options["root_certificate"] = Path(authorities).read_bytes()
    return options


def _seconds(name: str, otherwise: float) -> datetime.timedelta:
    return datetime.timedelta(seconds=float(given_option("s3", f"config_kwargs.{name}") or otherwise))


def _retries() -> "RetryConfig":
    """Returns as many attempts as s3fs makes; none begins after a minute, for whoever reads tries again as well."""
    attempts = int(given_option("s3", "config_kwargs.retries.max_attempts") or ATTEMPTS)
    return {"max_retries": attempts - 1, "retry_timeout": datetime.timedelta(seconds=READ_TIMEOUT_SECONDS)}
