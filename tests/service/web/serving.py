"""The web server on loopback, and clients that talk to it: aiohttp's, and raw ones for what no library would send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from probe.service.web import Web
from probe.service.web.connection import Patience
from tests.service.web.stage import Scripted

SOON = 5.0
"""Seconds by which something happens that is due at once."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, read to its end."""

    status: int
    headers: Any
    text: str


@dataclass(frozen=True, slots=True)
class Client:
    """Asks a server."""

    session: aiohttp.ClientSession
    base: str
    address: tuple[str, int]

    async def get(self, path: str, **more: Any) -> Answer:
        return await self.ask("GET", path, **more)

    async def ask(self, method: str, path: str, **more: Any) -> Answer:
        async with self.session.request(method, self.base + path, allow_redirects=False, **more) as answer:
            return Answer(answer.status, answer.headers, await answer.text())

    async def raw(self, sent: bytes, *, seconds: float = SOON) -> bytes:
        """Everything that comes back until the server hangs up."""
        reader, writer = await asyncio.open_connection(*self.address)
        writer.write(sent)
        try:
            async with asyncio.timeout(seconds):
                return await reader.read(-1)
        except ConnectionResetError:
            return b""
        finally:
            writer.close()


@asynccontextmanager
async def serving(
    station: Scripted, *, scheme: str = "http", patience: Patience | None = None, **more: Any
) -> AsyncIterator[Client]:
    """A client of a server that shows this station."""
    if patience is not None:
        more["patience"] = patience
    async with Web(station, **more) as web, aiohttp.ClientSession() as session:
        host, port = web.addresses[0]
        yield Client(session, f"{scheme}://{host}:{port}", (host, port))
