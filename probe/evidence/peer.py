"""Addresses as servers write them: `unknown[1.2.3.4]:25`, `host[2001:db8::1]`, `[IPv6:…]`, `[::ffff:1.2.3.4]`.

Rules of this file:
- A text that is not an address raises ValueError and so makes no event: better nothing than a wrong address.
- The same few texts come again and again, so reading them is remembered; what is remembered is short.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address

from probe.model import Peer, plain_address

ADDRESS = r"(?:IPv6:)?[0-9A-Fa-f:.]{2,45}(?:%[\w.-]{1,32})?"
"""Pattern source of an address; whether it is one is for `plain_address` to say."""

ADDRESS_PORT = rf"\[({ADDRESS}|unknown)\](?::(\d{{1,5}}|unknown))?"
"""Pattern source of `[address]` with an optional port, as Postfix writes it; two groups for `peer_at`."""

CLIENT = rf"[^\s\[\]]{{0,255}}{ADDRESS_PORT}"
"""The same behind a host name. Postfix puts only valid host names there, so `[` ends it."""


def peer_at(address: str, port: str | None = None) -> Peer | None:
    """The peer of a logged address and port; None for Postfix's `unknown`, a peer that was already gone."""
    if address == "unknown":
        return None
    if port is None or port == "unknown":
        return _portless(address)
    number = int(port)
    if number > 65535:
        raise ValueError(f"no port: {port}")
    return Peer(_portless(address).address, number)


_CLIENT = re.compile(CLIENT)
_OCTETS = {str(number): number for number in range(256)}


def client_at(text: str) -> Peer | None:
    """The peer of a whole `host[address]:port`; None for `unknown[unknown]`, ValueError for anything else."""
    host, bracket, port = text.rpartition("]:")
    if not (bracket and port.isdecimal() and len(port) <= 5):
        return _client(text)
    client, number = _client(host + "]"), int(port)
    if number > 65535 and client:
        raise ValueError(f"no port: {port}")
    return Peer(client.address, number) if client else None


@lru_cache(maxsize=16384)
def _client(text: str) -> Peer | None:
    match = _CLIENT.fullmatch(text)
    if not match:
        raise ValueError("no client")
    return peer_at(match[1], match[2])


@lru_cache(maxsize=16384)
def _portless(address: str) -> Peer:
    try:
        one, two, three, four = address.split(".")
        packed = _OCTETS[one] << 24 | _OCTETS[two] << 16 | _OCTETS[three] << 8 | _OCTETS[four]
    except (KeyError, ValueError):  # not plain IPv4
        return Peer(plain_address(address.removeprefix("IPv6:")))
    return Peer(IPv4Address(packed))
