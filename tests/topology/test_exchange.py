"""ARP and NDP as octets: what is asked, and which answers count."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.topology.exchange import advertised, arp_answer, arp_request, solicitation

VIP = IPv4Address("10.0.20.202")
VIP6 = IPv6Address("fd00:20::202")
MAC = bytes.fromhex("02428a000102")
ASKER = IPv4Address("10.0.20.50").packed

# Captured on the lab's link: node2 answers the LAN client.
REPLY = bytes.fromhex("0001 0800 06 04 0002 daf874ac207d 0a0014ca 6a3dcaf41323 0a001432")
ADVERTISEMENT = bytes.fromhex("8800 29ca e0000000 fd000020000000000000000000000202 0201 daf874ac207d")


def test_the_request_names_us_and_asks_for_the_address() -> None:
    request = arp_request(VIP, MAC, ASKER)
    assert request == bytes.fromhex("0001 0800 06 04 0001 02428a000102 0a001432 000000000000 0a0014ca")
    assert arp_answer(request, VIP) is None


def test_a_reply_tells_who_answers() -> None:
    assert arp_answer(REPLY, VIP) == "da:f8:74:ac:20:7d"
    assert arp_answer(REPLY + b"\0" * 18, VIP) == "da:f8:74:ac:20:7d"


def test_an_announcement_counts_as_an_answer() -> None:
    gratuitous = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, MAC, VIP.packed, b"\0" * 6, VIP.packed)
    assert arp_answer(gratuitous, VIP) == "02:42:8a:00:01:02"


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        REPLY[:27],
        b"\x00\x06" + REPLY[2:],
        REPLY[:4] + b"\x08" + REPLY[5:],
        REPLY[:7] + b"\x09" + REPLY[8:],
        REPLY[:8] + b"\0" * 6 + REPLY[14:],
        REPLY[:8] + b"\xff" * 6 + REPLY[14:],
        REPLY[:14] + IPv4Address("10.0.20.203").packed + REPLY[18:],
    ],
)
def test_what_is_no_answer_to_the_question(packet: bytes) -> None:
    assert arp_answer(packet, VIP) is None


def test_the_solicitation_carries_our_link_address() -> None:
    asked = solicitation(VIP6, MAC)
    assert (asked[0], asked[8:24], asked[24:]) == (135, VIP6.packed, b"\x01\x01" + MAC)


def test_an_advertisement_tells_who_answers() -> None:
    assert advertised(ADVERTISEMENT, VIP6) == "da:f8:74:ac:20:7d"
    nonce = bytes.fromhex("0e01 000000000000")
    assert advertised(ADVERTISEMENT[:24] + nonce + ADVERTISEMENT[24:], VIP6) == "da:f8:74:ac:20:7d"


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        ADVERTISEMENT[:24],
        ADVERTISEMENT[:30],
        b"\x87" + ADVERTISEMENT[1:],
        ADVERTISEMENT[:24] + b"\x02\x00" + MAC,
        ADVERTISEMENT[:24] + b"\x01\x01" + MAC,
        ADVERTISEMENT[:24] + b"\x02\x01" + b"\0" * 6,
    ],
)
def test_what_is_no_advertisement_of_the_address(packet: bytes) -> None:
    assert advertised(packet, VIP6) is None
    assert advertised(ADVERTISEMENT, IPv6Address("fd00:20::203")) is None


@given(st.binary(max_size=120))
def test_any_octets_are_survived(octets: bytes) -> None:
    arp_answer(octets, VIP)
    advertised(octets, VIP6)
    advertised(ADVERTISEMENT[:24] + octets, VIP6)
