"""Places: servers, buckets, networks and beginnings of URIs, and whether a URI is at one that somebody has named."""

import fnmatch
import ipaddress
import re
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from schemas.uris.addresses import host_address, tidy_host
from schemas.uris.chains import is_chained, split_chain
from schemas.uris.protocols import (
    AZURE_PROTOCOLS,
    GCS_PROTOCOLS,
    LOCAL_PROTOCOLS,
    S3_PROTOCOLS,
    is_local,
    is_on_the_web,
    protocol_of,
)
from schemas.uris.secrets import bare_uri

_PORTS: Final = {"http": "80", "https": "443"}

_PROTOCOL: Final = re.compile(r"[a-z][a-z0-9+.-]*:")
_PLACE: Final = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#\\]*)", re.IGNORECASE)

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class Server(NamedTuple):
    """A web server, or with wildcards several.

    Attributes:
        host: Its name or address, in lower case.
        port: Its port, as text.
    """

    host: str
    port: str

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def server_of(uri: str) -> Server | None:
    """Returns the server of a URL; None if it is no URL that has one."""
    try:
        parts = urlsplit(uri)
        host, port = tidy_host(parts.hostname or ""), parts.netloc.rpartition("@")[2].rpartition("]")[2]
    except ValueError:
        return None
    port = port.rpartition(":")[2] if ":" in port else ""
    return Server(host, port or _PORTS.get(parts.scheme.lower(), "")) if host else None


def has_port(server: Server) -> bool:
    """Whether the port of a server is one."""
    return server.port.isascii() and server.port.isdecimal() and int(server.port) < 2**16


def is_same_server(server: Server, pattern: Server) -> bool:
    """Whether a server is one that was named, perhaps with wildcards, or by another form of its address."""
    address, named = host_address(server.host), host_address(pattern.host)
    same_host = fnmatch.fnmatchcase(server.host, pattern.host) or (address is not None and address == named)
    return same_host and pattern.port in {server.port, "*"}


def network_of(name: str) -> Network | None:
    """Returns the network of addresses that a name is, as in `10.0.0.0/8`; None if it is none."""
    try:
        return ipaddress.ip_network(name, strict=False)
    except ValueError:
        return None


def is_place(name: str) -> bool:
    """Whether a name is that of a place: the beginning of a URI, a protocol with its colon, or a network."""
    return bool(_PLACE.match(name) or _PROTOCOL.fullmatch(name)) or network_of(name) is not None


def place_of(uri: str) -> str:
    """Returns the storage of a URI: its server, its bucket, this machine, or what else is behind its protocol."""
    if is_on_the_web(uri):
        server = server_of(bare_uri(uri))
        return f"{protocol_of(uri)}://{server or ''}/"
    if is_local(uri):
        return "file:///"
    found = _PLACE.match(_canonical_protocol(uri))
    return f"{found[1]}://{found[2]}/" if found else uri


def containing_file(uri: str) -> str:
    """Returns the file of a chain in which the others are; any other URI as it is."""
    return containing_file(split_chain(uri)[1]) if is_chained(uri) else uri


def server_uri(uri: str) -> str:
    """Returns the URL of the server of a URL, without anything that is below it; other URIs' storage."""
    return place_of(containing_file(uri))


def is_at(uri: str, name: str) -> bool:
    """Whether a URI begins with what was named, at the end of a name."""
    network = network_of(name)
    if network is not None:
        return is_on_the_web(uri) and _is_in(uri, network)
    if "://" not in name:
        return f"{protocol_of(uri)}:" == name
    if is_on_the_web(name):
        server, pattern = server_of(uri), server_of(name)
        same = server is not None and pattern is not None and is_same_server(server, pattern)
        return same and is_on_the_web(uri) and _is_below(_path(uri), _path(name))
    return _is_below(_canonical_protocol(uri), _canonical_protocol(name))


def _is_in(url: str, network: Network) -> bool:
    server = server_of(url)
    address = None if server is None else host_address(server.host)
    return address is not None and address.version == network.version and address in network


def _is_below(path: str, folder: str) -> bool:
    return path == folder.rstrip("/") or path.startswith(f"{folder.rstrip('/')}/")


def _path(url: str) -> str:
    """Returns the path of a URL; nothing goes up in it but what a server would go up."""
    path = urlsplit(url).path
    return "" if "/.." in path.lower().replace("%2e", ".") else path


def _canonical_protocol(uri: str) -> str:
    protocol = protocol_of(uri)
    aliases = ((S3_PROTOCOLS, "s3"), (GCS_PROTOCOLS, "gs"), (AZURE_PROTOCOLS, "abfs"), (LOCAL_PROTOCOLS, "file"))
    name = next((name for protocols, name in aliases if protocol in protocols), protocol)
    return f"{name}://{uri.partition('://')[2]}" if "://" in uri else f"file://{uri}"
