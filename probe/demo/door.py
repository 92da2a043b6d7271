"""A listening socket and the connections that came in by it.

- A door opens on a port of the kernel's choice and hands each connection, with the moment it came, to one `Welcome`.
- It can fall silent as a node does that drops SYNs, without root: nobody accepts any more, and the accept queue is
  kept full by connections of our own. Linux then drops every further SYN unanswered, so the client's connect times
  out. That it really is silent is proven each time: the last of our own connects must get no answer.
- Accepting is a reader callback, not a task: cancelling `sock_accept` may lose a connection already accepted.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from probe.demo.crew import Crew
from probe.model import Peer, plain_address

QUEUE = 128
"""Connections the kernel holds for a door that is open."""

UNANSWERED_AFTER = 0.25
"""Seconds until our own SYN counts as dropped; on loopback an answer takes microseconds."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A connection, whose it is, and when it was accepted on this machine's clock."""

    sock: socket.socket
    client: Peer
    at: float


Welcome = Callable[[Arrival], Coroutine[object, object, None]]


def peer(name: tuple[str, int]) -> Peer:
    """The end of a connection from a socket name."""
    return Peer(plain_address(name[0]), name[1])


def nonblocking() -> socket.socket:
    """A new TCP socket for the event loop."""
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)


class Door:
    """One address and port where connections come in. Open it inside a running event loop."""

    def __init__(self, address: str, welcome: Welcome) -> None:
        self._welcome = welcome
        self._crew = Crew()
        self._blockers: list[socket.socket] = []
        self._socket = nonblocking()
        try:
            self._socket.bind((address, 0))
            self._accept_again()
        except BaseException:
            self._socket.close()
            raise

    @property
    def port(self) -> int:
        """The port the kernel chose."""
        return int(self._socket.getsockname()[1])

    def _accept_again(self) -> None:
        self._socket.listen(QUEUE)
        asyncio.get_running_loop().add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        try:
            sock, name = self._socket.accept()
        except OSError:  # the client is gone already, or this process has no descriptor left just now
            return
        sock.settimeout(0)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._crew.start(self._welcome(Arrival(sock, peer(name), time.time())))
        task.add_done_callback(lambda _: sock.close())  # also when it is cancelled before its first step

    async def fall_silent(self) -> None:
        """Drop every SYN from now on. RuntimeError where this kernel answers all the same."""
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.listen(0)
        for _ in range(QUEUE):
            if not await self._block_queue():
                return
        raise RuntimeError("this kernel answers SYNs although the accept queue is full")

    async def _block_queue(self) -> bool:
        blocker = nonblocking()
        self._blockers.append(blocker)
        try:
            async with asyncio.timeout(UNANSWERED_AFTER):
                await asyncio.get_running_loop().sock_connect(blocker, self._socket.getsockname())
        except TimeoutError:
            self._blockers.pop().close()
            return False
        return True

    def speak_again(self) -> None:
        """Answer SYNs again; nothing that happened in between is left over."""
        self._release()
        while True:
            try:
                leftover, _ = self._socket.accept()
            except OSError:
                break
            leftover.close()
        self._accept_again()

    def _release(self) -> None:
        while self._blockers:
            self._blockers.pop().close()

    async def shut(self) -> None:
        """Close the socket and end every connection that came in by it."""
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        self._release()
        await self._crew.dismiss()
