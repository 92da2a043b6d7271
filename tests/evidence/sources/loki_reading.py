"""A scripted Loki with a source on it, and the words the tests of both use."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from typing import Any

from probe.evidence.sources.loki import LokiSource, Patience
from probe.evidence.sources.loki_client import Access
from probe.evidence.sources.loki_http import Bounds
from tests.evidence.sources.reading import Reading, consuming
from tests.evidence.sources.scripted_loki import ScriptedLoki

QUERY = '{app="mail"}'
POD = {"app": "mail", "pod": "mail-0"}
OTHER_POD = {"app": "mail", "pod": "mail-1"}
SECOND = 1_000_000_000

BRISK = Patience(
    poll=0.02,
    hurried=0.005,
    check=0.05,
    every_deep=0.2,
    start=2.0,
    quiet=0.3,
    again=0.02,
    refused=0.3,
    lived=0.5,
    bounds=Bounds(connect=1.0, answer=2.0, silence=2.0),
)


def now() -> int:
    return time.time_ns()


def access(loki: ScriptedLoki, **more: Any) -> Access:
    return Access(**{"url": loki.url, "query": QUERY, **more})


@asynccontextmanager
async def serving(**how: Any) -> AsyncIterator[ScriptedLoki]:
    loki = ScriptedLoki(**how)
    await loki.serve()
    try:
        yield loki
    finally:
        await loki.kill()


@asynccontextmanager
async def behind_tls(loki: ScriptedLoki, context: ssl.SSLContext) -> AsyncIterator[int]:
    """A proxy that takes TLS off."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(OSError):
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", loki.port)
            await asyncio.gather(pipe(reader, inner_writer), pipe(inner_reader, writer))

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            while chunk := await reader.read(65536):
                writer.write(chunk)
                await writer.drain()

    server = await asyncio.start_server(carry, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@asynccontextmanager
async def reading_loki(loki: ScriptedLoki, patience: Patience = BRISK, **more: Any) -> AsyncIterator[Reading]:
    """Follow it from what it holds now."""
    async with consuming(LokiSource(access(loki, **more), clock=time.time, patience=patience)) as consumer:
        yield consumer


async def swept(loki: ScriptedLoki, consumer: Reading, times: int = 12) -> None:
    """So many queries later: whatever could come twice has come twice by now, for a deep one was among them."""
    until, asked = time.monotonic() + 2 * BRISK.every_deep, len(loki.queries) + times
    await consumer.until(lambda: len(loki.queries) >= asked and time.monotonic() > until)
