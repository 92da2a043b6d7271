"""Headers of every answer: no page holds a style or a script, none is framed, kept or looked into by another site.

And what a request's say of how the answer may be packed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from aiohttp import hdrs, web

SECURITY: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
    "Server": "mailprobe",
}

_NO_GZIP = re.compile(r"gzip\s*;\s*q=0(\.0*)?\s*(,|$)")


def takes_gzip(request: web.Request) -> bool:
    """Whether the client unpacks it; a weight of 0 says that it does not (RFC 9110 section 12.5.3)."""
    accepted = request.headers.get(hdrs.ACCEPT_ENCODING, "").lower()
    return "gzip" in accepted and _NO_GZIP.search(accepted) is None
