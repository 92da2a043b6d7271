"""The JSON API: sessions and outages. What a client sends and what it gets is told in docs/http.md."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

from aiohttp import web

from probe.model import Service, Verdict
from probe.report.json import SCHEMA
from probe.service.wanted import NotKept, Wanted
from probe.service.web import records
from probe.service.web.query import Query
from probe.service.web.records import Listed, Record
from probe.service.web.refusal import Refusal
from probe.service.web.site import Site, site_of

FILTERS = ("path", "service", "verdict", "limit", "before", "after")


async def sessions(request: web.Request) -> web.Response:
    """Sessions, the latest first, without their transcripts."""
    site = site_of(request)
    wanted = wanted_of(request)
    with _kept():
        return await _listed(request, "sessions", _found(site, wanted, await records.sessions(site, wanted)))


async def session(request: web.Request) -> web.Response:
    """One session, whole."""
    record = await known_session(request)
    return await _json({"schema": SCHEMA, "vantage": site_of(request).station.settings.vantage.name, "session": record})


async def outages(request: web.Request) -> web.Response:
    """Outages, the latest first."""
    site = site_of(request)
    wanted = wanted_of(request)
    with _kept():
        return await _listed(request, "outages", _found(site, wanted, await records.outages(site, wanted)))


def wanted_of(request: web.Request) -> Wanted:
    """The filters of a list."""
    query = Query(request, FILTERS)
    return Wanted(
        path=query.text("path"),
        service=query.choice("service", Service),
        verdict=query.choice("verdict", Verdict),
        before=query.moment("before"),
        after=query.text("after"),
        limit=query.number("limit", 100, 500),
    )


@contextmanager
def _kept() -> Iterator[None]:
    try:
        yield
    except NotKept:
        text = "What `after` names is not kept, or not any more: begin anew, or go on with `before`, a time."
        raise Refusal(404, text) from None


def _found(site: Site, wanted: Wanted, listed: Listed) -> Listed:
    """A path that left the configuration is told of as long as something is kept; one that never was is a mistake."""
    known = [one.name for one in site.station.settings.paths]
    if wanted.path in (None, *known) or listed.items or not listed.complete:
        return listed
    text = "No path of that name is configured, and nothing of this kind is kept of one"
    raise Refusal(404, f"{text}: configured are {', '.join(known)}.")


async def known_session(request: web.Request) -> Record:
    """The session that the path of the request names, or a Refusal."""
    record = await records.session_record(site_of(request), request.match_info["id"])
    if record is None:
        kept = "Failures are kept longer than successes, as history.retention and history.size allow"
        text = f"No session of that id is kept. {kept}."
        raise Refusal(404, text, links=(("/", "the status page"), ("/api/v1/sessions", "sessions that are kept")))
    return record


async def _listed(request: web.Request, name: str, listed: Listed) -> web.Response:
    following = None
    if listed.more is not None:
        following = f"{request.path}?{urlencode({**request.query, 'after': listed.more})}"
    return await _json(
        {
            "schema": SCHEMA,
            "vantage": site_of(request).station.settings.vantage.name,
            name: listed.items,
            "complete": listed.complete,
            "next": following,
        }
    )


async def _json(value: object) -> web.Response:
    """ASCII only: what nobody can see is written as its number. In a thread, for a list may be long."""
    text = await asyncio.to_thread(json.dumps, value)
    return web.Response(text=text + "\n", content_type="application/json")
