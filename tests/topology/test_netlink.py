"""rtnetlink: its messages as octets, and the kernel of this machine as it really answers."""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from probe.topology import netlink


def message(kind: int, body: bytes) -> bytes:
    packed = struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 0) + body
    return packed + b"\0" * (-len(packed) % 4)


def test_messages_are_taken_apart_and_padding_is_passed_over() -> None:
    packet = message(28, b"abc") + message(3, b"")
    assert list(netlink.messages(packet)) == [(28, b"abc"), (3, b"")]


def test_a_message_that_claims_more_than_there_is_ends_the_packet() -> None:
    assert list(netlink.messages(message(28, b"abcd") + struct.pack("=IHHII", 999, 28, 0, 1, 0))) == [(28, b"abcd")]
    assert list(netlink.messages(struct.pack("=IHHII", 3, 28, 0, 1, 0))) == []


def test_attributes_by_type_without_their_flags() -> None:
    body = struct.pack("=HH", 7, 2 | 0x8000) + b"abc\0" + struct.pack("=HH", 4, 5)
    assert netlink.attributes(body) == {2: b"abc", 5: b""}
    assert netlink.attributes(struct.pack("=HH", 0, 2) * 3) == {}
    assert netlink.attributes(struct.pack("=HH", 99, 2) + b"abc") == {}


@given(st.binary(max_size=200))
def test_any_octets_come_to_an_end(octets: bytes) -> None:
    for _, body in netlink.messages(octets):
        netlink.attributes(body)
    netlink.attributes(octets)


def test_this_machine_s_own_address_is_local_and_has_no_router() -> None:
    route = netlink.route_to(ip_address("127.0.0.1"))
    assert route is not None
    assert (route.local, route.on_link) == (True, False)
    assert ip_address("127.0.0.1") not in netlink.own_addresses()


def test_own_addresses_are_those_a_socket_can_be_bound_to() -> None:
    for address in netlink.own_addresses():
        if address.is_link_local:
            continue
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        with socket.socket(family, socket.SOCK_DGRAM) as one:
            one.bind((str(address), 0))


def test_the_neighbour_table_can_be_read() -> None:
    for neighbour in netlink.neighbours():
        assert neighbour.mac is None or len(neighbour.mac) == 17
