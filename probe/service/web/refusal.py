"""What somebody is told whose request is not granted: in text for scripts, JSON below /api, a page for browsers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from aiohttp import web

from probe.report.markup import element, html
from probe.report.text import visible
from probe.service.web.layout import page

PLACES = (
    ("/", "the status page"),
    ("/metrics", "metrics for Prometheus"),
    ("/probe", "one session now: ?path=NAME[&service=SERVICE] or ?target=HOST[:PORT]&module=SERVICE"),
    ("/api/v1/sessions", "sessions as JSON"),
    ("/api/v1/outages", "outages as JSON"),
    ("/config", "the configuration that is in force"),
    ("/-/healthy", "whether the daemon lives"),
    ("/-/ready", "whether it has begun"),
)
"""Where to go, for whoever went astray."""


@dataclass(slots=True)
class Refusal(Exception):
    """Why not, in one or more lines that say what to do next. It never holds a secret."""

    status: int
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)
    links: tuple[tuple[str, str], ...] = ()


def answer(request: web.Request, refusal: Refusal) -> web.Response:
    """The refusal in the form that the client reads."""
    if request.path.startswith("/api/"):
        body = json.dumps({"status": "error", "error": refusal.text}) + "\n"
        made = web.Response(status=refusal.status, text=body, content_type="application/json")
    elif "text/html" in request.headers.get("Accept", ""):
        made = web.Response(status=refusal.status, text=_page(refusal), content_type="text/html")
    else:
        places = "".join(f"  {place}  {meaning}\n" for place, meaning in refusal.links)
        made = web.Response(status=refusal.status, text=f"{visible(refusal.text)}\n{places}")
    made.headers.update(refusal.headers)
    return made


def astray(path: str) -> Refusal:
    """Nothing is here."""
    return Refusal(404, f"There is nothing at {path[:200]}. What there is:", links=PLACES)


def _page(refusal: Refusal) -> str:
    title = HTTPStatus(refusal.status).phrase
    places = [
        html(element("dt", element("a", place, href=place)), element("dd", meaning)) for place, meaning in refusal.links
    ]
    body = html(
        element("h1", f"{refusal.status} {title}"),
        [element("p", line) for line in refusal.text.splitlines()],
        element("dl", places, class_="places") if places else None,
        element("p", element("a", "To the status page", href="/")) if not places else None,
    )
    return page(f"{refusal.status} {title}", body)
