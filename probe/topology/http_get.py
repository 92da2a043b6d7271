"""One GET over HTTP, bounded in bytes: for pages of a few kilobytes that a server nearby answers at once.

- asyncio's own streams do: aiohttp would cost every `--once` its import, and one GET needs no pool.
- HTTP/1.0 is asked for, so that nobody answers in chunks; who does it all the same is understood.
- Bounds: `most` octets of body, HEAD octets of status and headers. Time is the caller's: asyncio.timeout around it.
- What the other side does wrong is HttpFault; what the network does is OSError, as everywhere.
- Redirects are not followed: the answer says where to, and the configuration is what has to change.
"""

from __future__ import annotations

import asyncio
import functools
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

HEAD = 1 << 14
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: |\Z)")
_SIZE = re.compile(rb"[0-9a-fA-F]{1,8}")
_LENGTH = re.compile(r"[0-9]{1,15}")


class HttpFault(Exception):
    """The other side does not speak HTTP, or says more than it may."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def http_get(url: str, *, most: int) -> Answer:
    """GET `url`; over https the system's authorities are trusted."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    reader, writer = await asyncio.open_connection(
        parts.hostname, port, ssl=_trusting_the_system() if secure else None, limit=HEAD
    )
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        writer.write(
            f"GET {path} HTTP/1.0\r\nHost: {parts.netloc}\r\nUser-Agent: mailprobe\r\nAccept: */*\r\n\r\n".encode()
        )
        status, headers = await _head(reader)
        return Answer(status, headers, await _body(reader, headers, most))
    finally:
        writer.transport.abort()


@functools.cache
def _trusting_the_system() -> ssl.SSLContext:
    return ssl.create_default_context()


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        raise HttpFault(f"closed within the head of its answer{_beginning(error.partial)}") from None
    except asyncio.LimitOverrunError:
        raise HttpFault(f"the head of its answer is longer than {HEAD} octets") from None
    first, *lines = head[:-4].split(b"\r\n")
    status = _STATUS.match(first)
    if status is None:
        raise HttpFault(f"no HTTP answer{_beginning(first)}")
    pairs = (line.decode("latin-1").partition(":") for line in lines)
    return int(status[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str], most: int) -> bytes:
    if headers.get("transfer-encoding", "identity").lower() != "identity":
        return await _chunks(reader, most)
    length = headers.get("content-length")
    if length is not None and not _LENGTH.fullmatch(length):
        raise HttpFault("its Content-Length is no number")
    if length is not None and int(length) > most:
        raise _too_much(most)
    body = await _up_to(reader, most + 1 if length is None else int(length))
    if len(body) > most:
        raise _too_much(most)
    if length is not None and len(body) < int(length):
        raise HttpFault(f"closed after {len(body)} of {length} octets")
    return body


async def _up_to(reader: asyncio.StreamReader, most: int) -> bytes:
    body = bytearray()
    while len(body) < most and (piece := await reader.read(min(most - len(body), 1 << 16))):
        body += piece
    return bytes(body)


async def _chunks(reader: asyncio.StreamReader, most: int) -> bytes:
    """A body in chunks (RFC 9112 section 7.1); trailers are not waited for."""
    body = bytearray()
    try:
        while size := _SIZE.match(await reader.readuntil(b"\r\n")):
            if len(body) + int(size[0], 16) > most:
                raise _too_much(most)
            if not int(size[0], 16):
                return bytes(body)
            body += await reader.readexactly(int(size[0], 16))
            await reader.readexactly(2)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass
    raise HttpFault("its chunks are broken")


def _too_much(most: int) -> HttpFault:
    return HttpFault(f"more than {most} octets")


def _beginning(octets: bytes) -> str:
    return f", it begins with {octets[:40].decode('latin-1')!r}" if octets else ""
