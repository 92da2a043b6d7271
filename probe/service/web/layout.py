"""The frame around every page, and the few things that all pages show alike. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from probe import __version__
from probe.model import Severity
from probe.report.json import timestamp
from probe.report.markup import Content, Html, element, html
from probe.report.text import span
from probe.service.web.assets import SCRIPT, STYLE, icon_of

MARKS = {Severity.OK: "✓", Severity.WARNING: "!", Severity.CRITICAL: "✕", Severity.UNKNOWN: "?"}
"""A verdict is told by its words, its mark and its colour; any one of them is enough."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """What stands around a page. `every`: seconds after which the script looks again; None: the page stays as it is.

    `now`: wall time as the page was made, so that the script counts by the server's clock.
    """

    vantage: str = ""
    severity: Severity = Severity.UNKNOWN
    every: float | None = None
    now: float | None = None


WAYS = (("/", "Status"), ("/api/v1/outages", "Outages (JSON)"), ("/metrics", "Metrics"), ("/config", "Configuration"))


def page(title: str, main: Html, frame: Frame = Frame()) -> str:
    """A whole document."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("title", title),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("link", rel="icon", type="image/svg+xml", href=icon_of(frame.severity), id="icon"),
        element("link", rel="stylesheet", href=STYLE),
        element("script", src=SCRIPT, defer=True),
    )
    now = timestamp(frame.now) if frame.now is not None else None
    body = element(
        "body",
        element("a", "Skip to the content", href="#main", class_="skip"),
        _header(frame.vantage),
        element("p", id="lost", role="alert", hidden=True),
        element("main", main, id="main", tabindex="-1", data_every=frame.every, data_now=now),
        element("footer", element("p", f"mailprobe {__version__}"), class_="foot"),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _header(vantage: str) -> Html:
    ways = [element("li", element("a", name, href=place)) for place, name in WAYS]
    return element(
        "header",
        element("a", "mailprobe", href="/", class_="brand"),
        element("span", "from ", element("b", vantage), class_="vantage") if vantage else None,
        element("nav", element("ul", ways), aria_label="Pages"),
        element("span", id="pulse", hidden=True),
        class_="top",
    )


def section(title: str, *content: Content, identity: str, class_: str = "card") -> Html:
    """A part of a page under its heading."""
    heading = element("h2", title, id=f"{identity}-title")
    return element("section", heading, *content, id=identity, class_=class_, aria_labelledby=f"{identity}-title")


def badge(severity: Severity, words: str) -> Html:
    """A verdict in words, with the mark and the colour of its severity."""
    mark = element("span", MARKS[severity], class_="mark", aria_hidden="true")
    return element("span", mark, " ", words, class_=f"badge {severity}")


def moment(wall: float) -> Html:
    """A moment, told in UTC; the script tells it in the reader's own zone."""
    text = timestamp(wall)
    return element("time", f"{text[:10]} {text[11:19]} UTC", datetime=text, class_="moment")


def clock_time(wall: float) -> Html:
    """The time of day of a recent moment; its date stands in the attribute."""
    text = timestamp(wall)
    return element("time", f"{text[11:16]} UTC", datetime=text, class_="clock", title=f"{text[:10]} {text[11:19]} UTC")


def day_time(wall: float) -> Html:
    """A moment in short."""
    text = timestamp(wall)
    return element("time", f"{text[:10]} {text[11:16]} UTC", datetime=text, class_="brief")


def breakable(text: str) -> Html:
    """A path or an address of something, which a narrow column breaks behind its slashes."""
    return html([html(part, element("wbr")) for part in re.split(r"(?<=/)", text)])


def lasting(since: float, now: float) -> Html:
    """For how long something has been so; the script counts on."""
    return element("time", span(now - since), datetime=timestamp(since), class_="lasting")


def ago(wall: float, now: float) -> Html:
    """How long ago something was; the script counts on."""
    return html(lasting(wall, now), " ago")


def table(caption: str, headings: tuple[str, ...], rows: list[Html], *, class_: str = "") -> Html:
    """A table that scrolls by itself where the screen is narrow. Its roles are said, for a style may stack it."""
    above = [element("th", heading, scope="col", role="columnheader") for heading in headings]
    head = element("thead", element("tr", above, role="row"), role="rowgroup")
    body = element("tbody", rows, role="rowgroup")
    made = element("table", element("caption", caption, class_="unseen"), head, body, role="table")
    return scrolling(made, caption, class_=class_)


def scrolling(content: Html, name: str, *, class_: str = "") -> Html:
    """Something wide, which scrolls by itself; by keyboard too."""
    classes = f"scroll {class_}".strip()
    return element("div", content, class_=classes, tabindex="0", role="region", aria_label=name)


def session_link(identity: str, *words: Content, about: str = "", class_: str | None = None) -> Html:
    """A link to a session; `about` is for whoever hears of the link alone."""
    unseen = element("span", about, class_="unseen") if about else None
    return element("a", *words, unseen, href=f"/sessions/{quote(identity, safe='')}", class_=class_)
