"""Addresses of hosts: which are public, and in which forms they are written."""

import ipaddress
import re
import socket
import unicodedata
from typing import Final, TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

# As resolvers read them: fewer than four numbers, hexadecimal and octal ones.
_NUMBERS: Final = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)(?:\.(?:0x[0-9a-f]*|[0-9]+)){0,3}")
# Names that are of a machine or of a private network by agreement (RFC 6761, RFC 6762, RFC 8375, and ICANN's
# `internal`), and those by which clouds answer machines that ask for their credentials.
_PRIVATE_NAMES: Final = frozenset({"localhost", "local", "internal", "localdomain", "ip6-localhost", "ip6-loopback"})
_PRIVATE_SUFFIXES: Final = (".localhost", ".local", ".internal", ".localdomain", ".home.arpa")
_METADATA: Final = frozenset({"metadata", "instance-data"})

# Protocol assignments of the IETF (RFC 6890): nobody's servers.
_ASSIGNED: Final = ipaddress.IPv4Network("192.0.0.0/24")
# RFC 6052, and RFC 4291, section 2.5.5.1: an IPv4 address in the last 32 bits.
_EMBEDDING: Final = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("::/96"))


def is_public(address: Address) -> bool:
    """Whether an address is one of the public internet, and so is each that it stands for.

    Loopback, private, link-local, unique local, shared, multicast, unspecified and reserved addresses are not.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not address.is_multicast and address not in _ASSIGNED
    embedded = _embedded(address)
    if embedded is not None:
        return is_public(embedded)
    return address.is_global and not (address.is_multicast or address.is_site_local or address.is_reserved)


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Returns the IPv4 address to which packets for an IPv6 address go."""
    if any(address in network for network in _EMBEDDING) and int(address) > 1:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)


def host_address(host: str) -> Address | None:
    """Returns the address that a host is written as, in whatever form; None if it is a name.

    >>> host_address("0x7f.1"), host_address("[::ffff:10.0.0.1]"), host_address("example.com")
    (IPv4Address('127.0.0.1'), IPv6Address('::ffff:10.0.0.1'), None)
    """
    written = tidy_host(host)
    try:
        return ipaddress.ip_address(written.partition("%")[0])
    except ValueError:
        pass
    if not _NUMBERS.fullmatch(written):
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(written))
    except (OSError, ValueError):
        return None


def tidy_host(host: str) -> str:
    """Returns a host in lower case, without brackets and the root's dot, with signs that look alike as one."""
    return unicodedata.normalize("NFKC", host).replace("\u3002", ".").strip("[]").rstrip(".").lower()


def is_private_name(host: str) -> bool:
    """Whether a name is that of a machine or of a private network, whatever it resolves to."""
    name = tidy_host(host)
    return name in _PRIVATE_NAMES | _METADATA or name.endswith(_PRIVATE_SUFFIXES)
