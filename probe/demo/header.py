"""Reading a PROXY header off a socket before anybody else may speak on it (version 1 or 2).

The header is plain text or binary in front of everything, TLS included, so it is read from the bare socket, byte for
byte: not one byte of what follows may be taken. Syntax is proxy-protocol's; time limit and evidence are ours.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass
from enum import StrEnum

from proxyprotocol.detect import ProxyProtocolDetect
from proxyprotocol.reader import ProxyProtocolReader
from proxyprotocol.result import ProxyResult, is_ipv4, is_ipv6

from probe.model import Peer, plain_address

LONGEST_V1 = 107
"""Bytes of the longest version 1 header (PROXY protocol, section 2.1)."""


class Missing(StrEnum):
    """Why there is no header."""

    TIMED_OUT = "timed out"
    GONE = "gone"
    NOT_A_HEADER = "not a header"


@dataclass(frozen=True, slots=True)
class NoHeader:
    """A client that did not send a header, and what it sent instead."""

    why: Missing
    sent: bytes


class _Bytes:
    """What proxy-protocol reads from: exactly as much as it asks for."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.taken = b""

    async def readexactly(self, n: int) -> bytes:
        wanted = len(self.taken) + n
        start = len(self.taken)
        while len(self.taken) < wanted:
            chunk = await asyncio.get_running_loop().sock_recv(self._socket, wanted - len(self.taken))
            if not chunk:
                raise EOFError
            self.taken += chunk
        return self.taken[start:]

    async def readline(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            if len(self.taken) > LONGEST_V1:
                raise ValueError("a header of version 1 has an end")
            line += await self.readexactly(1)
        return line


async def read_header(sock: socket.socket, real: Peer, seconds: float) -> Peer | NoHeader:
    """The client a header names: `real` where it claims none (LOCAL, UNKNOWN)."""
    source = _Bytes(sock)
    try:
        async with asyncio.timeout(seconds):
            return claimed(await ProxyProtocolReader(ProxyProtocolDetect()).read(source), real)
    except TimeoutError:
        return NoHeader(Missing.TIMED_OUT, source.taken)
    except (OSError, EOFError):
        return NoHeader(Missing.GONE, source.taken)
    except (ValueError, LookupError, struct.error):
        return NoHeader(Missing.NOT_A_HEADER, source.taken)


def claimed(result: ProxyResult, real: Peer) -> Peer:
    """Whom a header speaks for."""
    if is_ipv4(result) or is_ipv6(result):
        return Peer(plain_address(str(result.source[0])), result.source[1])
    return real


def escaped(sent: bytes) -> str:
    r"""Bytes as Postfix logs them.

    >>> escaped(bytes([22, 3, 1]) + b"a")
    '\\026\\003\\001a'
    """
    return "".join(chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}" for byte in sent)
