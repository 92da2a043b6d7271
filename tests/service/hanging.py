"""Servers that take connections and keep their clients waiting."""

from __future__ import annotations

import asyncio
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
        self._held: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> HungLoki:
        self._server = await asyncio.start_server(self._hold, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        for writer in self._held:
            writer.close()
        self._server.close()

    @property
    def source(self) -> dict[str, Any]:
        """As the configuration names it."""
        port = self._server.sockets[0].getsockname()[1]
        return {"kind": "loki", "url": f"http://127.0.0.1:{port}", "query": '{a="b"}'}

    async def _hold(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._held.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        self.asked.set()
