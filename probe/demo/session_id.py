"""Dovecot's session id, written as login-common's client_get_session_id() writes it (pure).

Base64 without padding of: the low 48 bits of the connect time in microseconds since the epoch, little-endian; the
client's port, little-endian; the client's address, 4 or 16 bytes.
"""

from __future__ import annotations

from base64 import b64encode

from probe.model import Peer


def session_id(connected: float, client: Peer) -> str:
    """The id of a connection; this one a real Dovecot gave.

    >>> from ipaddress import ip_address
    >>> session_id(1795371631.76577, Peer(ip_address("192.168.1.10"), 51342))
    'CulZiOFgjsjAqAEK'
    """
    moment = round(connected * 1_000_000) & (1 << 48) - 1
    packed = moment.to_bytes(6, "little") + (client.port or 0).to_bytes(2, "little") + client.address.packed
    return b64encode(packed).decode("ascii").rstrip("=")
