"""`/probe`: sessions now, for Prometheus and its operator's Probe resource, and their metrics alone.

    ?path=NAME[&service=S]              endpoints of a path, side by side
    ?target=HOST[:PORT]&module=SERVICE  the same, by the words that the operator's Probe resource uses

- Only endpoints of the configuration are probed; anything else is a 403, so nobody probes others through us.
- A session that failed is an answer: 200 with `probe_success 0`; so is one that is not judged when time is up, with
  what is known of it. Without a session there is no answer: 503, without `probe_success`, and Prometheus records
  `up 0`.
- With `debug=true` the answer is for people: what was said, what was seen, which rule fired, then the metrics.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from aiohttp import web
from prometheus_client import CollectorRegistry

from probe.model import Address, EndpointName, Round, Service, plain_address
from probe.report.text import one_line
from probe.service.cycle import SESSIONS
from probe.service.ledger import Account
from probe.service.metrics import exposition, probe_registry
from probe.service.station import Asked, Station
from probe.service.survey import BOUND
from probe.service.web.administration import exposed
from probe.service.web.query import Query
from probe.service.web.refusal import Refusal
from probe.service.web.shown_session import as_text
from probe.service.web.site import Site, site_of
from probe.settings import Settings

TIMEOUT_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"
MARGIN = 0.5
"""Seconds of a scrape that are left for the way of the answer; of a short one, a fifth."""

GRACE = 2.0
"""Seconds that the station may answer late, before we stop waiting for it."""

Probed = Mapping[EndpointName, Asked]

PARAMETERS = ("path", "service", "target", "module", "debug")
_TARGET = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:.%\w]+)\]|(?P<name>[^\s:/\[\]]+))(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Place:
    """A host as a target names it; without a port, every one."""

    host: str | Address
    port: int | None


async def probe(request: web.Request) -> web.Response:
    """Open the sessions and tell of them."""
    site = site_of(request)
    query = Query(request, PARAMETERS)
    debug = query.flag("debug")
    names = _names(query, site.station.ledger.accounts.values())
    seconds = _seconds(request, site.station.settings)
    began = site.station.clock()
    asked = await asyncio.gather(*(_ask(site.station, name, seconds) for name in names))
    probed = dict(zip(names, asked, strict=True))
    _refuse_a_part(probed)
    took = site.station.clock() - began
    if debug:
        return web.Response(text=_debug(site, probed, took))
    return await exposed(request, _registry(site, probed, took))


def _names(query: Query, accounts: Iterable[Account]) -> tuple[EndpointName, ...]:
    """Which endpoints are meant, all of them configured: the ledger has an account of each; a Refusal otherwise."""
    path, target = query.text("path"), query.text("target")
    if (path is None) == (target is None):
        found = "both" if path is not None else "neither"
        raise Refusal(400, f"Expected path=NAME or target=HOST[:PORT], one of them; found {found}.")
    other = "module" if target is None else "service"
    if query.text(other) is not None:
        beside = "path, the service is named by service" if target is None else "target, it is named by module"
        raise Refusal(400, f"{other} does not go with {beside}.")
    if path is not None:
        service = query.choice("service", Service)
        known = [one.endpoint for one in accounts]
        chosen = [one for one in known if one.path == path and service in (None, one.service)]
        if not chosen:
            raise Refusal(403, _unknown_path(path, service, known))
        return tuple(chosen)
    service, place = query.choice("module", Service), _place(target or "")
    chosen = [one.endpoint for one in accounts if service in (None, one.endpoint.service) and _is_at(one, place)]
    if not chosen:
        raise Refusal(403, "Only hosts and services of the configuration are probed; this target is none of them.")
    return tuple(chosen)


def _unknown_path(path: str, service: Service | None, endpoints: Sequence[EndpointName]) -> str:
    """The status page shows the same names to the same people, so telling them gives nothing away."""
    services = [str(one.service) for one in endpoints if one.path == path]
    if services:
        return f"The path {one_line(path, 60)} has no {service}, only {', '.join(dict.fromkeys(services))}."
    paths = ", ".join(dict.fromkeys(one.path for one in endpoints))
    return f"No path of that name is configured; there are: {paths}."


def _place(target: str) -> Place:
    """HOST, HOST:PORT, or an IPv6 address with or without brackets.

    >>> _place("Mail.example.org:25"), _place("2001:db8::1").port
    (Place(host='mail.example.org', port=25), None)
    """
    try:
        return Place(plain_address(target), None)
    except ValueError:
        pass
    found = _TARGET.fullmatch(target)
    port = int(found["port"]) if found and found["port"] else None
    if found is None or (port is not None and not 0 < port < 65_536):
        expected = "HOST, HOST:PORT or [IPv6]:PORT, without a scheme or a path"
        raise Refusal(400, f"target is {one_line(repr(target), 60)}: expected {expected}.")
    return Place(_host(found["v6"] or found["name"]), port)


@lru_cache(maxsize=4_096)  # of a thousand endpoints all are looked at for each target
def _host(text: str) -> str | Address:
    try:
        return plain_address(text)
    except ValueError:
        return text.lower().rstrip(".")


def _is_at(account: Account, place: Place) -> bool:
    return place.port in (None, account.endpoint.port) and _host(account.host) == place.host


def _seconds(request: web.Request, settings: Settings) -> float:
    """How long the answer may take: what the scraper waits, less a margin; at most what a session may cost."""
    longest = _longest(settings)
    given = request.headers.get(TIMEOUT_HEADER)
    if given is None:
        return longest
    try:
        timeout = float(given)
    except ValueError:
        timeout = math.nan
    if not 0.0 < timeout < math.inf:
        raise Refusal(400, f"{TIMEOUT_HEADER} is {one_line(repr(given), 60)}: expected seconds, like 10 or 4.5.")
    return min(timeout - min(MARGIN, timeout / 5), longest)


def _longest(settings: Settings) -> float:
    """Seconds of one verdict with all that its timeouts allow: attempts that could not be told from others and a trust
    check, or one that failed with its control connections; then the look for a cause.
    """
    limits = settings.timeouts
    return (SESSIONS + 1) * (limits.session + limits.evidence) + BOUND


async def _ask(station: Station, name: EndpointName, seconds: float) -> Asked:
    try:
        async with asyncio.timeout(seconds + GRACE):
            return await station.ask(name, seconds=seconds)
    except TimeoutError:
        return Asked(refusal=f"no session ended within {seconds:.1f} s")


def _refuse_a_part(probed: Probed) -> None:
    """A Refusal, where some endpoint had no session: a part of them would look like all of them."""
    refused = {name: one for name, one in probed.items() if one.result is None and not one.unfinished}
    if refused:
        lines = [f"{name}: {one.refusal or 'no session'}" for name, one in refused.items()]
        waits = [one.retry_after for one in refused.values() if one.retry_after is not None]
        headers = {"Retry-After": str(max(math.ceil(max(waits)), 1))} if waits else {}
        raise Refusal(503, "\n".join(["There is no answer, which proves nothing about the server.", *lines]), headers)


def _registry(site: Site, probed: Probed, took: float) -> CollectorRegistry:
    station = site.station
    done = Round(
        vantage=station.settings.vantage.name,
        started=station.clock() - took,
        seconds=took,
        results=tuple(one.result for one in probed.values() if one.result is not None),
        topology=station.topology,
        networks=station.settings.networks,
    )
    return probe_registry(done, site.wall, [name for name, one in probed.items() if one.unfinished])


def _debug(site: Site, probed: Probed, took: float) -> str:
    """Text for people, harmless on a terminal."""
    fresh = all(one.fresh for one in probed.values())
    stale = "" if fresh else "\nNot fresh: the budget is used up, so the last one is told.\n"
    metrics, _ = exposition(_registry(site, probed, took), "")
    told = "\n".join(as_text(one.result, site.shift) for one in probed.values() if one.result is not None)
    early = "".join(f"\n{name}: {one.unfinished}; it goes on.\n" for name, one in probed.items() if one.unfinished)
    return f"{told}{early}{stale}\nMetrics that would have been returned ({took:.3f} s):\n{metrics.decode()}"
