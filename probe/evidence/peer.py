"""Addresses as servers write them: `unknown[1.2.3.4]:25`, `host[2001:db8::1]`, `[IPv6:…]`, `[::ffff:1.2.3.4]`.

Rules of this file:
- A text that is not an address raises ValueError and so makes no event: better nothing than a wrong address.
- The same few texts come again and again, so reading them is remembered; what is remembered is short.
"""

from __future__ import annotations

import re
from functools import lru_cache

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


@lru_cache(maxsize=16384)
def client_at(text: str) -> Peer | None:
    """The peer of a whole `host[address]:port`; None for `unknown[unknown]`, ValueError for anything else."""
    match = _CLIENT.fullmatch(text)
    if not match:
        raise ValueError("no client")
    return peer_at(match[1], match[2])


@lru_cache(maxsize=16384)
def _portless(address: str) -> Peer:
    return Peer(plain_address(address.removeprefix("IPv6:")))
