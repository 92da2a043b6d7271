"""Nodes of a cluster on the loopback interface: each answers its health check port with octets of the test's choice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answer(
    endpoints: object = 1, *, healthy: object = True, service: str = "mailserver/mailserver", status: str = ""
) -> bytes:
    """What kube-proxy 1.36 answers."""
    namespace, _, name = service.partition("/")
    told = {"service": {"namespace": namespace, "name": name}, "localEndpoints": endpoints}
    if healthy is not None:
        told["serviceProxyHealthy"] = healthy
    body = json.dumps(told, indent="\t").encode()
    line = status or ("200 OK" if endpoints else "503 Service Unavailable")
    return raw(line, body)


def raw(status: str, body: bytes) -> bytes:
    """An HTTP answer in Go's form."""
    head = (
        f"HTTP/1.0 {status}\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n"
        f"X-Load-Balancing-Endpoint-Weight: 1\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def says(octets: bytes) -> Serve:
    """Read the request, answer, close."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(octets)
        await writer.drain()

    return serve


@contextlib.asynccontextmanager
async def node(serve: Serve, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[int]:
    """A server for the length of the block, and its port."""

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer.transport), contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await serve(reader, writer)

    server = await asyncio.start_server(guarded, host, port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def free_port(host: str = "127.0.0.1") -> int:
    """A port on which nobody listens."""
    with socket.socket() as one:
        one.bind((host, 0))
        return int(one.getsockname()[1])
