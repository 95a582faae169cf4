"""How Google Cloud Storage is asked: by whom, as gcsfs would ask, and where, which a test may say."""

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from schemas.clouds import machine
from schemas.clouds.access import Access
from schemas.clouds.credentials import given_option
from schemas.clouds.errors import NoCredentialsError

if TYPE_CHECKING:
    from obstore.auth.google import GoogleCredentialProvider

# As obstore and `deltalake` name the file of a service account.
_FILES: Final = ("GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH")
ENVIRONMENT: Final = ("CLOUDSDK_CONFIG", "GOOGLE_APPLICATION_CREDENTIALS", "STORAGE_EMULATOR_HOST", *_FILES)

_ANYBODY: Final = "anon"
_FOUND: Final = "google_default"
_UNSIGNED: Final = {"GOOGLE_SKIP_SIGNATURE": "true"}
_SCOPES: Final = ("https://www.googleapis.com/auth/devstorage.read_only",)


def follows_token(token: Any) -> bool:
    """Whether a token of gcsfs's configuration is a way to find credentials that is known here."""
    return token in {None, "", _ANYBODY, _FOUND} or (isinstance(token, str) and token.endswith(".json"))


def google_access() -> Access:
    """Returns how Google is asked: with a file of credentials, with those that Google's library finds, or as anybody.

    Raises:
        NoCredentialsError: If a file of credentials is none.
    """
    emulator = os.environ.get("STORAGE_EMULATOR_HOST")
    if emulator:
        endpoint = emulator if "://" in emulator else f"http://{emulator}"
        return Access({"GOOGLE_BASE_URL": endpoint, **_UNSIGNED}, endpoint)
    token = given_option("gs", "token")
    file = next((found for found in (token, *map(os.environ.get, _FILES)) if found and found != _FOUND), None)
    if token == _ANYBODY or not (file or _may_have_credentials()):
        return Access(_UNSIGNED, None)  # gcsfs asks as anybody then.
    if not importlib.util.find_spec("google.auth"):
        return Access({"GOOGLE_SERVICE_ACCOUNT": file} if file else {}, None)  # obstore knows files, and machines.
    credentials = _credentials(file)
    return Access({} if credentials else _UNSIGNED, None, credentials=credentials)


def _credentials(file: str | None) -> "GoogleCredentialProvider | None":
    """Returns who tells credentials; None if nobody has any."""
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
    from obstore.auth.google import GoogleCredentialProvider

    if file:
        try:
            found, _ = google.auth.load_credentials_from_file(file, scopes=_SCOPES)  # type: ignore[no-untyped-call]
        except GoogleAuthError as error:
            raise NoCredentialsError(str(error).partition("\n")[0]) from error
        return GoogleCredentialProvider(found)
    try:
        return GoogleCredentialProvider(google.auth.default(scopes=_SCOPES)[0])
    except DefaultCredentialsError:
        return None


def _may_have_credentials() -> bool:
    """Whether there are a file's or a machine's: without either, Google's library asks for long."""
    if os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
        return True
    folder = Path(os.environ.get("CLOUDSDK_CONFIG") or "~/.config/gcloud").expanduser()
    return (folder / "application_default_credentials.json").is_file() or machine.has_credentials()
