"""How S3 is asked: who asks, by what endpoint, and in which region.

Where botocore is installed, as the extra `s3` brings it, profiles, single sign-on and roles are its own, and so is the
configuration of `~/.aws`; else there are environment variables and a machine's own credentials, which obstore knows.
"""

import contextlib
import datetime
import functools
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from schemas.clouds import machine
from schemas.clouds.access import Access
from schemas.clouds.credentials import bucket_options, given_option
from schemas.clouds.errors import NoCredentialsError

if TYPE_CHECKING:
    from obstore.store import S3Credential

# What decides whom to ask, and for what.
ENVIRONMENT: Final = (
    "AWS_ACCESS_KEY_ID", "AWS_CONFIG_FILE", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3",
    "AWS_PROFILE", "AWS_REGION", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_SKIP_SIGNATURE",
)  # fmt: skip

_OF_CONTAINERS: Final = frozenset(
    {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_WEB_IDENTITY_TOKEN_FILE"}
)
_SECONDS_TO_ANSWER: Final = 2
_TOLD_FOR: Final = datetime.timedelta(minutes=5)
_ASKED_AGAIN_AFTER_SECONDS: Final = 10

Credentials = Callable[[], "S3Credential"]


def s3_access() -> Access:
    """Returns how S3 is asked, by fsspec's configuration, the environment and `~/.aws`.

    Raises:
        NoCredentialsError: If there are no credentials.
    """
    options = bucket_options("s3")
    style = given_option("s3", "config_kwargs.s3.addressing_style")
    credentials: Credentials | None = None
    is_anonymous = "AWS_SKIP_SIGNATURE" in {*options, *os.environ}
    is_named = bool(given_option("s3", "profile"))
    has_keys = "AWS_ACCESS_KEY_ID" in options or ("AWS_ACCESS_KEY_ID" in os.environ and not is_named)
    session = None if (has_keys or is_anonymous) and not _has_files() else _botocore_session()
    if session is not None:
        with _botocore_errors():
            profile = session.get_scoped_config()
            options = {**_configured(session, profile), **options}
            style = style or profile.get("s3", {}).get("addressing_style")
            credentials = None if is_anonymous or has_keys else _told_by(session)
    elif not has_keys and not is_anonymous:
        _check_machine()
    in_environment = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return Access(options, options.get("AWS_ENDPOINT_URL") or in_environment, style == "virtual", credentials)


def region_of(bucket_url: str) -> str | None:
    """Asks where a bucket is: S3 says so even to whom it refuses everything else.

    Args:
        bucket_url: The bucket at an endpoint that knows all of them.

    Returns:
        The region; None if nobody answers, and the read itself will say why.
    """
    request = urllib.request.Request(bucket_url, method="HEAD")  # noqa: S310 (https)
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS_TO_ANSWER) as answer:  # noqa: S310 (https)
            region: str | None = answer.headers.get("x-amz-bucket-region")
    except urllib.error.HTTPError as error:
        return error.headers.get("x-amz-bucket-region")
    except OSError:
        return None
    return region


def _has_files() -> bool:
    if os.environ.get("AWS_PROFILE") or given_option("s3", "profile"):
        return True
    names = {"AWS_CONFIG_FILE": "~/.aws/config", "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials"}
    return any(Path(os.environ.get(name, path)).expanduser().is_file() for name, path in names.items())


@contextlib.contextmanager
def _botocore_errors() -> Iterator[None]:
    """Raises what botocore says of profiles and credentials as an error of a bucket."""
    from botocore.exceptions import BotoCoreError

    try:
        yield
    except BotoCoreError as error:
        raise NoCredentialsError(str(error)) from error


def _botocore_session() -> Any:
    try:
        import botocore.session
    except ImportError:
        return None
    return botocore.session.Session(profile=given_option("s3", "profile"))


def _configured(session: Any, profile: Mapping[str, Any]) -> dict[str, str]:
    from botocore.configprovider import ConfiguredEndpointProvider

    endpoints = ConfiguredEndpointProvider(session.full_config, profile, client_name="s3")
    endpoint, region = endpoints.provide(), session.get_config_variable("region")
    options = {"AWS_ENDPOINT_URL": endpoint, "AWS_REGION": region}
    return {name: value for name, value in options.items() if value}


def _told_by(session: Any) -> Credentials:
    """Returns who tells the credentials of a session of botocore, which renews them as it has to."""
    environment = tuple(map(os.environ.get, ENVIRONMENT))
    credentials = _found_credentials(session.profile, environment, int(time.monotonic() // _ASKED_AGAIN_AFTER_SECONDS))
    if credentials is None:
        raise NoCredentialsError("Unable to locate credentials")

    def told() -> "S3Credential":
        frozen = credentials.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.datetime.now(datetime.UTC) + _TOLD_FOR,
        }

    return told


@functools.lru_cache(maxsize=1)
def _found_credentials(profile: str | None, _environment: tuple[str | None, ...], _ten_seconds: int) -> Any:
    """Looks for credentials; where there are none, that takes seconds, and several readers ask at once."""
    import botocore.session

    return botocore.session.Session(profile=profile).get_credentials()


def _check_machine() -> None:
    """Raises at once where obstore would look for a machine's own credentials for minutes."""
    if not _OF_CONTAINERS & set(os.environ) and not machine.has_credentials():
        raise NoCredentialsError("Unable to locate credentials")
