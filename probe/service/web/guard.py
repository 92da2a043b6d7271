"""What every request passes, from the outside in: answers in good form, who may come in, and how many at once.

- No page holds a style or a script, and none may be framed, fetched or posted to by another site.
- A handler says no with `Refusal`; whatever else it raises is a bug of ours: it is logged, and the client learns
  no more than that.
- On loopback without users, only who asks for loopback: no site can lend its name to it (DNS rebinding).
- Pages and probes have places of their own: a page that many look at keeps no probe waiting, and the other way round.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from probe.notices import warn
from probe.service.web.connection import LARGEST_BODY
from probe.service.web.front_door import connection_of
from probe.service.web.headers import SECURITY
from probe.service.web.own_name import is_loopback, is_own_name
from probe.service.web.password import Crowded, Doorkeeper
from probe.service.web.refusal import PLACES, Refusal, answer, astray
from probe.service.web.site import site_of
from probe.service.web.standing import InForce, Standing
from probe.service.web.web_config import ClientAuth
from probe.service.web.web_tls import allowed

CHALLENGE = {"WWW-Authenticate": 'Basic realm="mailprobe", charset="UTF-8"'}


@dataclass(slots=True)
class Places:
    """How many requests of a kind may be under way; a reload may change how many these are."""

    most: Callable[[], int]
    taken: int = 0


class Bucket:
    """A token bucket, as the toolkit's rate_limit: one more every `interval` seconds, at most `burst` saved up."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._limit: tuple[float, int] | None = None
        self._saved, self._filled = 0.0, 0.0

    def takes(self, limit: tuple[float, int] | None) -> bool:
        """Whether one more request may come."""
        now = self._clock()
        if limit is None:
            return True
        interval, burst = limit
        if limit != self._limit:
            self._limit, self._saved, self._filled = limit, float(burst), now
        self._saved = min(self._saved + (now - self._filled) / interval, float(burst))
        self._filled = now
        if self._saved < 1.0:
            return False
        self._saved -= 1.0
        return True


class FailedLogins:
    """Tells of failed logins: the first at once, others of the `quiet` seconds after it by their number."""

    def __init__(self, quiet: float) -> None:
        self._quiet = quiet
        self._untold = 0
        self._latest: str | None = None
        self._next: asyncio.TimerHandle | None = None

    def one(self, client: str | None) -> None:
        """One more. The name that was tried is not told: it may be a password in the wrong field."""
        self._untold, self._latest = self._untold + 1, client
        if self._next is None:
            self._tell()

    def close(self) -> None:
        """Tell what has not been told yet."""
        self._tell()
        if self._next is not None:
            self._next.cancel()

    def _tell(self) -> None:
        self._next = None
        if self._untold:
            warn("a login to the web server failed", client=self._latest, failed_since_last_told=self._untold)
            self._untold = 0
            self._next = asyncio.get_running_loop().call_later(self._quiet, self._tell)


def well_formed() -> Middleware:
    """The outermost: every answer has its headers, every refusal its form, and the connection knows it is busy."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        connection = connection_of(request)
        if connection is not None:
            connection.request_begins()
        try:
            response = await _answered(request, handler)
        finally:
            if connection is not None:
                connection.request_ends()
        for name, value in SECURITY.items():
            response.headers.setdefault(name, value)
        for name, value in site_of(request).standing.in_force.config.headers.items():
            if value:
                response.headers[name] = value
            else:
                response.headers.popall(name, None)
        return response

    return middleware


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refusal as refusal:
        return answer(request, refusal)
    except web.HTTPException as error:
        return answer(request, _routed(request, error))
    except TimeoutError:
        return answer(request, Refusal(503, "That took too long; try again later.", {"Retry-After": "10"}))
    except Exception as error:  # the edge of the web server: our own bugs end here, and the daemon goes on
        trace = "".join(traceback.format_exception(error))[-4_000:]
        warn("the web server failed on a request", path=request.path[:200], trace=trace)
        return answer(request, Refusal(500, "The daemon failed on this request; its log says where."))


def _routed(request: web.Request, error: web.HTTPException) -> Refusal:
    match error:
        case web.HTTPNotFound():
            return astray(request.path)
        case web.HTTPMethodNotAllowed():
            methods = ", ".join(sorted(error.allowed_methods))
            text = f"{request.method[:20]} is not possible here, only {methods}."
            return Refusal(405, text, {"Allow": methods}, PLACES)
    return Refusal(error.status, f"{error.reason}.")


def welcome(standing: Standing, doorkeeper: Doorkeeper, failed: FailedLogins, bucket: Bucket) -> Middleware:
    """Who may come in, by the web-config that is in force, and from which site."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        in_force = await standing.now()
        if not bucket.takes(in_force.config.rate):
            raise Refusal(429, "Too many requests, by rate_limit of the web-config file.", {"Retry-After": "1"})
        _by_own_name(request, in_force)
        _secure(request, in_force)
        await _known(request, in_force, doorkeeper, failed)
        _own_site(request)
        if (request.content_length or 0) > LARGEST_BODY:
            raise Refusal(413, f"No request here needs more than {LARGEST_BODY} bytes.", {"Connection": "close"})
        return await handler(request)

    return middleware


def _by_own_name(request: web.Request, in_force: InForce) -> None:
    """Who names no host is no browser; users and TLS ask for more than another site has."""
    listen, named = site_of(request).station.settings.web.listen.host, request.headers.get(hdrs.HOST)
    if named is None or not is_loopback(listen) or in_force.config.users or in_force.config.tls:
        return
    if not is_own_name(named, listen):
        next_step = "have the proxy in front of it send Host: localhost, or set web.config_file with users or TLS"
        raise Refusal(403, f"This server listens on loopback and is asked by another name: {next_step}.")


def _secure(request: web.Request, in_force: InForce) -> None:
    tls = in_force.config.tls
    if tls is None:
        return
    certificate = request.transport.get_extra_info("peercert") if request.transport else None
    if not request.secure:
        raise Refusal(403, "This server speaks TLS now: connect again.", {"Connection": "close"})
    if tls.client_auth is ClientAuth.REQUIRED and not certificate:
        raise Refusal(403, "A client certificate is needed now: connect again.", {"Connection": "close"})
    if tls.client_allowed_sans is not None and not allowed(certificate, tls.client_allowed_sans):
        raise Refusal(403, "This certificate carries no name that is allowed here.", {"Connection": "close"})


async def _known(request: web.Request, in_force: InForce, doorkeeper: Doorkeeper, failed: FailedLogins) -> None:
    users, header = in_force.config.users, request.headers.get(hdrs.AUTHORIZATION)
    if not users:
        return
    try:
        if await doorkeeper.lets_in(header, users):
            return
    except Crowded:
        raise Refusal(503, "Too many logins at once; try again.", {"Retry-After": "5"}) from None
    if header is not None:
        failed.one(request.remote)
    raise Refusal(401, "A user name and a password are needed, or these do not fit.", CHALLENGE)


def _own_site(request: web.Request) -> None:
    """Other sites may link here, and nothing else (Fetch Metadata, RFC 6454 origins where a browser lacks it)."""
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get(hdrs.ORIGIN)
    linked = request.headers.get("Sec-Fetch-Mode") == "navigate" and request.method in (hdrs.METH_GET, hdrs.METH_HEAD)
    elsewhere = site in ("cross-site", "same-site") and not linked
    foreign = origin is not None and origin.partition("://")[2] != request.host
    if elsewhere or (foreign and site is None):
        raise Refusal(403, "Another site may link here, but not ask in its visitors' name.")


def seated(places: Places | None, seconds: float | None) -> Callable[[Handler], Handler]:
    """A handler that starts only if a place is free, and ends within so many seconds."""

    def around(handler: Handler) -> Handler:
        async def seated_handler(request: web.Request) -> web.StreamResponse:
            if places is None:
                return await handler(request)
            if places.taken >= places.most():
                raise Refusal(503, "Too many requests at once; try again.", {"Retry-After": "1"})
            places.taken += 1
            try:
                async with asyncio.timeout(seconds):
                    return await handler(request)
            finally:
                places.taken -= 1

        return seated_handler

    return around
