"""Other people's mail programs: sessions like the probe's, from other addresses, all the time.

Without them every line in the log would be the probe's own and finding it would prove nothing. They come by the same
virtual address, so what the network does to the probe it does to them: masked, all of them look alike.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from random import SystemRandom

from probe.model import Service

VISIT_SECONDS = 2.0
"""One whole visit at most; a demo has no time for people who wait."""

PAUSE = (0.3, 1.2)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Neighbour:
    """One client with an address of its own."""

    def __init__(self, address: str, places: Mapping[Service, tuple[str, int]], tls: ssl.SSLContext) -> None:
        self._address = address
        self._places = places
        self._tls = tls
        self._random = SystemRandom()

    async def live(self) -> None:
        """Visit one service after the other, until cancelled."""
        while True:
            service = self._random.choice(list(self._places))
            with suppress(OSError, EOFError, ValueError):
                async with asyncio.timeout(VISIT_SECONDS):
                    await self._visit(service)
            await asyncio.sleep(self._random.uniform(*PAUSE))

    async def _visit(self, service: Service) -> None:
        async with self._connected(service) as streams:
            if service.tls_first:
                await self._start_tls(streams)
            await (self._send_commands(streams) if service.speaks_smtp else self._read_mail(streams))

    @asynccontextmanager
    async def _connected(self, service: Service) -> AsyncIterator[Streams]:
        reader, writer = await asyncio.open_connection(*self._places[service], local_addr=(self._address, 0))
        try:
            yield reader, writer
        finally:
            writer.transport.abort()
            await asyncio.sleep(0)  # wait_closed() never returns where a TLS handshake was cut short

    async def _start_tls(self, streams: Streams) -> None:
        await streams[1].start_tls(self._tls, server_hostname="mail.demo.test")

    async def _send_commands(self, streams: Streams) -> None:
        await _reply(streams[0])
        extensions = await _say(streams, "EHLO neighbour.demo.test")
        if "STARTTLS" in extensions:
            await _say(streams, "STARTTLS")
            await self._start_tls(streams)
            await _say(streams, "EHLO neighbour.demo.test")
        for _ in range(self._random.randrange(4)):
            await _say(streams, self._random.choice(("NOOP", "RSET")))
        await _say(streams, "QUIT")

    async def _read_mail(self, streams: Streams) -> None:
        await _line(streams[0])
        for number, command in enumerate(("CAPABILITY", "NOOP", "LOGOUT")):
            streams[1].write(f"n{number} {command}\r\n".encode())
            while not (await _line(streams[0])).startswith(f"n{number} "):
                pass


async def _say(streams: Streams, command: str) -> str:
    streams[1].write(f"{command}\r\n".encode())
    return await _reply(streams[0])


async def _reply(reader: asyncio.StreamReader) -> str:
    lines = [await _line(reader)]
    while lines[-1][3:4] == "-":
        lines.append(await _line(reader))
    return " ".join(lines)


async def _line(reader: asyncio.StreamReader) -> str:
    line = await reader.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    return line.decode("ascii", "replace")
