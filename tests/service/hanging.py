"""Servers that take connections and keep their clients waiting."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from probe.demo.door import Arrival
from probe.demo.world import CLIENT


class Slow:
    """A mail server that says its greeting and nothing more; it hears what clients say, until they are gone."""

    def __init__(self, greeting: bytes) -> None:
        self.reached = asyncio.Event()
        self.gone = asyncio.Event()
        self.heard = bytearray()
        self._greeting = greeting

    async def __call__(self, arrival: Arrival) -> None:
        loop = asyncio.get_running_loop()
        is_ours = str(arrival.client.address) == CLIENT
        if self._greeting:
            await loop.sock_sendall(arrival.sock, self._greeting)
        if is_ours and not self._greeting:
            self.reached.set()
        while octets := await loop.sock_recv(arrival.sock, 1000):
            if is_ours:
                self.heard.extend(octets)
                self.reached.set()
        if is_ours:
            self.gone.set()


class HungLoki:
    """Takes requests and answers none, so that a source of it needs 6 s to begin, and its session stays open."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self._door = socket.create_server(("127.0.0.1", 0))
        self._door.settimeout(0)
        self._held: list[socket.socket] = []

    async def __aenter__(self) -> HungLoki:
        self._holding = asyncio.create_task(self._hold())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._holding.cancel()
        await asyncio.wait([self._holding])
        for one in (*self._held, self._door):
            one.close()

    @property
    def source(self) -> dict[str, Any]:
        """As the configuration names it."""
        return {"kind": "loki", "url": f"http://127.0.0.1:{self._door.getsockname()[1]}", "query": '{a="b"}'}

    async def _hold(self) -> None:
        """Sockets, no streams: an asyncio server takes no notice of who came as it closed, and leaves him open."""
        loop = asyncio.get_running_loop()
        while True:
            one, _ = await loop.sock_accept(self._door)
            self._held.append(one)
            if await loop.sock_recv(one, 4096):
                self.asked.set()
