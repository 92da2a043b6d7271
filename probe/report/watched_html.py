"""A watch as one HTML file to keep, or to attach to a change ticket. Pure, but for its style sheet out of the package.

- It is whole by itself: its style stands in it, its pictures are SVG, no script and nothing from elsewhere.
- Every state is said in words; light and dark, wide and narrow, printed: the style sheet's work.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import resources

from probe import __version__
from probe.model import Gap, Watched
from probe.report.markup import Html, element, html, prose
from probe.report.text import counted
from probe.report.watched_timeline import Frame, close_up, timeline
from probe.report.watched_words import (
    ENDINGS,
    MARKS,
    Times,
    announced,
    blinds,
    cadences,
    clients,
    exactly,
    held,
    kind,
    length,
    moved,
    over,
    proved,
    runs,
    sessions,
    total,
    went,
)
from probe.verdict.shared import shared
from probe.verdict.shown import how, standing
from probe.verdict.watched import conclude

MOST_LISTED = 100
"""Outages that are listed, the longest of all."""

CONTENTS = (
    ("timeline", "Timeline"),
    ("outages", "Outages"),
    ("addresses", "Addresses"),
    ("cluster", "Cluster"),
    ("method", "How it was watched"),
)
LEGEND = (
    ("fine", "SYNs answered"),
    ("gap", "no connection (paler: not known exactly when)"),
    ("bad", "connected, but sessions critical, turned away or served late"),
    ("blind", "nobody knocked"),
    ("tick", "a session"),
)
NO_ICON = "data:,"


def render(watched: Watched, times: Times) -> str:
    """The whole document."""
    done = conclude(watched)
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("title", f"{done.severity}: {done.sentence} – mailprobe watch"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("link", rel="icon", href=NO_ICON),
        element("style", Html(_style())),
    )
    main = element(
        "main",
        _hero(watched, times),
        _timeline(watched, times),
        _outages(watched, times),
        _addresses(watched, times),
        _cluster(watched, times),
        _method(watched, times),
    )
    body = element("body", _header(), main, element("footer", element("p", f"mailprobe {__version__}", class_="soft")))
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


@cache
def _style() -> str:
    return resources.files("probe.report").joinpath("watched.css").read_text(encoding="utf-8")


def _header() -> Html:
    links = [element("li", element("a", title, href=f"#{name}")) for name, title in CONTENTS]
    return element(
        "header", element("p", "mailprobe watch"), element("nav", element("ul", links), aria_label="Contents")
    )


def _hero(watched: Watched, times: Times) -> Html:
    done, wanted = conclude(watched), watched.wanted
    told = wanted.max_outage
    tolerated = "no outage" if told is None else f"outages up to {told:g} s"
    facts = [
        ("Vantage", watched.vantage),
        ("From", times.day(watched.started)),
        ("To", times.day(watched.until)),
        ("Tolerated", tolerated),
        ("Ended", ENDINGS[watched.ending] if watched.ending else "it goes on"),
        ("Exit code", f"{done.severity.exit_code} ({done.severity}, by the rule {done.rule})"),
    ]
    heading = element("h1", element("span", f"{MARKS[done.severity]} {done.severity}", class_=f"state {done.severity}"))
    sentence = done.sentence[:1].upper() + done.sentence[1:] + "."
    return element(
        "section",
        heading,
        element("p", sentence),
        element("dl", [[element("dt", name), element("dd", value)] for name, value in facts]),
        class_=f"hero {done.severity}",
        aria_label="Result",
    )


def _section(name: str, title: str, *content: Html | list[Html] | None) -> Html:
    heading = element("h2", title, id=f"{name}-title")
    return element("section", heading, content, id=name, aria_labelledby=f"{name}-title")


def _timeline(watched: Watched, times: Times) -> Html:
    near = close_up(watched)
    more = []
    if near is not None:
        more = [element("h3", "Close-up of the longest stretch without answers"), timeline(watched, near, times)]
    legend = element("ul", [element("li", words, class_=name) for name, words in LEGEND], class_="legend")
    zone = element("p", f"All times are {times.offset(watched.started)}.", class_="soft")
    whole = Frame(watched.started, watched.until)
    return _section("timeline", "Timeline", timeline(watched, whole, times), html(more), legend, zone)


def _outages(watched: Watched, times: Times) -> Html:
    gaps = [gap for endpoint in watched.endpoints for gap in endpoint.gaps]
    if not gaps:
        return _section("outages", "Outages", element("p", "None was seen."))
    longest = sorted(gaps, key=lambda gap: -gap.seconds)[:MOST_LISTED]
    listed = sorted(longest, key=lambda gap: (gap.began.moment, str(gap.endpoint)))
    rows = [_outage(gap, gaps, times) for gap in listed]
    more = element("p", total(watched, listed)) if total(watched, listed) else None
    table = _table(("endpoint", "went", "came back", "length", "what it was"), rows, "outages")
    return _section("outages", "Outages", list(_together(watched, times)), table, more, list(_said(listed)))


def _outage(gap: Gap, gaps: list[Gap], times: Times) -> Html:
    back = html(over(gap, gaps, times), element("small", exactly(gap.ended, times)) if gap.ended else None)
    return element(
        "tr",
        element("th", str(gap.endpoint), scope="row"),
        _cell("went", went(gap, times), element("small", exactly(gap.began, times)), class_="figure"),
        _cell("came back", back, class_="figure"),
        _cell("length", length(gap), class_="figure"),
        _cell("what it was", kind(gap)),
    )


def _cell(label: str, *content: Html | str, class_: str | None = None) -> Html:
    """A cell that carries its column's name, for where there is no room for columns."""
    return element("td", content, data_label=label, class_=class_)


def _together(watched: Watched, times: Times) -> Iterator[Html]:
    for one in shared(watched.endpoints):
        if one.ended is not None and one.began.after is not None:
            yield element(
                "p",
                f"All {one.endpoints} endpoints of {one.path} were out together. If for one reason, for ",
                element("strong", f"{one.seconds:.2f} s ± {one.bound:.2f} s"),
                f": it went {exactly(one.began, times, 2)}, and came back {exactly(one.ended, times, 2)}.",
                class_="lead",
            )


def _said(listed: list[Gap]) -> Iterator[Html]:
    """What sessions in the outages say of them, each sentence once."""
    told = {}
    for gap in listed:
        if gap.judgement is not None:
            told[gap.endpoint.path, gap.judgement.rule, gap.judgement.cause] = gap
    for gap in told.values():
        judgement = gap.judgement
        if judgement is not None:
            cause = element("p", element("strong", "Cause: "), prose(judgement.cause)) if judgement.cause else None
            yield element(
                "div",
                element("p", element("strong", f"{gap.endpoint}: {how(gap)}")),
                element("p", prose(judgement.explanation)),
                cause,
                element("p", "Next: ", prose(judgement.hint), class_="soft"),
                class_="said",
            )


def _addresses(watched: Watched, times: Times) -> Html:
    rows = []
    for endpoint in watched.endpoints:
        for number, run in enumerate(runs(endpoint)):
            severity = run.first.verdict.severity
            proof = element("span", f"{MARKS[severity]} {proved(run.first)}", class_=f"state {severity}")
            name = element("th", str(endpoint.name) if number == 0 else "", scope="row")
            span = f"{times.clock(run.first.at)} to {times.clock(run.last.at)}"
            cells = (_cell("opened", span, class_="figure"), _cell("seen", proof), _cell("sessions", str(run.count)))
            rows.append(element("tr", name if number == 0 else element("td", class_="again"), *cells))
    table = _table(("endpoint", "sessions opened", "what the server saw of the client", "sessions"), rows, "addresses")
    others = clients(watched)
    meanwhile = element("p", f"In the servers' logs meanwhile: {others}.", class_="soft") if others else None
    return _section("addresses", "Clients' addresses, by sessions", table, meanwhile)


def _cluster(watched: Watched, times: Times) -> Html:
    told = [moved(one, times) for one in watched.moves] + [announced(one, times) for one in watched.announcers]
    told += [held(one, times) for one in watched.nodes]
    if not told:
        text = "Nothing is known: no topology is configured, or none of it can be seen from this vantage."
        return _section("cluster", "Who announced, and where the pod was", element("p", text))
    items = [element("li", line) for line in told]
    return _section("cluster", "Who announced, and where the pod was", element("ul", items, class_="plain"))


def _method(watched: Watched, times: Times) -> Html:
    states = []
    for endpoint in watched.endpoints:
        severity, state = standing(endpoint, watched.until)
        states.append(f"{endpoint.name} {MARKS[severity]} {state}")
    lines = [f"{line}." for line in blinds(watched, times)]
    lines += [f"{name}: {what}." for name, what in cadences(watched)]
    lines.append(f"{sessions(watched)}.")
    lines += [f"{note}." for note in watched.notes]
    lines.append(
        "A knock is one SYN whose handshake is not completed: it tells whether somebody answers, and never whose "
        "address the server sees. An edge lies between the last knock before a change and the first one after it; the "
        "moment between is told."
    )
    items = [element("li", line) for line in lines]
    at_end = element("p", f"At the end: {'; '.join(states) or 'nothing'}.")
    return _section("method", "How it was watched", at_end, element("ul", items, class_="plain"))


def _table(headings: tuple[str, ...], rows: list[Html], name: str) -> Html:
    if not rows:
        return element("p", "None.")
    head = element("thead", element("tr", [element("th", heading, scope="col") for heading in headings]))
    table = element("table", head, element("tbody", rows), class_=name, aria_label=name)
    return element(
        "div", table, class_="scroll", tabindex="0", role="region", aria_label=f"{name}, {counted(len(rows), 'row')}"
    )
