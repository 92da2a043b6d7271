"""Dovecot's session id: whose connection it was, from which port, and a moment to the microsecond, in every login line.

The moment is not always that of the connect: 2.4 makes the id at accept, 2.3 when it is first needed, which is at the
first LOGIN, AUTHENTICATE or ID, else at the end.

Base64 without padding of 6 bytes time, 2 bytes port, 4 or 16 bytes address; numbers little-endian. The time is the
low 48 bits of microseconds since the epoch and wraps every 8.9 years: the epoch nearest to `now` is meant.
"""

from __future__ import annotations

from base64 import b64encode
from binascii import a2b_base64
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from struct import Struct

from probe.evidence.events import SessionId
from probe.model import Address, Peer

_WRAP = 1 << 48
_LENGTHS = (16, 32)
_FIELDS = Struct("<IHH").unpack_from


def decode(text: str, *, now: float) -> SessionId:
    """Read a session id. ValueError for what is none, as ids that a trusted proxy made up in its own way."""
    if len(text) not in _LENGTHS:
        raise ValueError("not the length of a session id")
    raw = a2b_base64(text, strict_mode=True)
    low, high, port = _FIELDS(raw)
    low += high << 32
    middle = int(now * 1e6)
    micros = middle + (low - middle + _WRAP // 2) % _WRAP - _WRAP // 2
    return SessionId(text, micros / 1e6, Peer(_address(raw[8:]), port))


@lru_cache(maxsize=8192)
def _address(packed: bytes) -> Address:
    if len(packed) == 4:
        return IPv4Address(packed)
    if len(packed) == 16:
        return IPv6Address(packed).ipv4_mapped or IPv6Address(packed)
    raise ValueError("no address in the session id")


def encode(opened: float, peer: Peer) -> str:
    """The session id Dovecot gives a client; the inverse of `decode` for times near its `now`."""
    low = round(opened * 1e6) % _WRAP
    raw = low.to_bytes(6, "little") + (peer.port or 0).to_bytes(2, "little") + peer.address.packed
    return b64encode(raw).decode("ascii")
