"""How Google Cloud Storage is asked: by whom, as gcsfs would ask, and where, which a test may say."""

import os
from typing import Any, Final

from schemas.buckets.access import Access
from schemas.buckets.credentials import given_option

ENVIRONMENT: Final = ("GOOGLE_APPLICATION_CREDENTIALS", "STORAGE_EMULATOR_HOST")

_ANYBODY: Final = "anon"
_FOUND: Final = "google_default"
_SCOPES: Final = ("https://www.googleapis.com/auth/devstorage.read_only",)


def follows_token(token: Any) -> bool:
    """Whether a token of gcsfs's configuration is a way to find credentials that is known here."""
    return token in {None, "", _ANYBODY, _FOUND} or (isinstance(token, str) and token.endswith(".json"))


def google_access() -> Access:
    """Returns how Google is asked: with a file of credentials, with those that Google's library finds, or as anybody.

    Raises:
        google.auth.exceptions.GoogleAuthError: If a file of credentials is none.
    """
    emulator = os.environ.get("STORAGE_EMULATOR_HOST")
    if emulator:
        endpoint = emulator if "://" in emulator else f"http://{emulator}"
        return Access({"GOOGLE_BASE_URL": endpoint, "GOOGLE_SKIP_SIGNATURE": "true"}, endpoint)
    token = given_option("gs", "token")
    credentials = None if token == _ANYBODY else _credentials(token)
    return Access({} if credentials else {"GOOGLE_SKIP_SIGNATURE": "true"}, None, credentials=credentials)


def _credentials(token: str | None) -> Any:
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError
    from obstore.auth.google import GoogleCredentialProvider

    if token and token != _FOUND:
        credentials, _ = google.auth.load_credentials_from_file(token, scopes=_SCOPES)  # type: ignore[no-untyped-call]
        return GoogleCredentialProvider(credentials)
    try:
        return GoogleCredentialProvider(google.auth.default(scopes=_SCOPES)[0])
    except DefaultCredentialsError:
        return None  # gcsfs asks as anybody then.
