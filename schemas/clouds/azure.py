"""How Azure's storage is asked: which account, by whom, and where.

Keys, signatures and secrets are in fsspec's configuration or in the environment. Without them `azure-identity`, which
the extra `azure` brings, finds what adlfs would find (`DefaultAzureCredential`): a workload's identity, a virtual
machine's, that of `az login`. Where it is not installed, obstore itself knows workloads and virtual machines.
"""

import functools
import importlib.util
import logging
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from schemas.clouds import machine
from schemas.clouds.access import Access
from schemas.clouds.credentials import bucket_options
from schemas.clouds.errors import NoCredentialsError

if TYPE_CHECKING:
    from obstore.store import AzureCredential

_ACCOUNT: Final = "AZURE_STORAGE_ACCOUNT_NAME"
# By which of them somebody may ask; obstore knows them all.
_CREDENTIALS: Final = (
    "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_MASTER_KEY", "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_SAS_KEY", "AZURE_STORAGE_TOKEN", "AZURE_STORAGE_CLIENT_SECRET", "AZURE_CLIENT_SECRET",
    "AZURE_FEDERATED_TOKEN_FILE", "AZURE_USE_AZURE_CLI", "AZURE_STORAGE_USE_EMULATOR", "AZURE_SKIP_SIGNATURE",
)  # fmt: skip
# Azure's own services tell a process by them where its identity is.
_OF_SERVICES: Final = ("IDENTITY_ENDPOINT", "MSI_ENDPOINT")
ENVIRONMENT: Final = (
    _ACCOUNT, "AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ANON", "AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT",
    "AZURE_CLIENT_ID", "AZURE_TENANT_ID", *_CREDENTIALS, *_OF_SERVICES,
)  # fmt: skip

_SCOPE: Final = "https://storage.azure.com/.default"
_NO_ACCOUNT: Final = (
    "no storage account is named; set AZURE_STORAGE_ACCOUNT_NAME, or name it in the URI, as in "
    "abfss://container@account.dfs.core.windows.net/folder"
)
_ASKED_AGAIN_AFTER_SECONDS: Final = 10


def azure_access(account: str | None = None) -> Access:
    """Returns how Azure is asked, by fsspec's configuration and the environment.

    Args:
        account: The storage account; None for the one that is configured.

    Raises:
        NoCredentialsError: If there are no credentials, or no account is named.
    """
    options = bucket_options("abfs")
    if account:
        options[_ACCOUNT] = account
    given = {*options, *(name for name in ENVIRONMENT if os.environ.get(name))}
    if not given & {_ACCOUNT, "AZURE_STORAGE_USE_EMULATOR"}:
        raise NoCredentialsError(_NO_ACCOUNT)
    in_environment = os.environ.get("AZURE_STORAGE_ENDPOINT") or os.environ.get("AZURE_ENDPOINT")
    endpoint = options.get("AZURE_STORAGE_ENDPOINT") or in_environment
    return Access(options, endpoint, credentials=None if given & set(_CREDENTIALS) else _credentials())


def _credentials() -> "Callable[[], AzureCredential] | None":
    """Returns who tells credentials where none are given; None for obstore itself.

    Raises:
        NoCredentialsError: If nobody has any.
    """
    if importlib.util.find_spec("azure") and importlib.util.find_spec("azure.identity"):
        environment = tuple(map(os.environ.get, ENVIRONMENT))
        return _identity(environment, int(time.monotonic() // _ASKED_AGAIN_AFTER_SECONDS))
    if not machine.has_credentials():
        raise NoCredentialsError("Unable to locate credentials")
    return None


@functools.lru_cache(maxsize=1)
def _identity(_environment: tuple[str | None, ...], _ten_seconds: int) -> "Callable[[], AzureCredential]":
    """Looks for an identity as adlfs does; where there is none, that takes seconds, and several readers ask at once."""
    from azure.core.exceptions import ClientAuthenticationError
    from azure.identity import DefaultAzureCredential
    from obstore.auth.azure import AzureCredentialProvider

    # It logs as a warning, line by line, what each of its ways has said.
    logging.getLogger("azure.identity").setLevel(logging.ERROR)
    is_on_azure = any(map(os.environ.get, _OF_SERVICES)) or machine.has_credentials()
    credential = DefaultAzureCredential(exclude_managed_identity_credential=not is_on_azure)
    try:
        credential.get_token(_SCOPE)
    except ClientAuthenticationError as error:
        raise NoCredentialsError("Unable to locate credentials") from error
    return AzureCredentialProvider(credential)
