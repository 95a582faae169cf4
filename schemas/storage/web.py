"""Files on the web: fsspec's HTTP file system, where a batch of images needs more of it.

- A URL is sent as it is named: the signature of a signed URL does not survive that its name is quoted again.
- Only 404 and 410 say that a file is not there; every other error is raised as it is.
- Each wait has a limit, and a read ends where it is to end, whatever the server sends.
- A part of a file is that part, as the server holds it, or an error: never the whole file in its place.
- No connection is made to an address that is not allowed, whatever name or redirect leads to it.
"""

import io
import re
import urllib.parse
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import yarl
from fsspec.implementations.http import HTTPFileSystem, _file_info
from fsspec.spec import AbstractBufferedFile

from schemas.uris import AllowedSources, Server, bare_uri, host_address

if TYPE_CHECKING:
    from aiohttp.abc import ResolveResult

_GONE: Final = frozenset({404, 410})
# HEAD was refused, and GET would be refused alike.
_BUSY: Final = frozenset({429, 503})
_PART: Final = 206
_BEYOND_THE_END: Final = 416

_ORIGIN: Final = re.compile(r"(https?://[^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
# RFC 3986: what may stand in a path or a query as it is, and "%" where it begins an escape.
_NOT_SENT: Final = re.compile(r"[^!#$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~]|%(?![0-9A-Fa-f]{2})")
# RFC 9110, section 14.4.
_SENT_PART: Final = re.compile(r"\s*bytes\s+(\d+)-")

_WHOLE_FILES_ONLY: Final = "its server sends whole files and no parts of them; copy it to this machine or to a bucket"
_NO_LENGTH: Final = "its server does not say how long it is; copy it to this machine or to a bucket"


class AddressNotAllowed(Exception):
    """A server has an address that may not be asked for images."""


class AllowedConnector(aiohttp.TCPConnector):
    """Connects to addresses that are allowed: those that are looked at here are those that are connected to."""

    def __init__(self, allowed: AllowedSources, **options: Any) -> None:
        """Makes a connector.

        Args:
            allowed: Which addresses are allowed.
            **options: aiohttp's own.
        """
        super().__init__(**options)
        self._allowed = allowed

    async def _resolve_host(self, host: str, port: int, traces: Any = None) -> "list[ResolveResult]":
        """Returns the addresses of a host, of which every connection takes one, also after a redirect.

        Raises:
            AddressNotAllowed: If one of them is not allowed.
        """
        found = await super()._resolve_host(host, port, traces)
        for address in (host_address(each["host"]) for each in found):
            refusal = self._allowed.refusal_of_address(Server(host.lower(), str(port)), address)
            if refusal is not None:
                raise AddressNotAllowed(refusal)
        return found


class WebFileSystem(HTTPFileSystem):
    """fsspec's HTTP file system with URLs as they are named, errors as they are, and reads that end."""

    def __init__(
        self,
        connect_seconds: float,
        read_seconds: float,
        total_seconds: float,
        allowed: AllowedSources,
        **options: Any,
    ) -> None:
        """Makes a file system.

        Args:
            connect_seconds: How long a connection may take.
            read_seconds: How long a server may be silent.
            total_seconds: How long an answer may take.
            allowed: Which addresses are allowed.
            **options: fsspec's own.
        """
        timeout = aiohttp.ClientTimeout(
            total=total_seconds, connect=connect_seconds, sock_connect=connect_seconds, sock_read=read_seconds
        )
        self._allowed = allowed
        options.setdefault("get_client", self._new_session)
        given = options.pop("client_kwargs", None) or {}
        # A redirect is followed as it is named, too.
        super().__init__(client_kwargs={"timeout": timeout, "requote_redirect_url": False, **given}, **options)

    async def _new_session(self, **options: Any) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(connector=AllowedConnector(self._allowed), **options)

    def encode_url(self, url: str) -> yarl.URL:
        """Returns a URL as it is sent: as it is named, but for characters that none may have.

        Raises:
            ValueError: If it is no URL.
        """
        found = _ORIGIN.fullmatch(url)
        origin = yarl.URL(found[1]) if found else None
        if found is None or origin is None or not origin.host or origin.port is None:
            raise ValueError(f"{bare_uri(url)} is no URL with a host.")
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

    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, **options: Any) -> io.IOBase:
        """Opens a file: to be read from its beginning on with a `block_size` of 0, else in parts, from any place.

        Raises:
            OSError: If it is to be read in parts, and the server does not say how long it is.
        """
        if mode == "rb" and block_size == 0:
            return io.BufferedReader(_Stream(super()._open(path, mode, block_size=0)))
        size = options.pop("size", None) or self.info(path)["size"]
        if size is None:
            raise OSError(_NO_LENGTH)
        file: io.IOBase = AbstractBufferedFile(self, path, mode, block_size or self.block_size, size=size)
        return file

    async def _walk(self, path: str, *options: Any, **named: Any) -> AsyncIterator[Any]:
        """Goes through folders; one that cannot be listed is an error: a listing with holes would pass for whole."""
        async for found in super()._walk(path, *options, **{**named, "on_error": "raise"}):
            yield found

    async def _cat_file(self, url: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        """Reads a file: a part of it where `start` is given, which not every server sends, else from its beginning."""
        if start is not None and start >= 0 and (end is None or end >= start):
            return b"" if start == end else await self._part(url, start, end, **kwargs)
        if start is not None or (end is not None and end < 0):
            from_the_end: bytes = await super()._cat_file(url, start, end, **kwargs)
            return from_the_end
        session = await self.set_session()
        async with session.get(self.encode_url(url), **{**self.kwargs, **kwargs}) as response:
            self._raise_not_found_for_status(response, url)
            return await _read(response, end)

    async def _part(self, url: str, start: int, end: int | None, **kwargs: Any) -> bytes:
        """Reads a part of a file, as the server holds it: packed by gzip if it is.

        Raises:
            OSError: If the server sends something else.
        """
        session = await self.set_session()
        options = {**self.kwargs, **kwargs}
        asked = f"bytes={start}-{'' if end is None else end - 1}"
        options["headers"] = {**options.get("headers", {}), "Accept-Encoding": "identity", "Range": asked}
        async with session.get(self.encode_url(url), auto_decompress=False, **options) as response:
            if response.status == _BEYOND_THE_END:
                return b""
            self._raise_not_found_for_status(response, url)
            sent = _SENT_PART.match(response.headers.get("Content-Range", ""))
            if response.status != _PART or (sent and int(sent[1]) != start):
                raise OSError(_WHOLE_FILES_ONLY)
            return await _read(response, None if end is None else end - start)


async def _read(response: aiohttp.ClientResponse, most: int | None) -> bytes:
    """Reads what a server sends, and no more of it than is wanted."""
    if most is None:
        return await response.read()
    content = bytearray()
    async for piece in response.content.iter_any():
        content += piece
        if len(content) >= most:
            break
    return bytes(content[:most])


class _Stream(io.RawIOBase):
    """A file of the web, from its beginning on, as Python's own streams are made of."""

    def __init__(self, file: Any) -> None:
        super().__init__()
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        data: bytes = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
