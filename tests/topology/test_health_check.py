"""Health checks of nodes: whatever a port does ends in a value, soon."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from ipaddress import ip_address

import pytest

from probe.model import HealthPort
from probe.topology.health_check import LARGEST, UNKNOWN, Health, ask_health
from tests.topology.nodes import Serve, answer, free_port, node, raw, says

HERE = ip_address("127.0.0.1")
GARBLED = Health(port=HealthPort.GARBLED)
SILENT = Health(port=HealthPort.SILENT)


async def asked(serve: Serve, timeout: float = 5.0) -> Health:
    async with node(serve) as port:
        return await ask_health(HERE, port, timeout)


@pytest.mark.parametrize(
    ("octets", "endpoints", "healthy"),
    [
        (answer(1), 1, True),
        (answer(3), 3, True),
        (answer(0), 0, True),
        (answer(1, healthy=False, status="503 Service Unavailable"), 1, False),
        (answer(1, healthy=None), 1, None),
        (answer(1, healthy="yes"), 1, None),
        (answer(1).replace(b"HTTP/1.0", b"HTTP/1.1"), 1, True),
    ],
)
async def test_an_answer(octets: bytes, endpoints: int, *, healthy: bool | None) -> None:
    health = await asked(says(octets))
    assert health == Health(
        port=HealthPort.ANSWERED, local_endpoints=endpoints, proxy_healthy=healthy, service="mailserver/mailserver"
    )


async def test_what_is_asked() -> None:
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer())

    async with node(serve) as port:
        await ask_health(HERE, port)
    assert heard[0].startswith(b"GET /healthz HTTP/1.0\r\n")
    assert f"Host: 127.0.0.1:{port}\r\n".encode() in heard[0]


async def test_a_closed_port() -> None:
    assert await ask_health(HERE, free_port()) == Health(port=HealthPort.CLOSED)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00" * 200,
        b"HTTP/1.0 200 OK\r\n",
        raw("200 OK", b"<html>It works!</html>"),
        raw("200 OK", b'{"localEndpoints": 1'),
        raw("200 OK", b"[1]"),
        raw("200 OK", b"{}"),
        raw("200 OK", b"\xff\xfe"),
        raw("200 OK", b"[" * 5000),
        raw("200 OK", b'{"localEndpoints": ' + b"9" * 5000 + b"}"),
        answer(-1),
        answer(endpoints=True),
        answer(1.5),
        answer("1"),
        answer(10**9),
        answer(1, status="404 Not Found"),
        answer(1, status="301 Moved"),
        answer(1, status="2000 OK"),
        raw("200 OK", b'{"localEndpoints": 1, "x": "' + b"x" * LARGEST + b'"}'),
    ],
)
async def test_garbage(octets: bytes) -> None:
    assert await asked(says(octets)) == GARBLED


@pytest.mark.parametrize("name", ["a/b\nc", "a/" + "b" * 300, "a/", "/b", "A/B", "ä/b"])
async def test_a_service_that_is_no_name_is_not_repeated(name: str) -> None:
    health = await asked(says(answer(1, service=name)))
    assert (health.port, health.service) == (HealthPort.ANSWERED, None)


async def test_a_server_that_never_stops_is_left() -> None:
    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    assert await asked(flood) == GARBLED


async def test_a_reset() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    assert await asked(reset) == GARBLED


@pytest.mark.parametrize("pieces", [(), (b"HTTP/1.0 2",), (b"HTTP/1.0 200 OK\r\nContent-Length: 90\r\n\r\n", b'{"loc')])
async def test_a_slow_server_is_silent(pieces: tuple[bytes, ...]) -> None:
    gone = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        await reader.read()
        gone.set()

    start = time.monotonic()
    async with node(drip) as port:
        assert await ask_health(HERE, port, 0.1) == SILENT
        assert time.monotonic() - start < 2
        async with asyncio.timeout(5):
            await gone.wait()


async def test_an_address_that_this_machine_cannot_use_is_no_fact_about_the_node() -> None:
    assert await ask_health(ip_address("255.255.255.255"), 30234) == UNKNOWN
