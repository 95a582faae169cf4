"""URIs and texts without what opens a storage to whoever has it: signatures, tokens and passwords.

A signed URL has its secret in its query, and a new one each time that it is signed: without it, it is the name of the
image. So the tables, messages, logs and recorded options have URIs without secrets, and a worker gets the whole one
beside it (`_location` of an image ref), which no table has.
"""

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote

from schemas.uris.chains import is_chained, split_chain
from schemas.uris.protocols import LOCAL_PROTOCOLS, is_on_the_web, protocol_of

# Whatever says so, by itself or as a part of a longer name: `access_token`, `X-Goog-Signature`, `AWSAccessKeyId`.
_TELLING: Final = re.compile(
    r"token|secret|passw|signature|credential|api[-_]?key|access[-_]?key|access[-_]?id|authorization"
    # Google's and Amazon's signed URLs, Alibaba's, Tencent's and Volcengine's; parameters of processing are others.
    r"|^x-(?:amz|goog)-"
    r"|^x-(?:oss|cos|tos)-(?:date|expires|algorithm|signed-?headers|additional-headers)$"
    r"|^q-(?:sign|ak$|key-time$|header-list$|url-param-list$)"
)
_NAMES: Final = frozenset(
    {"sig", "sign", "auth", "pwd", "pass", "jwt", "hmac", "sas", "ticket", "session", "sessionid", "session_id", "sid"}
    | {"hdnts", "hdnea", "subscription-key", "key"}
)
# Beside a signature: until when it holds, and for what. Alone they are parameters like others.
_SIGNED_BY: Final = frozenset({"sig", "signature", "sign"})
_BESIDE_A_SIGNATURE: Final = frozenset(
    {"expires", "policy", "key-pair-id"}
    # A shared access signature of Azure's ("Create a service SAS" and "Create a user delegation SAS").
    | {"se", "sp", "sv", "sr", "st", "spr", "sip", "srt", "ss", "ses", "si", "sdd", "saoid", "suoid", "scid"}
    | {"skoid", "sktid", "skt", "ske", "sks", "skv", "sduoid", "skdutid"}
)
# What a server calls a key may be the name of a picture.
_NAME_OF_AN_IMAGE: Final = re.compile(r"\d{1,9}|.*\.(?:jpe?g|png|webp|gif|bmp|tiff?|hei[cf]|avif)", re.IGNORECASE)

# Before the @ of these stands a part of a name, colon and all; of others without a colon a user, or a container.
_NAMED_BEFORE_AT: Final = LOCAL_PROTOCOLS | {"github"}
_USERINFO: Final = re.compile(r"(?<![a-z0-9+.-])(?P<protocol>[a-z][a-z0-9+.-]*)://(?P<user>[^/?#\s\"'<>\\]*)@", re.I)
_PARAMETERS: Final = re.compile(r"(?P<sign>[?#])(?P<parameters>[^\s\"'<>\\?#]+)")
_ENCODED: Final = re.compile(r"(?P<sign>%3F|%26)(?P<name>[a-z0-9_-]+)%3D(?:(?!%26)[^&\s\"'<>\\#])*", re.IGNORECASE)


def bare_uri(uri: str) -> str:
    """Returns a URI without what signs it, and without a password: the name of an image, always the same.

    >>> bare_uri("https://user:password@host/a.jpg?w=9&X-Amz-Signature=c0ffee")
    'https://host/a.jpg?w=9'
    >>> bare_uri("s3://bucket/a?token=1.jpg")  # A part of the name.
    's3://bucket/a?token=1.jpg'
    """
    if is_chained(uri):
        head, rest = split_chain(uri)
        return f"{head}::{bare_uri(rest)}"
    if is_on_the_web(uri):
        before, fragment_sign, fragment = uri.partition("#")
        path, query_sign, query = before.partition("?")
        bare = _USERINFO.sub(_bare_host, path) + _bare(query_sign, query) + _bare(fragment_sign, fragment)
        return without_secrets(bare)  # There may be another URL in it.
    return uri if protocol_of(uri) in _NAMED_BEFORE_AT else _USERINFO.sub(_bare_host, uri)


def without_secrets(text: str) -> str:
    """Returns a text, such as a message, an option or JSON, with every URL in it without its secrets.

    >>> without_secrets("404 of https://host/a.jpg?sig=c0ffee&sv=2024: gone")
    '404 of https://host/a.jpg gone'
    """
    if "://" in text and "@" in text:
        text = _USERINFO.sub(_bare_host, text)
    if "=" in text and ("?" in text or "#" in text):
        text = _PARAMETERS.sub(lambda found: _bare(found["sign"], found["parameters"]), text)
    if "%3D" in text or "%3d" in text:
        text = _ENCODED.sub(lambda found: "" if _is_secret(found["name"].lower()) else found[0], text)
    return text


def _bare_host(found: re.Match[str]) -> str:
    protocol, user = found["protocol"], found["user"]
    if protocol.lower() in _NAMED_BEFORE_AT or (protocol.lower() not in {"http", "https"} and ":" not in user):
        return found[0]
    return f"{protocol}://"


def _bare(sign: str, parameters: str) -> str:
    """Returns the parameters that are no secrets, behind the sign that begins them if some are left."""
    if "=" not in parameters:
        return sign + parameters
    given = parameters.split("&")
    kept = _kept(given)
    if len(kept) == len(given):
        return sign + parameters
    return sign + "&".join(kept) if kept else ""


def _kept(parameters: Sequence[str]) -> list[str]:
    named = [(unquote(parameter.partition("=")[0]).lower(), parameter) for parameter in parameters]
    is_signed = any(name in _SIGNED_BY or "signature" in name for name, _ in named)
    return [
        parameter
        for name, parameter in named
        if not (_is_secret(name, parameter.partition("=")[2]) or (is_signed and name in _BESIDE_A_SIGNATURE))
    ]


def _is_secret(name: str, value: str = "-") -> bool:
    if name == "key" and _NAME_OF_AN_IMAGE.fullmatch(value):
        return False
    return name in _NAMES or _TELLING.search(name) is not None
