"""Files on the web: fsspec's HTTP file system, where a batch of images needs more of it.

- A URL is sent as it is named: the signature of a signed URL does not survive that its name is quoted again.
- Only 404 and 410 say that a file is not there; every other error is raised as it is.
- Each wait has a limit, and a read ends where it is to end, whatever the server sends.
"""

import re
import urllib.parse
from typing import Any, Final

import aiohttp
import yarl
from fsspec.implementations.http import HTTPFileSystem, _file_info

_GONE: Final = frozenset({404, 410})
# HEAD was refused, and GET would be refused alike.
_BUSY: Final = frozenset({429, 503})
# Longer than the largest image that is read takes at a megabit a second.
_TOTAL_SECONDS: Final = 900

_ORIGIN: Final = re.compile(r"(https?://[^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
# RFC 3986: what may stand in a path or a query as it is, and "%" where it begins an escape.
_NOT_SENT: Final = re.compile(r"[^!#$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~]|%(?![0-9A-Fa-f]{2})")


class WebFileSystem(HTTPFileSystem):
    """fsspec's HTTP file system with URLs as they are named, errors as they are, and reads that end."""

    def __init__(self, connect_seconds: float, read_seconds: float, **options: Any) -> None:
        """Makes a file system.

        Args:
            connect_seconds: How long a connection may take.
            read_seconds: How long a server may be silent.
            **options: fsspec's own.
        """
        timeout = aiohttp.ClientTimeout(
            total=_TOTAL_SECONDS, connect=connect_seconds, sock_connect=connect_seconds, sock_read=read_seconds
        )
        given = options.pop("client_kwargs", None) or {}
        # A redirect is followed as it is named, too.
        super().__init__(client_kwargs={"timeout": timeout, "requote_redirect_url": False, **given}, **options)

    def encode_url(self, url: str) -> yarl.URL:
        """Returns a URL as it is sent: as it is named, but for characters that none may have.

        Raises:
            ValueError: If it is no URL.
        """
        found = _ORIGIN.fullmatch(url)
        origin = yarl.URL(found[1]) if found else None
        if found is None or origin is None or not origin.host or origin.port is None:
            raise ValueError(f"{url} is no URL with a host.")
        sent = _NOT_SENT.sub(lambda character: urllib.parse.quote(character[0], safe=""), found[2])
        return yarl.URL(str(origin).rstrip("/") + (sent or "/"), encoded=True)

    def _raise_not_found_for_status(self, response: aiohttp.ClientResponse, url: str) -> None:
        if response.status in _GONE:
            raise FileNotFoundError(url)
        response.raise_for_status()

    async def _exists(self, path: str, strict: bool = False, **kwargs: Any) -> bool:  # noqa: ARG002 (fsspec's)
        try:
            await self._info(path, **kwargs)
        except FileNotFoundError:
            return False
        return True

    async def _info(self, url: str, **kwargs: Any) -> dict[str, Any]:
        """Asks by HEAD and, where the server does not answer that, or without a size, by GET."""
        info: dict[str, Any] = {}
        session = await self.set_session()
        for method in ("head", "get"):
            try:
                info |= await _file_info(self.encode_url(url), session, method, **self.kwargs, **kwargs)
            except (aiohttp.ClientResponseError, aiohttp.ServerDisconnectedError) as error:
                status = getattr(error, "status", None)
                if method == "get" and status in _GONE:
                    raise FileNotFoundError(url) from error
                if (method == "get" and not info) or status in _BUSY:
                    raise
            if info.get("size") is not None:
                break
        return {"name": url, "size": None, **info, "type": "file"}

    async def _cat_file(self, url: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        """Reads a file; its beginning without asking for a range, which not every server knows."""
        if start or (end is not None and end < 0):
            ranged: bytes = await super()._cat_file(url, start, end, **kwargs)
            return ranged
        session = await self.set_session()
        async with session.get(self.encode_url(url), **{**self.kwargs, **kwargs}) as response:
            self._raise_not_found_for_status(response, url)
            if end is None:
                whole: bytes = await response.read()
                return whole
            content = bytearray()
            async for piece in response.content.iter_any():
                content += piece
                if len(content) >= end:
                    break
            return bytes(content[:end])
