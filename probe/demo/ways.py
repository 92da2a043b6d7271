"""Ways from the virtual address to the mail server: what the network in between does to a connection.

- `straight` hands the accepted socket itself to the server, as DNAT without SNAT does: address and port survive.
- `through` opens a second connection from a node's own address, as SNAT does: the server sees the node.
- `through` with a PROXY header says in front whom it speaks for.
- `nowhere` keeps the connection open and passes nothing on: the listener behind it is dead.

Silence on SYNs is no way of a connection (there is none): the door does it, see door.py.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass

from probe.demo.door import Arrival, Door, Welcome, nonblocking, peer
from probe.model import ProxyHeader
from probe.sessions.proxy_header import header

CHUNK = 1 << 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Relay:
    """A machine in between: `address` is what it shows to the server at `server`."""

    address: str
    server: tuple[str, int]
    says_whom: bool = False

    async def __call__(self, arrival: Arrival) -> None:
        """Pass one connection on, both ways, until both ends are through."""
        loop = asyncio.get_running_loop()
        with nonblocking() as onward:
            onward.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            onward.bind((self.address, 0))
            await loop.sock_connect(onward, self.server)
            if self.says_whom:
                target = peer(arrival.sock.getsockname())
                await loop.sock_sendall(onward, header(ProxyHeader.V2, arrival.client, target))
            async with asyncio.TaskGroup() as both_ways:
                both_ways.create_task(_pass_on(arrival.sock, onward))
                both_ways.create_task(_pass_on(onward, arrival.sock))


async def _pass_on(source: socket.socket, target: socket.socket) -> None:
    """One direction. Its end, orderly or not, ends only itself: a last reply may still be on its way back."""
    loop = asyncio.get_running_loop()
    try:
        while chunk := await loop.sock_recv(source, CHUNK):
            await loop.sock_sendall(target, chunk)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        _shut(source, socket.SHUT_RD)
        _shut(target, socket.SHUT_WR)


def _shut(sock: socket.socket, direction: int) -> None:
    try:
        sock.shutdown(direction)
    except OSError:
        return  # the peer was faster


async def nowhere(arrival: Arrival) -> None:
    """Keep the client waiting until it leaves by itself."""
    while await asyncio.get_running_loop().sock_recv(arrival.sock, CHUNK):
        pass


class Junction:
    """A virtual address's door for one service, and the way that stands behind it just now."""

    def __init__(self, address: str) -> None:
        self._way: Welcome = nowhere
        self._silent = False
        self.door = Door(address, self._take_way)

    async def _take_way(self, arrival: Arrival) -> None:
        await self._way(arrival)

    async def lead(self, way: Welcome | None) -> None:
        """Let new connections take another way; None: their SYNs are dropped."""
        if way is not None:
            self._way = way
        if (way is None) == self._silent:
            return
        self._silent = way is None
        if self._silent:
            await self.door.fall_silent()
        else:
            self.door.speak_again()
