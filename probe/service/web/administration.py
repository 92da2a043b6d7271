"""For programs that look after the daemon: metrics, configuration, life signs, reload."""

from __future__ import annotations

import asyncio
import gzip

from aiohttp import hdrs, web
from prometheus_client import CollectorRegistry

from probe.report.json import timestamp
from probe.service.metrics import exposition, snapshot_registry
from probe.service.web.headers import takes_gzip
from probe.service.web.refusal import Refusal
from probe.service.web.shown_config import as_yaml
from probe.service.web.site import site_of

WORTH_PACKING = 2_048
"""Bytes above which a body is sent packed, to clients that unpack it."""

STARTING = 1.0
"""Seconds after which somebody who asks whether the daemon is ready should ask again."""

UNDER_WAY = """The reload is under way. It waits for a source that hangs, or for sessions that the one before broke off,
and reads the file after that; the log and mailprobe_config_last_reload_successful tell how it ends.
"""


async def metrics(request: web.Request) -> web.Response:
    """All metrics, of this moment. Such a page may take seconds to write, so only one is written at a time."""
    site = site_of(request)
    now = snapshot_registry(site.station, site.own_troubles)
    async with site.writing:
        return await exposed(request, now)


async def exposed(request: web.Request, registry: CollectorRegistry) -> web.Response:
    """A page of metrics, packed where the client takes that. It is written in a thread."""
    accept = request.headers.get(hdrs.ACCEPT, "")
    body, content_type, packed = await asyncio.to_thread(_written, registry, accept, takes_gzip(request))
    headers = {hdrs.CONTENT_TYPE: content_type, hdrs.VARY: "Accept, Accept-Encoding"}
    if packed:
        headers[hdrs.CONTENT_ENCODING] = "gzip"
    return web.Response(body=body, headers=headers)


def _written(registry: CollectorRegistry, accept: str, packing: bool) -> tuple[bytes, str, bool]:  # noqa: FBT001
    body, content_type = exposition(registry, accept)
    packing = packing and len(body) > WORTH_PACKING
    return gzip.compress(body, 5) if packing else body, content_type, packing


async def config(request: web.Request) -> web.Response:
    """The configuration that is in force, without its secrets. That of 1,000 endpoints takes 0.2 s of a thread."""
    site = site_of(request)
    async with site.writing:
        text = await asyncio.to_thread(as_yaml, site.station.settings)
    return web.Response(text=text, content_type="application/yaml")


async def healthy(request: web.Request) -> web.Response:  # noqa: ARG001 - a handler's form
    """The event loop turns."""
    return web.Response(text="mailprobe is healthy.\n")


async def ready(request: web.Request) -> web.Response:
    """Whether probing has begun with all its sources connected or given up on."""
    waiting = site_of(request).station.waiting_for
    if waiting:
        lines = "\n".join(["mailprobe is not ready yet. It waits for:", *(f"- {one}" for one in waiting)])
        raise Refusal(503, lines, {"Retry-After": f"{STARTING:.0f}"})
    return web.Response(text="mailprobe is ready.\n")


async def reload(request: web.Request) -> web.Response:
    """Read the configuration again, and the web-config with it."""
    site = site_of(request)
    try:
        async with asyncio.timeout(site.reload_seconds):
            done = await site.station.read_configuration_again()
    except TimeoutError:
        return web.Response(status=202, text=UNDER_WAY)
    await site.standing.now()
    faults = [fault for fault in (done.fault, site.standing.trouble) if fault]
    if faults:
        raise Refusal(500, "\n".join(["The configuration was not taken, the old one goes on.", *faults]))
    return web.Response(text=f"The configuration was read again at {timestamp(site.wall(done.at))}.\n")
