"""Pages for people."""

from __future__ import annotations

import asyncio
import gzip

from aiohttp import hdrs, web

from probe.service.web.api import known_session
from probe.service.web.assets import ASSETS
from probe.service.web.headers import takes_gzip
from probe.service.web.refusal import Refusal, astray
from probe.service.web.session_page import session_page
from probe.service.web.site import site_of
from probe.service.web.status_page import status_page

FOREVER = "public, max-age=31536000, immutable"
"""An asset is named after its content."""

WORTH_PACKING = 4_096


async def status(request: web.Request) -> web.Response:
    """Everything at one look."""
    if request.query:
        raise Refusal(400, "The status page takes no parameters; /api/v1/sessions does.")
    return await _page(request, await status_page(site_of(request)))


async def session(request: web.Request) -> web.Response:
    """One session, and how its verdict came about."""
    record = await known_session(request)
    return await _page(request, session_page(site_of(request), record))


async def asset(request: web.Request) -> web.Response:
    """Our own style sheet, script and icons; nothing is read from a file whose name a client chose."""
    found = ASSETS.get(request.path)
    if found is None:
        raise astray(request.path)
    headers = {hdrs.CACHE_CONTROL: FOREVER, hdrs.CONTENT_TYPE: f"{found.content_type}; charset=utf-8"}
    return web.Response(body=found.body, headers=headers)


async def _page(request: web.Request, text: str) -> web.Response:
    body = text.encode()
    headers = {hdrs.CONTENT_TYPE: "text/html; charset=utf-8", hdrs.VARY: "Accept-Encoding"}
    if len(body) > WORTH_PACKING and takes_gzip(request):
        body = await asyncio.to_thread(gzip.compress, body, 5)
        headers[hdrs.CONTENT_ENCODING] = "gzip"
    return web.Response(body=body, headers=headers)
