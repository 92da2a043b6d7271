"""One GET against peers that answer well, badly, too much and never."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from probe.topology.http_get import HEAD, HttpFault, _trusting_the_system, http_get

OK = b"HTTP/1.1 200 OK\r\n"


@contextlib.asynccontextmanager
async def peer(
    answer: bytes, *, stay: bool = False, context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that says this to everybody, and what it was asked."""
    asked: list[bytes] = []
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer)
            await writer.drain()
            if stay:
                await ended.wait()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http{'s' if context else ''}://127.0.0.1:{port}", asked
    finally:
        ended.set()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"\r\nsix by",
        OK + b"Content-Length: 6\r\n\r\nsix by",
        OK + b"content-length:6\r\nTransfer-Encoding: identity\r\n\r\nsix bytes and more",
        OK + b"Transfer-Encoding: chunked\r\n\r\n4;a=b\r\nsix \r\n2\r\nby\r\n0\r\n\r\n",
    ],
)
async def test_a_body_however_it_comes(answer: bytes) -> None:
    async with peer(answer) as (url, asked):
        got = await http_get(f"{url}/metrics?x=1", most=6)
    assert (got.status, got.body) == (200, b"six by")
    assert asked[0].startswith(b"GET /metrics?x=1 HTTP/1.0\r\nHost: 127.0.0.1:")


async def test_what_is_no_success_is_an_answer_too() -> None:
    async with peer(b"HTTP/1.0 302 Found\r\nLocation: https://elsewhere/\r\n\r\n") as (url, _):
        got = await http_get(url, most=10)
    assert (got.status, got.headers["location"]) == (302, "https://elsewhere/")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "closed within the head"),
        (b"220 mail.lab.test ESMTP Postfix\r\n", "closed within the head of its answer, it begins with '220 mail"),
        (b"220 mail.lab.test ESMTP\r\n\r\n", "no HTTP answer, it begins with '220 mail.lab.test ESMTP'"),
        (b"HTTP/2 200\r\n\r\n", "no HTTP answer"),
        (b"HTTP/1.1 2000\r\n\r\n", "no HTTP answer"),
        (OK + b"a: " + b"b" * 2 * HEAD + b"\r\n\r\n", "longer than"),
        (OK + b"Content-Length: 6\r\n\r\nsix", "closed after 3 of 6 octets"),
        (OK + b"Content-Length: -6\r\n\r\n", "Content-Length is no number"),
        (OK + b"Content-Length: 99999999999\r\n\r\n", "more than 8 octets"),
        (OK + b"\r\nnine byte", "more than 8 octets"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nffffffff\r\n", "more than 8 octets"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "chunks are broken"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nsi", "chunks are broken"),
        (OK + b"Transfer-Encoding: gzip\r\n\r\n\x1f\x8b", "chunks are broken"),
    ],
)
async def test_what_is_no_answer(answer: bytes, why: str) -> None:
    async with peer(answer) as (url, _):
        with pytest.raises(HttpFault, match=why):
            await http_get(url, most=8)


async def test_an_endless_body_ends_at_the_bound() -> None:
    async with peer(OK + b"\r\n" + b"x" * 100_000, stay=True) as (url, _):
        with pytest.raises(HttpFault, match="more than 9"):
            await http_get(url, most=9)


async def test_https_with_an_authority_of_the_system_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server_side)
    async with peer(OK + b"\r\nsecret", context=server_side) as (url, _):
        _trusting_the_system.cache_clear()
        with pytest.raises(ssl.SSLCertVerificationError):
            await http_get(url, most=9)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        _trusting_the_system.cache_clear()
        assert (await http_get(url, most=9)).body == b"secret"
    _trusting_the_system.cache_clear()


async def test_a_server_without_tls_is_no_https() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.lab.test ESMTP Postfix\r\n")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        with pytest.raises(OSError, match="SSL"):
            await http_get(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", most=9)


async def test_time_is_the_caller_s() -> None:
    async with peer(b"", stay=True) as (url, asked):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await http_get(url, most=9)
        assert asked
