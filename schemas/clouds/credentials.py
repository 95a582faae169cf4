"""The one place that translates credentials: fsspec's configuration into the options of `object_store`.

`object_store` is the Rust library in which both obstore and `deltalake` read buckets, so its names serve both. It reads
the usual environment variables (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, `AZURE_STORAGE_ACCOUNT_NAME`,
`GOOGLE_APPLICATION_CREDENTIALS` …) by itself. What is set for fsspec alone (`FSSPEC_S3_KEY`, `~/.config/fsspec/*.json`)
is translated here, and so is what adlfs alone reads (`AZURE_STORAGE_CONNECTION_STRING`, `AZURE_STORAGE_ANON`).
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from fsspec.config import conf


class Options(NamedTuple):
    """The options of a cloud's file system.

    Attributes:
        sections: The sections of fsspec's configuration that hold them; later ones win.
        names: The option of `object_store` for each of fsspec's, whose path in its section has dots.
        without_effect: What says nothing of how an object is read.
        environment: Variables that fsspec's file system reads and `object_store` does not, by its option.
    """

    sections: tuple[str, ...]
    names: Mapping[str, str]
    without_effect: frozenset[str] = frozenset()
    environment: Mapping[str, str] = {}


_OF_FSSPEC: Final = frozenset(
    {"default_block_size", "default_cache_type", "default_fill_cache", "listings_expiry_time", "max_concurrency",
     "max_paths", "skip_instance_cache", "use_listings_cache"}
)  # fmt: skip
_S3: Final = Options(
    ("s3",),
    {
        "key": "AWS_ACCESS_KEY_ID",
        "username": "AWS_ACCESS_KEY_ID",
        "secret": "AWS_SECRET_ACCESS_KEY",
        "password": "AWS_SECRET_ACCESS_KEY",
        "token": "AWS_SESSION_TOKEN",
        "client_kwargs.endpoint_url": "AWS_ENDPOINT_URL",
        "endpoint_url": "AWS_ENDPOINT_URL",
        "client_kwargs.region_name": "AWS_REGION",
        "anon": "AWS_SKIP_SIGNATURE",
        "requester_pays": "AWS_REQUEST_PAYER",
    },
    _OF_FSSPEC
    | {"cache_regions", "config_kwargs.connect_timeout", "config_kwargs.max_pool_connections",
       "config_kwargs.read_timeout", "config_kwargs.retries.max_attempts", "config_kwargs.retries.mode",
       "config_kwargs.s3.addressing_style", "fixed_upload_size",
       "local_expiry_check", "profile", "use_ssl"},
)  # fmt: skip
_GCS: Final = Options(
    ("gs", "gcs"), {"token": "GOOGLE_SERVICE_ACCOUNT"}, _OF_FSSPEC | {"access", "consistency", "project"}
)
_ENDPOINT: Final = "AZURE_STORAGE_ENDPOINT"
_CONNECTION_STRING: Final = "AZURE_STORAGE_CONNECTION_STRING"
_AZURE: Final = Options(
    ("az", "abfs"),
    {
        "account_name": "AZURE_STORAGE_ACCOUNT_NAME",
        "account_key": "AZURE_STORAGE_ACCOUNT_KEY",
        "sas_token": "AZURE_STORAGE_SAS_TOKEN",
        "client_id": "AZURE_STORAGE_CLIENT_ID",
        "client_secret": "AZURE_STORAGE_CLIENT_SECRET",
        "tenant_id": "AZURE_STORAGE_TENANT_ID",
        "account_host": _ENDPOINT,
        "anon": "AZURE_SKIP_SIGNATURE",
        "connection_string": _CONNECTION_STRING,
    },
    _OF_FSSPEC | {"assume_container_exists", "blocksize", "connection_timeout", "read_timeout", "request_session",
                  "socket_timeout", "timeout"},
    {"connection_string": "AZURE_STORAGE_CONNECTION_STRING", "anon": "AZURE_STORAGE_ANON"},
)  # fmt: skip
_BY_PROTOCOL: Final[Mapping[str, Options]] = {
    **dict.fromkeys(("s3", "s3a"), _S3),
    **dict.fromkeys(("gs", "gcs"), _GCS),
    **dict.fromkeys(("abfs", "abfss", "az"), _AZURE),
}
_NO: Final = frozenset({"", "0", "f", "false", "no", "none"})
_IS_SET: Final = frozenset({"AWS_SKIP_SIGNATURE", "AWS_REQUEST_PAYER", "AZURE_SKIP_SIGNATURE"})


def bucket_options(protocol: str) -> dict[str, str]:
    """Returns what fsspec's configuration says of a protocol's buckets.

    Args:
        protocol: The protocol of their URIs.

    Returns:
        Options by their names in `object_store`; empty for what is no bucket.
    """
    options = dict(_translated(protocol))
    options |= _in_connection_string(options.pop(_CONNECTION_STRING, ""))
    for cloud, endpoint in (("AWS", "AWS_ENDPOINT_URL"), ("AZURE", _ENDPOINT)):
        if options.get(endpoint, "").startswith("http://"):
            options[f"{cloud}_ALLOW_HTTP"] = "true"
    return options


def untranslated(protocol: str) -> list[str]:
    """Returns the options of fsspec's configuration that only fsspec's own file system can follow."""
    options = _BY_PROTOCOL[protocol]
    known = {*options.names, *options.without_effect}
    return [name for name, value in _given(protocol) if name not in known and value is not None]


def configuration_of(protocol: str) -> str:
    """Returns what is configured of a protocol's buckets as a text that is another one whenever it is."""
    options = _BY_PROTOCOL[protocol]
    return repr([*map(os.environ.get, options.environment.values()), *map(conf.get, options.sections)])


def given_option(protocol: str, name: str) -> Any:
    """Returns one option of fsspec's configuration, by its path with dots; None where it is not set."""
    return dict(_given(protocol)).get(name)


def _translated(protocol: str) -> Iterator[tuple[str, str]]:
    names = _BY_PROTOCOL[protocol].names if protocol in _BY_PROTOCOL else {}
    given = dict(_given(protocol)) if names else {}
    for name, option in names.items():
        value = _text(option, given.get(name))
        if value:
            yield option, value


def _text(option: str, value: object) -> str:
    if option in _IS_SET:
        return "" if str(value or "").lower() in _NO else "true"
    if option == _ENDPOINT and value:
        return f"https://{value}"
    if option == "GOOGLE_SERVICE_ACCOUNT":
        # gcsfs's token is a file of credentials, or the name of a way to find some.
        return value if isinstance(value, str) and value.endswith(".json") else ""
    return str(value or "")


def _in_connection_string(text: str) -> dict[str, str]:
    """Returns what a connection string of Azure's says: `AccountName=…;AccountKey=…;EndpointSuffix=…`."""
    parts = (part.partition("=") for part in text.split(";"))
    given = {name.strip().lower(): value.strip() for name, _, value in parts}
    if given.get("usedevelopmentstorage", "").lower() == "true":
        return {"AZURE_STORAGE_USE_EMULATOR": "true"}
    account, scheme = given.get("accountname", ""), given.get("defaultendpointsprotocol", "https")
    suffix = given.get("endpointsuffix")
    options = {
        "AZURE_STORAGE_ACCOUNT_NAME": account,
        "AZURE_STORAGE_ACCOUNT_KEY": given.get("accountkey", ""),
        "AZURE_STORAGE_SAS_TOKEN": given.get("sharedaccesssignature", ""),
        _ENDPOINT: given.get("blobendpoint") or (f"{scheme}://{account}.blob.{suffix}" if account and suffix else ""),
    }
    return {name: value for name, value in options.items() if value}


def _given(protocol: str) -> Iterator[tuple[str, Any]]:
    options = _BY_PROTOCOL[protocol]
    for name, variable in options.environment.items():
        if os.environ.get(variable):
            yield name, os.environ[variable]
    for section in options.sections:
        yield from _flat(conf.get(section, {}))


def _flat(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in section.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
