"""Which addresses are public, however they are written."""

import pytest

from schemas.uris import host_address, is_public

PRIVATE = (
    "127.0.0.1", "127.1", "127.000.000.001", "2130706433", "0x7f000001", "0x7f.0.0.1", "017700000001", "0177.0.0.1",
    "0", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.0.1", "169.254.169.254", "2852039166",
    "0xA9FEA9FE", "100.64.0.1", "192.0.0.8", "198.18.0.1", "224.0.0.1", "239.255.255.250", "240.0.0.1",
    "255.255.255.255", "::", "::1", "[::1]", "0:0:0:0:0:0:0:1", "fe80::1", "fe80::1%eth0", "[fe80::1%25eth0]",
    "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
    "::ffff:a00:1", "::127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a9fe:a9fe::1",
    "\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021", "127.0.0.1.",
)  # fmt: skip
PUBLIC = ("8.8.8.8", "134744072", "1.1.1.1", "2606:4700::1111", "64:ff9b::8.8.8.8", "::ffff:8.8.8.8", "2002:808:808::")
NAMES = ("example.com", "a.b", "1.2.3.4.5", "0x", "", "999.1.1.1", "127.0.0.1.nip.io", "x127.0.0.1")


@pytest.mark.parametrize("host", PRIVATE)
def test_an_address_that_is_not_public_is_known_in_every_form(host: str) -> None:
    address = host_address(host)
    assert address is not None
    assert not is_public(address)


@pytest.mark.parametrize("host", PUBLIC)
def test_an_address_that_is_public(host: str) -> None:
    address = host_address(host)
    assert address is not None
    assert is_public(address)


@pytest.mark.parametrize("host", NAMES)
def test_a_name_is_no_address(host: str) -> None:
    assert host_address(host) is None
