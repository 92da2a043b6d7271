"""PROXY headers, octet by octet (PROXY protocol, sections 2.1 and 2.2)."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.model import Peer, ProxyHeader
from probe.sessions.proxy_header import LOCAL, header

SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")
V4 = Peer(ip_address("192.0.2.1"), 4000), Peer(ip_address("192.0.2.9"), 25)
V6 = Peer(ip_address("2001:db8::1"), 4000), Peer(ip_address("2001:db8::9"), 993)


@pytest.mark.parametrize(
    ("version", "ends", "octets"),
    [
        (ProxyHeader.NONE, V4, b""),
        (ProxyHeader.V1, V4, b"PROXY TCP4 192.0.2.1 192.0.2.9 4000 25\r\n"),
        (ProxyHeader.V1, V6, b"PROXY TCP6 2001:db8::1 2001:db8::9 4000 993\r\n"),
        (ProxyHeader.V2, V4, SIGNATURE + bytes.fromhex("2111000c c0000201 c0000209 0fa0 0019")),
        (
            ProxyHeader.V2,
            V6,
            SIGNATURE
            + bytes.fromhex("21210024" + "20010db8" + "0" * 23 + "1" + "20010db8" + "0" * 23 + "9" + "0fa003e1"),
        ),
    ],
)
def test_octets(version: ProxyHeader, ends: tuple[Peer, Peer], octets: bytes) -> None:
    assert header(version, *ends) == octets


def test_local_claims_no_address() -> None:
    assert LOCAL[:13] == SIGNATURE + b"\x20"
    assert int.from_bytes(LOCAL[14:16], "big") == len(LOCAL) - 16 == 0


@given(st.ip_addresses(), st.ip_addresses(), st.integers(1, 65535), st.sampled_from([ProxyHeader.V1, ProxyHeader.V2]))
def test_addresses_of_one_family_only(client: object, server: object, port: int, version: ProxyHeader) -> None:
    one, other = Peer(ip_address(str(client)), port), Peer(ip_address(str(server)), 25)
    if one.address.version != other.address.version:
        with pytest.raises(ValueError, match="different families"):
            header(version, one, other)
        return
    octets = header(version, one, other)
    if version is ProxyHeader.V1:
        assert octets.endswith(b"\r\n")
        assert len(octets) <= 107
        assert octets.split()[2:] == [str(end).encode() for end in (one.address, other.address, port, 25)]
    else:
        assert octets[16:] == one.address.packed + other.address.packed + port.to_bytes(2, "big") + b"\0\x19"
