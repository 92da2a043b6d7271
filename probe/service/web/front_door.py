"""Where connections come in: bound sockets, how many may be open at once, TLS by what is configured at that moment.

- Connections count from the moment they are accepted, before any handshake: whoever only connects uses up descriptors
  too, and sessions need them.
- Those with a request under way may be as many as there are endpoints to ask `/probe` for; those without are bounded by
  themselves, for under TLS each takes a quarter of a MiB, and nobody has been asked for a password yet.
- With either house full somebody without a request under way makes room, be it in a handshake: of the client with most
  of them whoever is quiet longest, so that nobody who only holds connections shuts out others. Without one the newcomer
  is turned away.
- Between two connections everything else has its turn, however many wait.
- Every connection asks `tls` anew, so a renewed certificate serves the next client.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from traceback import clear_frames

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from probe.notices import Once
from probe.service.web.connection import Connection, Patience
from probe.settings.values import Listen

MOST_CONNECTIONS = 256
"""Without a request under way, and of all but those that wait for `/probe`, who have places beside them (app.py)."""

BACKLOG = 128
CLOSING = 1.0
"""Seconds for the other side to end TLS."""

PAUSE = 1.0
"""Seconds without accepting, when this process or the machine has no descriptors left."""

_SCARCE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_WHY = {
    errno.EADDRINUSE: "something listens there already; stop it, or choose another port in web.listen",
    errno.EADDRNOTAVAIL: "this machine does not have that address; see `ip address`",
    errno.EACCES: "ports below 1024 need a privilege (CAP_NET_BIND_SERVICE); choose a higher one in web.listen",
}


class CannotListen(OSError):
    """Nothing can be served at the address of web.listen; the text says why and what to do."""


async def bound(listen: Listen) -> list[socket.socket]:
    """Listening sockets, one for each address that the host has (none: all of the machine's). CannotListen."""
    sockets: list[socket.socket] = []
    try:
        loop, flags = asyncio.get_running_loop(), socket.AI_PASSIVE
        found = await loop.getaddrinfo(listen.host or None, listen.port, type=socket.SOCK_STREAM, flags=flags)
        for family, _, _, _, address in dict.fromkeys(found):
            try:
                sockets.append(_bound(family, address))
            except OSError as error:
                if error.errno != errno.EAFNOSUPPORT or listen.host:  # a machine without IPv6, asked for everything
                    raise
        if not sockets:
            raise OSError(errno.EAFNOSUPPORT, "no address family")
    except OSError as error:
        for one in sockets:
            one.close()
        raise CannotListen(_refused(listen, error)) from None
    return sockets


def _bound(family: int, address: object) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)  # type: ignore[arg-type]  # as getaddrinfo gave it
        made.listen(BACKLOG)
        made.settimeout(0)
    except OSError:
        made.close()
        raise
    return made


def _refused(listen: Listen, error: OSError) -> str:
    host = f"[{listen.host}]" if ":" in listen.host else listen.host
    reason = _WHY.get(error.errno or 0, "see that the host of web.listen is one of this machine's")
    return f"cannot serve on {host}:{listen.port} ({(error.strerror or str(error)).lower()}): {reason}"


class FrontDoor:
    """Accepts connections. `behind` makes what serves one, `tls` says how it is spoken to (None: in clear)."""

    def __init__(
        self,
        behind: Callable[[], RequestHandler],
        tls: Callable[[], Awaitable[ssl.SSLContext | None]],
        *,
        patience: Patience,
        most: Callable[[], int] = lambda: MOST_CONNECTIONS,
        quiet: int = MOST_CONNECTIONS,
    ) -> None:
        self._behind = behind
        self._tls = tls
        self._patience = patience
        self._most = most
        self._quiet = quiet
        self._connections: set[Connection] = set()
        self._welcoming: set[asyncio.Task[None]] = set()
        self._accepting: list[asyncio.Task[None]] = []
        self._once = Once()

    def open(self, sockets: Sequence[socket.socket]) -> None:
        """Begin to accept."""
        loop = asyncio.get_running_loop()
        self._accepting = [loop.create_task(self._accept(one)) for one in sockets]

    async def close(self) -> None:
        """Accept no more. Connections that are open stay so: the server sees to them."""
        tasks = [*self._accepting, *self._welcoming]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with listening:
            while True:
                await asyncio.sleep(0)  # accepting does not wait while somebody is there
                try:
                    peer, (client, *_) = await loop.sock_accept(listening)
                except OSError as error:
                    if error.errno in _SCARCE:
                        event = "the web server cannot accept connections"
                        self._once.warn(event, kind="scarce", reason=error.strerror)
                        await asyncio.sleep(PAUSE)
                    continue
                most = self._most()
                if not self._has_room(most):
                    self._once.warn("the web server is full and turns connections away", kind="full", most=most)
                    peer.close()
                    continue
                guest = Connection(self._behind(), self._patience, self._connections, peer, client)
                task = loop.create_task(self._welcome(guest, peer))
                self._welcoming.add(task)
                task.add_done_callback(self._welcoming.discard)

    async def _welcome(self, guest: Connection, peer: socket.socket) -> None:
        """One connection, up to where it is handed over."""
        loop = asyncio.get_running_loop()
        try:
            context = await self._tls()
        except BaseException as error:
            guest.hang_up()
            peer.close()
            if isinstance(error, OSError):  # it says so itself
                return
            raise
        handshake = self._patience.handshake if context else None
        shutdown = CLOSING if context else None
        try:
            await loop.connect_accepted_socket(
                lambda: guest, peer, ssl=context, ssl_handshake_timeout=handshake, ssl_shutdown_timeout=shutdown
            )
        except OSError as error:  # a handshake that failed is the client's business
            guest.hang_up()
            clear_frames(error.__traceback__)  # a circle that holds 256 KiB of asyncio's TLS until it is collected
        except BaseException:
            guest.hang_up()  # the socket is its transport's to close: its number must not be another's before that
            raise

    def _has_room(self, most: int) -> bool:
        """Whether one more may come, also because somebody has made room."""
        quiet = [one for one in self._connections if not one.busy]
        if len(self._connections) < most and len(quiet) < self._quiet:
            return True
        if quiet:
            held = Counter(one.client for one in quiet)
            min(quiet, key=lambda one: (-held[one.client], one.quiet_since)).hang_up()
        return bool(quiet)


def connection_of(request: web.BaseRequest) -> Connection | None:
    """The connection that a request came in on."""
    transport = request.transport
    protocol = transport.get_protocol() if transport is not None else None
    return protocol if isinstance(protocol, Connection) else None
