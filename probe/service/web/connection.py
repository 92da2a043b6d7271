"""One connection: bounded in time whatever the client does, with aiohttp behind it.

    accepted ──TLS──▶ opened ──head──▶ busy ──▶ idle ──head──▶ busy ──▶ …     each state but busy ends by itself

- aiohttp waits without an end for a head that trickles in, and for a client that does not read its answer. Here a head
  has `Patience.head` seconds from its first byte (the first one from the connection), an answer that is not read
  `Patience.unread`, and a connection without a request `Patience.idle`.
- aiohttp bounds each line of a head and their number; here a whole head has LARGEST_HEAD octets, for there may be
  thousands of connections.
- A request under way is not hurried here: what answers it has its own limit.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from aiohttp import hdrs, web
from aiohttp.http import RawRequestMessage
from aiohttp.web_protocol import RequestHandler
from multidict import CIMultiDict, CIMultiDictProxy

from probe.service.web.headers import SECURITY

RequestFactory = Callable[..., web.BaseRequest]

LARGEST_HEAD = 32 * 1024
"""Octets that may come without a request under way: those of a head."""

LARGEST_BODY = 64 * 1024
"""Octets that may come while one is; nobody needs more, and requests that are sent ahead wait in memory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """Seconds: for the head of a request, for the next request, for a client to read its answer, for TLS.

    `reload`: after which whoever asks for a reload hears that it is under way. `telling`: in which failed logins are
    told once.
    """

    head: float = 10.0
    idle: float = 60.0
    unread: float = 30.0
    handshake: float = 10.0
    reload: float = 15.0
    telling: float = 60.0


DEFAULT_PATIENCE = Patience()


class Dialogue(RequestHandler):
    """aiohttp's side of a connection, with our words for what is no request: they repeat nothing of it."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002 - aiohttp's form
        message: str | None = None,  # noqa: ARG002
    ) -> web.StreamResponse:
        """The answer to something that never became a request, or that no handler could answer."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is under way already")
        broken = "This is no HTTP request, or one with longer or more header lines than are read here.\n"
        answer = web.Response(status=status, text=broken if status == 400 else "The daemon failed on this request.\n")
        answer.force_close()
        return answer

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write an answer, also one that no guard has seen, such as aiohttp's own, with the headers of every answer."""
        if hdrs.SERVER not in resp.headers:
            resp.headers.update(SECURITY)
        return await super().finish_response(request, resp, start_time)


def expecting_nothing(make: RequestFactory) -> RequestFactory:
    """Requests as if they had no `Expect`, which may be ignored (RFC 9110 section 10.1.1): no body is waited for.

    aiohttp answers it before any guard, and where no route fits by rules of its own.
    """

    def made(message: RawRequestMessage, *rest: Any) -> web.BaseRequest:
        if hdrs.EXPECT in message.headers:
            others = CIMultiDict(message.headers)
            del others[hdrs.EXPECT]
            message = message._replace(headers=CIMultiDictProxy(others))
        return make(message, *rest)

    return made


class Connection(asyncio.Protocol):
    """Passes everything on to `behind`, and hangs up on who makes it wait.

    It is in `among` from when `peer` was accepted, before any handshake, until somebody hangs up. `client`: its
    address.
    """

    def __init__(
        self, behind: RequestHandler, patience: Patience, among: set[Connection], peer: socket.socket, client: str
    ) -> None:
        self._behind = behind
        self._patience = patience
        self._among = among
        self._peer = peer
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._heard = 0
        self.client = client
        self.busy = False
        self.quiet_since = asyncio.get_running_loop().time()
        """When it was accepted, opened or last became idle: who waits longest is the first to go."""
        among.add(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=0)  # so that we hear of every byte that is not read
        self.quiet_since = asyncio.get_running_loop().time()
        self._wait(self._patience.head)
        self._behind.connection_made(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._behind.connection_lost(exc)
        self._among.discard(self)

    def data_received(self, data: bytes) -> None:
        if not self.busy and not self._heard:
            self._wait(self._patience.head)
        self._heard += len(data)
        self._behind.data_received(data)
        if self._heard > (LARGEST_BODY if self.busy else LARGEST_HEAD):
            self.hang_up()

    def eof_received(self) -> None:
        self._behind.eof_received()

    def pause_writing(self) -> None:
        self._behind.pause_writing()
        self._wait(self._patience.unread)

    def resume_writing(self) -> None:
        self._behind.resume_writing()
        if self.busy:
            self._stop_waiting()
        else:
            self._wait(self._patience.head if self._heard else self._patience.idle)

    def request_begins(self) -> None:
        """A whole head has arrived."""
        self.busy, self._heard = True, 0
        self._stop_waiting()

    def request_ends(self) -> None:
        """Its answer is made, and about to be written."""
        self.busy = False
        self.quiet_since = asyncio.get_running_loop().time()
        self._wait(self._patience.head if self._heard else self._patience.idle)

    def hang_up(self) -> None:
        """At once; its place is free from now on. A handshake finds the line dead and ends as any that fails."""
        self._stop_waiting()
        self._among.discard(self)
        if self._transport is not None:
            self._transport.abort()
        else:
            with suppress(OSError):
                self._peer.shutdown(socket.SHUT_RDWR)

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._deadline = asyncio.get_running_loop().call_later(seconds, self.hang_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
