"""The web server of the daemon: what is where (ROUTES), and how it begins and ends.

    front_door ──▶ connection ──▶ aiohttp ──▶ guard ──▶ a handler of ROUTES ──▶ what the Station shows

It reads the Station and changes nothing of it, but for `/probe` (a session within the endpoint's budget) and
`/-/reload`. Everything that is shown comes from strangers in part, so it is escaped where it is written (html.py).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from secrets import token_bytes
from types import TracebackType

from aiohttp import web
from aiohttp.typedefs import Handler
from aiohttp.web_protocol import RequestHandler

from probe.service.station import Station
from probe.service.web import administration, api, pages, probe_endpoint
from probe.service.web.connection import DEFAULT_PATIENCE, Dialogue, Patience, expecting_nothing
from probe.service.web.front_door import MOST_CONNECTIONS, FrontDoor, bound
from probe.service.web.guard import Bucket, FailedLogins, Places, seated, welcome, well_formed
from probe.service.web.password import Doorkeeper
from probe.service.web.site import SITE, Site
from probe.service.web.standing import Standing

PROBES = 64
PROBES_EACH = 2
"""Requests to `/probe` that may wait: a pair of Prometheus for each endpoint that is configured, at least PROBES. While
everything hangs all of them wait at once, and they must be told of it then."""

PAGES = 32
SCRAPES = 8
PAGE_SECONDS = 20.0
LONGEST_LINE = 4_096
MOST_HEADERS = 64
"""Each line at most LONGEST_LINE bytes; what a whole head may be is the connection's to say (LARGEST_HEAD)."""

_SILENT = logging.getLogger("probe.service.web")
"""aiohttp's own log: of broken requests, which are the clients' business. What is ours is told by guard.py."""
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False

LINGERING = 1.0
FAREWELL = 1.5
"""Seconds for requests under way when the daemon ends; it has 2 s for everything that ends together."""


@dataclass(frozen=True, slots=True)
class Route:
    """One row: where, what, and which places it takes ("": none, for it must answer in a full house too)."""

    path: str
    handler: Handler
    places: str = "pages"
    method: str = "GET"


ROUTES: tuple[Route, ...] = (
    Route("/", pages.status),
    Route("/sessions/{id}", pages.session),
    Route("/metrics", administration.metrics, "scrapes"),
    Route("/probe", probe_endpoint.probe, "probes"),
    Route("/api/v1/sessions", api.sessions),
    Route("/api/v1/sessions/{id}", api.session),
    Route("/api/v1/outages", api.outages),
    Route("/config", administration.config),
    Route("/-/healthy", administration.healthy, ""),
    Route("/-/ready", administration.ready, ""),
    Route("/-/reload", administration.reload, method="POST"),
    Route("/assets/{name}", pages.asset),
)


class Web:
    """Serves a station: `async with Web(station): …`.

    Entering it binds web.listen (CannotListen says why not) and reads web.config_file (ConfigurationError).
    `most_connections`: None is MOST_CONNECTIONS beside those that wait for `/probe`, so that these shut nobody out.
    """

    def __init__(
        self,
        station: Station,
        *,
        patience: Patience = DEFAULT_PATIENCE,
        most_connections: int | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._standing = Standing(lambda: station.settings.web.config_file)
        self._site = Site(station=station, standing=self._standing, reload_seconds=patience.reload)
        self._patience = patience
        self._most = most_connections
        self._monotonic = monotonic
        self._failed = FailedLogins(patience.telling)
        self._runner: web.AppRunner | None = None
        self._door: FrontDoor | None = None
        self.addresses: Sequence[tuple[str, int]] = ()
        """Where it serves, once it has been entered."""

    async def __aenter__(self) -> Web:
        await self._standing.begin()
        sockets = await bound(self._site.station.settings.web.listen)
        self._runner = web.AppRunner(
            self._application(),
            handle_signals=False,
            shutdown_timeout=FAREWELL,
        )
        await self._runner.setup()
        if self._runner.server is not None:
            self._runner.server.request_factory = expecting_nothing(self._runner.server.request_factory)
        self._open(sockets)
        return self

    async def rest(self) -> None:
        """Give the port back, and serve only connections that are open already."""
        if self._door is not None:
            await self._door.close()

    async def serve_again(self) -> None:
        """Take the port again. CannotListen: somebody else has it."""
        self._open(await bound(self._site.station.settings.web.listen))

    def _open(self, sockets: Sequence[socket.socket]) -> None:
        self.addresses = [one.getsockname()[:2] for one in sockets]
        self._door = FrontDoor(self._behind, self._tls, patience=self._patience, most=self._most_connections)
        self._door.open(sockets)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._door is not None:
            await self._door.close()
        if self._runner is not None:
            await self._runner.cleanup()
        self._failed.close()

    def _behind(self) -> RequestHandler:
        """aiohttp's side of a new connection."""
        server = self._runner.server if self._runner is not None else None
        if server is None:
            raise OSError("the web server has ended")
        return Dialogue(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # none, as its documentation has it
            logger=_SILENT,
            keepalive_timeout=self._patience.idle,
            lingering_time=LINGERING,
            max_line_size=LONGEST_LINE,
            max_field_size=LONGEST_LINE,
            max_headers=MOST_HEADERS,
        )

    def _most_probes(self) -> int:
        return max(PROBES, PROBES_EACH * len(self._site.station.ledger.accounts))

    def _most_connections(self) -> int:
        return MOST_CONNECTIONS + self._most_probes() if self._most is None else self._most

    async def _tls(self) -> ssl.SSLContext | None:
        return (await self._standing.now()).context

    def _application(self) -> web.Application:
        doorkeeper = Doorkeeper(token_bytes(32))
        application = web.Application(
            middlewares=[well_formed(), welcome(self._standing, doorkeeper, self._failed, Bucket(self._monotonic))],
            client_max_size=1,
        )
        application[SITE] = self._site
        places = {
            "probes": Places(self._most_probes),
            "pages": Places(lambda: PAGES),
            "scrapes": Places(lambda: SCRAPES),
        }
        for route in ROUTES:
            seconds = PAGE_SECONDS if route.places != "probes" else None
            handler = seated(places.get(route.places), seconds)(route.handler)
            for method in ("GET", "HEAD") if route.method == "GET" else (route.method,):
                application.router.add_route(method, route.path, handler)
        return application
