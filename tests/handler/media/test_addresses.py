"""Only global unicast addresses are permitted; the table is checked against the registries' blocks."""

from __future__ import annotations

import ipaddress
import random

import pytest

from handler.media.addresses import is_permitted

CLOSED = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
    "224.0.0.0/4", "240.0.0.0/4", "255.255.255.255/32", "168.63.129.16/32",
    "::/128", "::1/128", "::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64",
    "2001::/32", "2001:2::/48", "2001:10::/28", "2001:20::/28", "2001:db8::/32", "2002::/16", "3ffe::/16",
    "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
]  # fmt: skip
OPEN = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.216.34",
    "223.255.255.254",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "198.17.255.255",
    "198.20.0.0",
    "2606:4700::1111",
    "2a00:1450::1",
    "2400:cb00::1",
    "2001:200::1",
    "2001:4860:4860::8888",
]


def sample(block: str) -> list[str]:
    network = ipaddress.ip_network(block)
    first, last = int(network[0]), int(network[-1])
    draw = random.Random(block)
    kind = type(network[0])
    return [str(kind(number)) for number in (first, last, *(draw.randint(first, last) for _ in range(50)))]


@pytest.mark.parametrize("block", CLOSED)
def test_every_address_of_a_closed_block_is_refused(block):
    assert [address for address in sample(block) if is_permitted(address)] == []


@pytest.mark.parametrize("address", ["2001:470:1f0b::200:5efe:7f00:1", "2606:4700::5efe:a00:1", "fe80::5efe:7f00:1"])
def test_isatap_addresses_carry_others_and_are_refused(address):
    assert not is_permitted(address)
    assert not is_permitted(address, allow_private=True)


@pytest.mark.parametrize("address", OPEN)
def test_global_addresses_are_permitted(address):
    assert is_permitted(address)
    assert is_permitted(address, allow_private=True)


def test_nothing_is_permitted_that_python_calls_internal():
    draw = random.Random(1)
    numbers = [ipaddress.IPv4Address(draw.getrandbits(32)) for _ in range(8_000)]
    numbers += [ipaddress.IPv6Address(draw.getrandbits(128)) for _ in range(8_000)]
    wrong = [a for a in numbers if is_permitted(str(a)) and (not a.is_global or a.is_multicast or a.is_reserved)]
    assert wrong == []


@pytest.mark.parametrize(
    "text", ["", "localhost", "127.1", "0x7f.1", "1.1.1.1%lo", "2606:4700::1%1", "[::1]", "1.1.1.1/32"]
)
def test_text_that_is_no_plain_address_is_refused(text):
    assert not is_permitted(text)
    assert not is_permitted(text, allow_private=True)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.255.0.1", "10.1.2.3", "172.31.0.1", "192.168.0.1", "::1", "fd00::1"]
)
def test_allow_private_adds_loopback_and_private_networks(address):
    assert is_permitted(address, allow_private=True)
    assert not is_permitted(address)


@pytest.mark.parametrize("block", [b for b in CLOSED if b not in (
    "10.0.0.0/8", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "::/96", "fc00::/7")])  # fmt: skip
def test_allow_private_adds_nothing_else(block):
    assert [address for address in sample(block) if is_permitted(address, allow_private=True)] == []
