"""A port that log lines are sent to: where it is, who may send, and how it is bound.

- An empty host, and `::`, is every address of the machine, IPv4 and IPv6 on one socket.
- A datagram socket asks for a large buffer, and has the kernel count what does not fit.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from probe.model import Network

RECEIVE_BUFFER = 8 << 20
"""Bytes that the kernel is asked to hold; it gives less to a probe that is not root (sysctl net.core.rmem_max)."""

SO_RCVBUFFORCE, SO_RXQ_OVFL = 33, 40  # linux/asm-generic/socket.h; Python names neither

_REASONS: dict[int | None, str] = {
    errno.EADDRINUSE: "is taken by another program (`ss -lnp` says which): if it is the daemon, leave it running and "
    "give this command a configuration of its own, whose syslog has another port that the sender sends to as well, or "
    "another source (docs/sources.md, Beside the daemon); if not, listen on another port",
    errno.EACCES: "may not be listened on: take a port from 1024 on, or give the probe CAP_NET_BIND_SERVICE",
    errno.EADDRNOTAVAIL: "is no address of this machine: listen on one that is, or on all with an empty host",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Listening:
    """Where to listen, and to whom: no `senders` are all. An empty host is every address of the machine."""

    transport: str
    host: str
    port: int
    senders: tuple[Network, ...] = ()

    @property
    def kind(self) -> socket.SocketKind:
        """Of the socket."""
        return socket.SOCK_DGRAM if self.transport == "udp" else socket.SOCK_STREAM

    @property
    def anywhere(self) -> bool:
        """True for all addresses, IPv4 and IPv6."""
        return self.host in ("", "::")

    def __str__(self) -> str:
        return f"{self.transport}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


async def bound_to(listening: Listening) -> socket.socket:
    """A socket that receives there. OSError if there can be none."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(listening.host or None, listening.port, type=listening.kind, flags=socket.AI_PASSIVE)
    places = [(family, place) for family, _, _, _, place in found]
    if listening.anywhere:
        places.sort(key=lambda place: place[0] is not socket.AF_INET6)
    return _first_bound(listening, places)


def refusal(listening: Listening, error: OSError) -> str:
    """Why there can be no socket there, for a person."""
    return f"{listening} {_REASONS.get(error.errno, f'cannot be listened on ({error.strerror}): check `listen`')}"


def _first_bound(listening: Listening, places: Sequence[tuple[socket.AddressFamily, Any]]) -> socket.socket:
    """A socket at the first of these places whose kind of address this machine has."""
    refusal = OSError(errno.EADDRNOTAVAIL, "no such address")
    for family, place in places:
        try:
            return _bound_at(listening, family, place)
        except OSError as error:
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                raise
            refusal = error
    raise refusal


def _bound_at(listening: Listening, family: socket.AddressFamily, place: Any) -> socket.socket:
    bound = socket.socket(family, listening.kind)
    try:
        bound.setblocking(False)  # noqa: FBT003
        if family is socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(not listening.anywhere))
        if listening.kind is socket.SOCK_STREAM:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            _make_room(bound)
        bound.bind(place)
        if listening.kind is socket.SOCK_STREAM:
            bound.listen()
    except OSError:
        bound.close()
        raise
    return bound


def _make_room(bound: socket.socket) -> None:
    bound.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
    try:
        bound.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
    except PermissionError:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
