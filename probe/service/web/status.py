"""The status of everything at one moment, as values: what the status page says. Pure but for asking the station.

- What is wrong comes first, endpoints that fail alike together: a node that masks one service masks its neighbours.
- What was is told as what was: a verdict of an earlier process, and one that all is well which nobody renewed for long.
  An outage that nobody saw end stays told, and the cell says how old it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from probe.model import EndpointName, MaskedBy, Outage, Result, Service, Severity, Verdict, worst
from probe.report.text import counted
from probe.service.ledger import Account
from probe.service.web.site import Site
from probe.settings import Settings
from probe.verdict.case import listed

KINDS = 2
"""Kinds of trouble that the headline names."""

MANY = 4
"""Paths that fail alike are one problem to a person where they are so many; fewer are told each in its own words."""

Outcome = tuple[Verdict, MaskedBy | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One endpoint now. Times are wall times. `session`: the one to look at; `stale`: no session came for long.

    `works`: the last session went through, whatever address the server saw; `unable`: the vantage could not open it;
    `inside`: it did not come the clients' way, as far as is known.
    `since` is None where nothing is known of now; `looked` is then when what was was last seen.
    """

    endpoint: EndpointName
    severity: Severity = Severity.UNKNOWN
    words: str = "no session yet"
    since: float | None = None
    session: str | None = None
    looked: float | None = None
    stale: bool = False
    works: bool = False
    unable: bool = False
    inside: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """What is wrong with some services of a path, or of paths, in words. `session`: the last one of the first of them.

    Its explanation is the first one's too. `works`: sessions to all of them went through.
    """

    paths: tuple[str, ...]
    services: tuple[str, ...]
    severity: Severity
    words: str
    since: float
    session: str
    explanation: str
    cause: str | None
    hint: str
    works: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A path: its cells by service. A service may be on two ports of it."""

    path: str
    host: str
    cells: Mapping[Service, tuple[Cell, ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """All of it. `steady`: the wall time since when every verdict has been what it is.

    `begun`: this process has judged a session.
    """

    rows: Sequence[Row]
    services: Sequence[Service]
    problems: Sequence[Problem]
    doubts: Sequence[str]
    severity: Severity
    headline: str
    title: str
    steady: float | None
    begun: bool

    @property
    def cells(self) -> Iterator[Cell]:
        """Every cell, path by path."""
        return (cell for row in self.rows for cells in row.cells.values() for cell in cells)


def status_of(site: Site) -> Status:
    """The status now."""
    accounts = list(site.station.ledger.accounts.values())
    by_path: dict[str, list[Account]] = {}
    for account in accounts:
        by_path.setdefault(account.endpoint.path, []).append(account)
    rows = [_row(site, path, here) for path, here in by_path.items()]
    cells = [cell for row in rows for held in row.cells.values() for cell in held]
    severity = worst([cell.severity for cell in cells])
    problems = _together(_problems(site, accounts))
    problems.sort(key=lambda one: (list(Severity).index(one.severity), one.since))
    known = [cell.since for cell in cells if cell.since is not None]
    latest = [one.latest for one in accounts if one.latest is not None]
    headline, title = _headline(cells, severity) if known or latest else ("No session has ended yet.", "starting")
    return Status(
        rows=rows,
        services=[service for service in Service if any(service in row.cells for row in rows)],
        problems=problems,
        doubts=list(dict.fromkeys(one.judgement.doubt for one in latest if one.judgement.doubt)),
        severity=severity,
        headline=headline,
        title=title,
        steady=max(known) if known else None,
        begun=bool(latest),
    )


def words_of(verdict: str, masked_by: str | None) -> str:
    """A verdict for people: `masked by node`."""
    words = verdict.replace("_", " ")
    return f"{words} by {masked_by}" if masked_by else words


def _row(site: Site, path: str, here: Sequence[Account]) -> Row:
    services = dict.fromkeys(one.endpoint.service for one in here)
    cells = {
        service: tuple(_cell(site, one) for one in here if one.endpoint.service is service) for service in services
    }
    return Row(path=path, host=here[0].host, cells=cells)


def _cell(site: Site, account: Account) -> Cell:
    change, latest = account.change, account.latest
    now = site.station.clock()
    looked = max(site.station.started, account.since) if latest is None else latest.session.opened
    stale = now - looked > account.pace.lapse
    if change is None:
        return Cell(endpoint=account.endpoint, stale=stale)
    told, words = account.told(now), words_of(change.verdict, change.masked_by)
    was = told is None or (stale and told.verdict.severity is Severity.OK)
    return Cell(
        endpoint=account.endpoint,
        severity=Severity.UNKNOWN if was else change.verdict.severity,
        words=f"was {words}" if was else words,
        since=None if was else site.wall(change.at),
        session=latest.session.id if latest is not None else change.session,
        looked=site.wall(change.seen),
        stale=stale,
        works=not stale and latest is not None and latest.session.fault is None,
        unable=latest is not None and not latest.session.took_place,
        inside=latest is not None and latest.judgement.doubt is not None,
    )


def _problems(site: Site, accounts: Sequence[Account]) -> Iterator[Problem]:
    alike: dict[tuple[str, Outcome, str | None], list[tuple[Account, Result]]] = {}
    for account in accounts:
        latest = account.latest
        if latest is not None and latest.judgement.verdict.severity is not Severity.OK:
            judgement = latest.judgement
            outcome = (judgement.verdict, judgement.masked_by)
            alike.setdefault((account.endpoint.path, outcome, judgement.cause), []).append((account, latest))
        if account.outage is not None and (latest is None or not latest.session.took_place):
            lasts = latest is None and account.told(site.station.clock()) is not None
            yield _unseen(site, account.outage, lasts=lasts)
    for (path, outcome, _), held in alike.items():
        yield _problem(site, path, outcome, held)


def _together(problems: Iterable[Problem]) -> list[Problem]:
    """Paths that fail alike as one problem, since the first of them failed: else many would hide everything below."""
    alike: dict[tuple[object, ...], list[Problem]] = {}
    for one in problems:
        alike.setdefault((one.severity, one.words, one.services, one.cause, one.works), []).append(one)
    return [one for held in alike.values() for one in (held if len(held) < MANY else [_one_of(held)])]


def _one_of(held: Sequence[Problem]) -> Problem:
    paths = tuple(path for one in held for path in one.paths)
    return replace(held[0], paths=paths, since=min(one.since for one in held))


def _problem(site: Site, path: str, outcome: Outcome, held: Sequence[tuple[Account, Result]]) -> Problem:
    first, judgement = held[0][1], held[0][1].judgement
    return Problem(
        paths=(path,),
        services=tuple(_service(account.endpoint) for account, _ in held),
        severity=judgement.verdict.severity,
        words=words_of(*outcome),
        since=site.wall(min(_began(account, result) for account, result in held)),
        session=first.session.id,
        explanation=judgement.explanation,
        cause=judgement.cause,
        hint=judgement.hint,
        works=all(result.session.fault is None for _, result in held),
    )


def _unseen(site: Site, outage: Outage, *, lasts: bool) -> Problem:
    """An outage that was seen before, and at which no session of this process could look since."""
    words = words_of(outage.verdicts[-1], outage.masked_by)
    return Problem(
        paths=(outage.endpoint.path,),
        services=(_service(outage.endpoint),),
        severity=Severity.CRITICAL if lasts else Severity.UNKNOWN,
        words=words if lasts else f"was {words}",
        since=site.wall(outage.began),
        session=outage.session,
        explanation=outage.explanation,
        cause=outage.cause,
        hint=outage.hint,
    )


def _began(account: Account, result: Result) -> float:
    if account.outage is not None and result.session.took_place:
        return account.outage.began
    return account.change.at if account.change is not None else result.session.opened


def _service(endpoint: EndpointName) -> str:
    """The service, and its port where that is not its own."""
    return str(endpoint).removeprefix(f"{endpoint.path}/")


def alike_outages(outages: Sequence[Outage], settings: Settings) -> list[list[Outage]]:
    """Outages of one path that began together and alike are one to a person; the latest first."""
    apart = 2 * settings.schedule.interval
    groups: list[list[Outage]] = []
    earliest: dict[tuple[object, ...], list[Outage]] = {}
    for one in sorted(outages, key=lambda one: one.began, reverse=True):
        kind = (one.endpoint.path, one.verdict, one.masked_by)
        group = earliest.get(kind)
        if group is None or group[0].began - one.began > apart:
            groups.append(group := [])
            earliest[kind] = group
        group.append(one)
    return groups


def services_of(outages: Sequence[Outage]) -> str:
    """Their services, in order."""
    order = list(Service)
    held = sorted(outages, key=lambda one: order.index(one.endpoint.service))
    return ", ".join(dict.fromkeys(_service(one.endpoint) for one in held))


def _headline(cells: Sequence[Cell], severity: Severity) -> tuple[str, str]:
    """The one sentence of the page, and the shorter one of its tab."""
    bad = [cell for cell in cells if cell.severity is severity]
    share = f"{len(bad)} of {counted(len(cells), 'endpoint')}"
    kinds = sorted({cell.words for cell in bad})
    what = listed(kinds if len(kinds) <= KINDS else [*kinds[:KINDS], "others"])
    match severity:
        case Severity.OK if inside := sum(cell.inside for cell in cells):
            share = f"{inside} of {counted(len(cells), 'endpoint')}"
            return f"The probe arrives as itself, but not by the clients' way in on {share}.", "preserved, from inside"
        case Severity.OK:
            return "Every client arrives as itself.", "all preserved"
        case Severity.CRITICAL:
            return f"{_critical(cells, what)} on {share}.", f"✕ {len(bad)} of {len(cells)} {what}"
        case Severity.WARNING:
            return f"{share} {_is(bad)} in trouble: {what}.", f"! {len(bad)} of {len(cells)} {what}"
    if unable := sum(cell.unable for cell in cells):
        share = f"{unable} of {counted(len(cells), 'endpoint')}"
        return f"No session can be opened from here to {share}: how mail fares there is not known.", "? cannot look"
    return f"Nothing is known to be wrong, but {share} {_is(bad)} not proven.", f"? {len(bad)} of {len(cells)} {what}"


def _critical(cells: Sequence[Cell], what: str) -> str:
    """Whoever reads no further must not take lost addresses for lost mail."""
    if all(cell.works for cell in cells):
        return f"Mail works, but is {what}"
    works = all(cell.works for cell in cells if cell.severity is Severity.CRITICAL)
    return f"{what[0].upper()}{what[1:]}" if works else f"Outage: {what}"


def _is(cells: Sequence[Cell]) -> str:
    return "is" if len(cells) == 1 else "are"
