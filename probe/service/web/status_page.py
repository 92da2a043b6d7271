"""The status page: calm when all is well, unmistakable when not. Words and order are told in docs/http.md.

It is whole without scripts; live.js asks for the same page again and puts the differences in place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from probe.evidence.health import Heard
from probe.model import Outage, Service, Severity, Topology
from probe.report.markup import NOTHING, Content, Html, element, html, prose
from probe.report.text import counted, span
from probe.service.ledger import Account
from probe.service.web import timeline
from probe.service.web.days import day_of, days_section
from probe.service.web.layout import (
    MARKS,
    Frame,
    ago,
    badge,
    breakable,
    clock_time,
    day_time,
    lasting,
    moment,
    page,
    section,
    session_link,
    table,
)
from probe.service.web.site import Site
from probe.service.web.status import Cell, Problem, Row, Status, alike_outages, services_of, status_of, words_of

_Item = TypeVar("_Item")
_Written = TypeVar("_Written")

EVERY = 5.0
ENDPOINTS_PER_SECOND = 50
"""The page of a large installation is looked at less often."""

WHOSE = {"node": "cluster nodes", "pod": "pods", "gateway": "gateways", "proxy": "proxies", "other": "other addresses"}
"""Networks of clients, for people."""

SOURCE_HEADINGS = ("source", "state", "last line", "lag", "lines")

RECENT = 8
"""Outages that have ended and are still shown."""

OPEN = 6
"""Problems that are told at once; more would push the matrix, which shows all of them, out of sight."""

NAMED = 12
"""Paths that a problem of many names."""


async def status_page(site: Site) -> str:
    """The whole document. It is written in parts: a thousand endpoints take a fifth of a second, sessions are timed.

    (Not in a thread, as metrics are: it shows the ledger's own books, which change, and a copy of them costs as much.)
    """
    status = status_of(site)
    now, moment_now = site.now(), site.station.clock()
    accounts = list(site.station.ledger.accounts.values())
    rows = await _each(status.rows, lambda row: _row(row, status.services, now))
    days = await _each(accounts, lambda account: day_of(account, moment_now))
    parts: tuple[Callable[[], Html], ...] = (
        lambda: _hero(status, now),
        lambda: _problems(status, now),
        lambda: _doubts(status, now),
        lambda: _notices(site, status),
        lambda: _matrix(status, rows),
        lambda: days_section(days),
        lambda: _pair(_sources(site, now), _recent(site, accounts), _clients(site, now), _cluster(site, now)),
        lambda: _about(site, now),
    )
    main = []
    for part in parts:
        main.append(part())
        await asyncio.sleep(0)
    title = f"{status.title} – mailprobe"
    every = max(EVERY, len(accounts) / ENDPOINTS_PER_SECOND)
    frame = Frame(vantage=site.station.settings.vantage.name, severity=status.severity, every=every, now=now)
    return page(title, html(main), frame)


async def _each(items: Iterable[_Item], write: Callable[[_Item], _Written]) -> list[_Written]:
    """What is written of each; in between all else goes on."""
    written = []
    for one in items:
        written.append(write(one))
        await asyncio.sleep(0)
    return written


def _pair(*sections: Html) -> Html:
    """Smaller sections, side by side where there is room."""
    return element("div", sections, class_="pair")


def _hero(status: Status, now: float) -> Html:
    cells = list(status.cells)
    fine = sum(cell.severity is Severity.OK for cell in cells)
    looked = [cell.looked for cell in cells if cell.looked is not None]
    said: Html | str = "Nothing is known of now" if status.begun else "The first sessions are under way"
    if status.steady is not None:
        share = f"{fine} of {counted(len(cells), 'endpoint')} preserved, unchanged for "
        said = html(share, lasting(status.steady, now))
    below = html(said, html("; the last session began ", ago(max(looked), now)) if looked else None, ".")
    return element(
        "section",
        element("span", MARKS[status.severity], class_="big", aria_hidden="true"),
        element(
            "div",
            element("div", element("h1", status.headline), role="status"),
            element("p", below, class_="below"),
        ),
        class_=f"hero {status.severity if status.steady is not None else 'unknown'}",
        id="hero",
    )


def _notices(site: Site, status: Status) -> Html:
    """What is wrong with the daemon itself, or with how it stands; none of it is a verdict."""
    waiting, reload = site.station.waiting_for, site.station.reload
    notes: list[Html] = [element("li", element("b", "Still waiting for "), one) for one in waiting]
    notes += [element("li", one) for one in site.troubles]
    if reload.fault:
        at = clock_time(site.wall(reload.at))
        told = element("pre", reload.fault)
        notes.append(
            element("li", "The configuration read at ", at, " was not taken, the one before it goes on:", told)
        )
    notes += [element("li", prose(one)) for one in status.doubts]
    stale = [cell for cell in status.cells if cell.stale]
    if stale:
        notes.append(element("li", f"{counted(len(stale), 'endpoint')} had no session for long: see the daemon's log."))
    if not notes:
        return NOTHING
    return section("About the probe itself", element("ul", notes), identity="notices", class_="card notices")


def _problems(status: Status, now: float) -> Html:
    critical = [one for one in status.problems if one.severity is Severity.CRITICAL]
    if not critical:
        return NOTHING
    title = "Wrong now" if all(one.works for one in critical) else "Outages now"
    return section(title, _folded(critical, now, "more-problems"), identity="problems", class_="problems")


def _doubts(status: Status, now: float) -> Html:
    lesser = [one for one in status.problems if one.severity is not Severity.CRITICAL]
    if not lesser:
        return NOTHING
    title = "Not proven or in trouble"
    return section(title, _folded(lesser, now, "more-doubts"), identity="doubts", class_="problems")


def _folded(problems: Sequence[Problem], now: float, identity: str) -> Html:
    """The first of them, and the others for whoever asks."""
    told = [_problem(one, now) for one in problems]
    if len(told) > OPEN:
        summary = element("summary", f"{len(told) - OPEN} more, each with its cause and next step")
        told[OPEN:] = [element("details", summary, told[OPEN:], id=identity)]
    return html(told)


def _problem(one: Problem, now: float) -> Html:
    named = ", ".join(one.paths[:NAMED]) + (f" and {len(one.paths) - NAMED} more" if len(one.paths) > NAMED else "")
    where = f"{named}: {', '.join(one.services)}"
    works = one.works and one.severity is Severity.CRITICAL
    of = f"Of {one.paths[0]}: " if len(one.paths) > 1 else None
    return element(
        "article",
        element(
            "h3",
            badge(one.severity, one.words),
            " ",
            element("span", where, class_="where"),
            " ",
            element("span", "for ", lasting(one.since, now), ", since ", clock_time(one.since), class_="since"),
        ),
        element("p", element("b", "Mail works here. ") if works else None, of, prose(one.explanation)),
        element("p", element("b", "Cause: "), prose(one.cause), class_="cause") if one.cause else None,
        element("p", element("b", "Next: "), prose(one.hint), class_="hint"),
        element("p", session_link(one.session, "The session that shows it", about=f" ({where})")),
        class_=f"problem {one.severity}",
    )


def _matrix(status: Status, rows: Sequence[Html]) -> Html:
    headings = [element("th", name, scope="col", role="columnheader") for name in ("path", *map(str, status.services))]
    made = element(
        "table",
        element("caption", "Verdict of every service on every path", class_="unseen"),
        element("thead", element("tr", headings, role="row"), role="rowgroup"),
        element("tbody", rows, role="rowgroup"),
        class_="matrix",
        role="table",
        aria_label="Verdict of every service on every path",
    )
    return section("Paths and services", made, identity="matrix")


def _row(row: Row, services: Sequence[Service], now: float) -> Html:
    name = element("th", row.path, element("span", row.host, class_="host"), scope="row", role="rowheader")
    return element("tr", name, [_cell_of(row, service, now) for service in services], role="row")


def _cell_of(row: Row, service: Service, now: float) -> Html:
    cells = row.cells.get(service, ())
    if not cells:
        nothing = html(element("span", "–", aria_hidden="true"), element("span", "not configured", class_="unseen"))
        return element("td", nothing, role="cell", class_="none", data_service=str(service))
    return element(
        "td", [_cell(cell, now, several=len(cells) > 1) for cell in cells], role="cell", data_service=str(service)
    )


def _cell(cell: Cell, now: float, *, several: bool) -> Html:
    is_old = cell.stale or (cell.since is None and cell.looked is not None)
    content = html(
        element("span", f"{cell.endpoint.path} {cell.endpoint.service}: ", class_="unseen"),
        badge(cell.severity, cell.words),
        element("span", f"port {cell.endpoint.port}", class_="port") if several else None,
        element("span", "for ", lasting(cell.since, now), class_="since") if cell.since is not None else None,
        element("span", "last looked ", _looked(cell, now), class_="stale") if is_old else None,
    )
    if cell.session is None:
        return element("span", content, class_=f"cell {cell.severity}")
    return session_link(cell.session, content, class_=f"cell {cell.severity}")


def _looked(cell: Cell, now: float) -> Html | str:
    return ago(cell.looked, now) if cell.looked is not None else "not since the daemon began"


def _sources(site: Site, now: float) -> Html:
    heard = site.station.heard()
    if not heard:
        none = "No source is configured: only replies that carry the client's address prove anything."
        return section("Evidence", element("p", none), identity="sources")
    rows = [_source(site, one, now) for one in heard]
    made = table("How each evidence source serves", SOURCE_HEADINGS, rows)
    return section("Evidence", made, _counted_since(site, now), identity="sources")


def _counted_since(site: Site, now: float) -> Html | None:
    reloaded = site.station.reloaded
    if reloaded is None:
        return None
    since = ago(site.wall(reloaded), now)
    return element("p", "Counted since the configuration was read again ", since, ".", class_="below")


def _source(site: Site, one: Heard, now: float) -> Html:
    state = badge(Severity.OK, "up") if one.up else badge(Severity.CRITICAL, "down")
    last = ago(site.wall(one.last_line_at), now) if one.last_line_at is not None else "none yet"
    gaps = element("span", f"gaps: {one.gaps}", class_="stale") if one.gaps else None
    offset = one.clock_offset or 0.0
    clock = element("span", f"clock {offset:+.1f} s", class_="stale") if abs(offset) > 2 else None
    return element(
        "tr",
        element("th", breakable(one.source), scope="row", role="rowheader"),
        _of_source(1, state, element("span", one.reason, class_="reason") if one.reason and not one.up else None),
        _of_source(2, last),
        _of_source(3, f"{one.lag:.1f} s" if one.lag is not None else "–", clock, class_="number"),
        _of_source(4, f"{one.lines:,}", gaps, class_="number"),
        role="row",
    )


def _of_source(column: int, *content: Content, class_: str | None = None) -> Html:
    """Where the screen is narrow a row is stacked, and each cell has its heading beside it."""
    return element("td", *content, role="cell", class_=class_, data_label=SOURCE_HEADINGS[column])


def _recent(site: Site, accounts: Sequence[Account]) -> Html:
    title = "Outages that are over"
    ended = alike_outages([one for account in accounts for one in account.outages], site.station.settings)
    if not ended:
        return section(
            title,
            element("p", "None is remembered of the paths that are watched now.", class_="calm"),
            identity="recent",
        )
    rows = [_over(site, held) for held in ended[:RECENT]]
    more = element("p", element("a", "All outages as JSON", href="/api/v1/outages"))
    headings = ("began", "where", "verdict", "lasted")
    return section(title, table("Outages that have ended", headings, rows), more, identity="recent")


def _over(site: Site, held: Sequence[Outage]) -> Html:
    first = held[0]
    words, where = words_of(first.verdict, first.masked_by), f"{first.endpoint.path}: {services_of(held)}"
    return element(
        "tr",
        element("td", day_time(site.wall(min(one.began for one in held)))),
        element("td", where),
        element("td", session_link(first.session, words, about=f" on {where}")),
        element("td", _lasted(max(held, key=lambda one: one.seconds)), class_="number"),
    )


def _lasted(outage: Outage) -> str:
    """How long it is known to have lasted, and the time in it that nobody saw."""
    known = span(outage.seconds)
    return f"{known}, and nobody looked for {span(outage.unwatched)}" if outage.unwatched else known


def _clients(site: Site, now: float) -> Html:
    clients = site.station.clients
    if not any(clients.values()):
        return NOTHING
    whole = sum(clients.values())
    rows = [
        element(
            "tr",
            element("th", WHOSE.get(network, network), scope="row"),
            element("td", f"{number:,}", class_="number"),
            element("td", timeline.percentage(number / whole), class_="number"),
        )
        for network, number in sorted(clients.items(), key=lambda item: -item[1])
        if number
    ]
    headings = ("network", "clients", "share")
    made = table("Whose addresses clients come from", headings, rows)
    return section("Clients in the logs", made, _counted_since(site, now), identity="clients")


def _cluster(site: Site, now: float) -> Html:
    topology = site.station.topology
    if topology is None:
        return NOTHING
    told = [element("li", one) for one in _facts(topology)]
    unknown = [element("li", "Not known: ", one) for one in topology.unknown]
    taken = element("p", "Looked at ", ago(site.wall(topology.taken), now), ".", class_="below")
    return section("Around the mail server", element("ul", told, unknown), taken, identity="cluster")


def _facts(topology: Topology) -> Iterator[str]:
    for address, says in topology.announcers.items():
        for known in says[:1]:
            who = ", ".join(map(str, known.value)) or "nobody"
            yield f"{address} is announced by {who} ({known.origin})."
    for node in topology.nodes:
        if node.local_endpoints is not None:
            yield f"{node.name} has {counted(node.local_endpoints.value, 'local endpoint')}."


def _about(site: Site, now: float) -> Html:
    began = element(
        "p", "The daemon began ", ago(site.wall(site.station.started), now), ". This page is from ", moment(now), "."
    )
    return element("div", began, class_="about", id="about")
