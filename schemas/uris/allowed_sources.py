"""Where a manifest may point: a policy over URIs as text, and over the addresses that hosts turn out to have.

A manifest is often somebody else's. What it names is read with the rights of a worker, which may reach what its writer
may not: files of this machine, buckets, servers of a private network, the address where a cloud gives a machine its
credentials. So a manifest may name, without being asked,

- what lies in its own storage, and in that of the inputs: their bucket, their server, the disk of a local manifest;
- from this machine's disk also buckets: whoever has written a file here has such rights already;
- public addresses of the web, which anybody may reach.

Everything else has to be named by `--allowed_sources`. The model is imgproxy (`IMGPROXY_ALLOWED_SOURCES`, and its
refusal of loopback, link-local and private addresses); img2dataset opens whatever it is given.
"""

import dataclasses
import functools
import re
from typing import Final

from schemas.uris.addresses import Address, host_address, is_private_name, is_public
from schemas.uris.chains import is_chained, member_uri, split_chain
from schemas.uris.places import (
    Network,
    Server,
    containing_file,
    has_port,
    is_at,
    is_place,
    is_same_server,
    network_of,
    place_of,
    server_of,
)
from schemas.uris.protocols import is_in_a_bucket, is_local, is_on_the_web, protocol_of

ANY: Final = "any"
ONLY: Final = "only"
OPTION: Final = "--allowed_sources"

# Files there are the kernel's and devices; /dev/shm is a disk in memory.
_KERNEL: Final = re.compile(r"file:///+(?:proc|sys|dev(?!/+shm/))(?:/|$)")


@dataclasses.dataclass(frozen=True)
class AllowedSources:
    """Where manifests may point.

    Attributes:
        inputs: The inputs of the command, which the user has named.
        named: What `--allowed_sources` names besides: beginnings of URIs (`s3://bucket/photos/`, `file:///data/`),
            servers (`http://10.0.0.5:8000/`, `https://*.example.com/`, `http://localhost:*/`), networks
            (`10.0.0.0/8`), protocols (`memory:`, `simplecache:`), `any` for everything, and `only` for nothing else.
    """

    inputs: tuple[str, ...] = ()
    named: tuple[str, ...] = ()

    @property
    def is_exclusive(self) -> bool:
        """Whether nothing is allowed but what is named."""
        return ONLY in self.named

    def refusal(self, uri: str, manifest_uri: str) -> str | None:
        """Returns why a manifest may not name an image, and what would allow it; None if it may.

        Args:
            uri: The image, in canonical form.
            manifest_uri: The manifest.
        """
        if ANY in self.named:
            return None
        if is_chained(uri):
            return self._refusal_of_chain(uri, manifest_uri)
        if any(is_at(uri, name) for name in self.named):
            return None
        return self._refusal_of_unnamed(uri, manifest_uri)

    def _refusal_of_unnamed(self, uri: str, manifest_uri: str) -> str | None:
        if self.is_exclusive:
            return _sentence("Nothing is allowed but what is named, and this is not", place_of(uri))
        if _KERNEL.match(uri):
            return _sentence("The file is the kernel's, or a device", f"{_folder(uri)}/")
        if self._is_at_an_input(uri, manifest_uri):
            return None
        return self._refusal_of_server(uri) if is_on_the_web(uri) else _refusal_of_storage(uri, manifest_uri)

    def _refusal_of_chain(self, uri: str, manifest_uri: str) -> str | None:
        member = member_uri(uri)
        if member is not None:  # Archives are read here, by a range of their bytes.
            return self.refusal(member.archive_uri, manifest_uri)
        head, rest = split_chain(uri)
        protocol = head.partition(":")[0].lower()
        if f"{protocol}:" not in self.named:
            return _sentence("It is a chain of file systems", f"{protocol}:")
        return self.refusal(rest, manifest_uri)

    def _is_at_an_input(self, uri: str, manifest_uri: str) -> bool:
        if is_local(uri):
            return is_local(manifest_uri) or any(uri.startswith(folder) for folder in self._folders)
        return place_of(uri) in self._places or place_of(uri) == place_of(containing_file(manifest_uri))

    def _refusal_of_server(self, uri: str) -> str | None:
        server = server_of(uri)
        if server is None or not has_port(server):
            return None  # It is no URL, and fetching it will say so.
        return self.refusal_of_address(server, host_address(server.host), place_of(uri))

    def refusal_of_address(self, server: Server, address: Address | None, place: str = "") -> str | None:
        """Returns why a server may not be asked for an image; None if it may.

        Args:
            server: The server, by the name that it was asked for.
            address: The address that it has; None where that is not known yet.
            place: The server, as the option would name it.
        """
        if ANY in self.named or (address is not None and self._is_in_a_network(address)) or self._is_named(server):
            return None
        named = place or f"http://{server}/"
        if address is None:
            return _sentence(f"{server.host} is a private name", named) if is_private_name(server.host) else None
        if is_public(address):
            return None
        if host_address(server.host) == address:
            return _sentence(f"The address {address} is not public", named)
        return _sentence(f"{server.host} has the address {address}, which is not public", named)

    def _is_named(self, server: Server) -> bool:
        return any(is_same_server(server, pattern) for pattern in self._servers)

    def _is_in_a_network(self, address: Address) -> bool:
        return any(address in network for network in self._networks if network.version == address.version)

    @functools.cached_property
    def _servers(self) -> tuple[Server, ...]:
        found = (server_of(uri) for uri in (*map(containing_file, self.inputs), *self.named) if is_on_the_web(uri))
        return tuple(dict.fromkeys(server for server in found if server is not None))

    @functools.cached_property
    def _networks(self) -> tuple[Network, ...]:
        return tuple(network for network in map(network_of, self.named) if network is not None)

    @functools.cached_property
    def _places(self) -> frozenset[str]:
        return frozenset(place_of(containing_file(uri)) for uri in self.inputs if not is_local(uri))

    @functools.cached_property
    def _folders(self) -> tuple[str, ...]:
        """The local inputs, and those up to the first wildcard, as folders."""
        local = (containing_file(uri) for uri in self.inputs if is_local(uri))
        return tuple(f"{re.split(r'/[^/]*[*?[]', uri)[0].rstrip('/')}/" for uri in local)


def unknown_source(named: str) -> str | None:
    """Returns the first of some names, with commas between them, that names nothing; None if there is none."""
    return next((name for name in named.split(",") if not _is_known(name.strip())), None)


def _is_known(name: str) -> bool:
    return name in {ANY, ONLY} or is_place(name)


def _folder(uri: str) -> str:
    return uri.rpartition("/")[0]


def _refusal_of_storage(uri: str, manifest_uri: str) -> str | None:
    if is_local(uri):
        return _sentence("A manifest that is not on this machine names a file of it", f"{_folder(uri)}/")
    if is_in_a_bucket(uri):
        reason = "The manifest is in another storage than the bucket"
        return None if is_local(manifest_uri) else _sentence(reason, place_of(uri))
    return _sentence("Manifests name files, buckets and the web", f"{protocol_of(uri)}:")


def _sentence(reason: str, remedy: str) -> str:
    most = 100
    shown = remedy if len(remedy) <= most else f"{remedy[:most]}…"
    return f"{reason}; {OPTION}={shown} would allow it."
