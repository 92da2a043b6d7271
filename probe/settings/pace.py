"""How many connections a schedule makes, and who may take that for an attack.

A server is who it says it is in TLS: a virtual address, a node port and a name may all lead to the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from probe.model import ImprintKind, Service, plain_address
from probe.settings.draft import Doubt, Draft, Finding, Found
from probe.settings.faults import Location
from probe.settings.paths import EndpointSettings, PathSettings

USUAL_LIMIT = 10
"""Connections a minute that one deployment in the field allows a client (smtpd_client_connection_rate_limit)."""

FAILING = 3
"""Connections that one session takes where it fails: its own, and control connections that tell why."""

RAREST = 300
"""Seconds between sessions up to which deploy/prometheus/mailprobe.rules.yaml sees that they go on."""

REFUSALS, FIND_TIME = 5, 600
"""What a guard may ban for: so many refusals in so many seconds (fail2ban's maxretry and findtime, by default)."""

IGNORED = (
    "fail2ban bans for 5 in 10 minutes by default, docker-mailserver's for 6 in a week: put this vantage into its "
    "ignoreip; where the path is masked it is the node that is banned, and everybody behind it"
)
"""How it comes to no ban."""


def pace(draft: Draft) -> Iterator[Finding]:
    if draft.schedule is None:
        return
    interval, most = draft.schedule.interval, draft.schedule.max_sessions_per_minute
    if 60.0 / interval > most + 1e-9:
        expected = f"at least {60.0 / most:g}s, the shortest that schedule.max_sessions_per_minute = {most} allows"
        yield Found(("schedule", "interval"), f"{interval:g}s", expected)
    elif FAILING * 60.0 / interval > most + 1e-9:
        slow = f"an endpoint that fails takes up to {FAILING} connections a session, so it has one in {180.0 / most:g}s"
        reason = (
            f"{slow} while it fails, and the end of an outage is told late by as much: at least {180.0 / most:g}s, or"
        )
        yield Doubt(("schedule", "interval"), f"{reason} a larger max_sessions_per_minute, keeps the pace")


def alerts(draft: Draft) -> Iterator[Finding]:
    """Sessions so rare that the alerts shipped do not see them go on."""
    if draft.schedule is not None and draft.schedule.interval > RAREST:
        least = f"a session every {RAREST // 60}m or more often"
        reason = f"the alerts of mailprobe.rules.yaml want {least}: above it they come late, or not at all"
        yield Doubt(("schedule", "interval"), reason)


def bans(draft: Draft) -> Iterator[Finding]:
    """What servers and their guards take for an attack: too many connections, too many refusals."""
    if draft.schedule is None:
        return
    place: Location = ("schedule", "max_sessions_per_minute")
    most, each = draft.schedule.max_sessions_per_minute, 60.0 / draft.schedule.interval
    if most > USUAL_LIMIT:
        usual = f"servers usually allow ({USUAL_LIMIT} a minute)"
        yield Doubt(place, f"{most} is more than {usual}: raise theirs for this client first")
    failing = min(max(most, FAILING), FAILING * each)  # one session takes what it needs
    for (server, service), places in _servers(draft).items():
        if len(places) > 1 and len(places) * failing > USUAL_LIMIT:
            paths = f"{len(places)} endpoints are {service} of {server}"
            reason = f"with up to {len(places) * failing:g} connections a minute in all while they fail"
            usual = f"servers usually allow a client {USUAL_LIMIT}: lower max_sessions_per_minute or ask less often"
            yield Doubt(places[-1], f"{paths}, {reason}; {usual}")
    turns = 1 + int(FIND_TIME // draft.schedule.interval)
    for places in _endpoints(draft, lambda one: one.imprint is ImprintKind.REJECT).values():
        if len(places) * turns >= REFUSALS:
            reason = f"{len(places) * turns} refused recipients in 10 minutes may be counted as spam"
            yield Doubt((*places[-1], "imprint"), f"{reason}: {IGNORED}")
    for server, places in _endpoints(draft, lambda one: one.login is not None).items():
        if (tries := len(places) + 1) >= REFUSALS:  # once each, and one of them once more before the last one's first
            wrong = f"a wrong password may be refused {tries} times before tries are held back"
            reason = f"{len(places)} endpoints log in at {server}, so {wrong}"
            yield Doubt((*places[-1], "login"), f"{reason}: {IGNORED}")


def _servers(draft: Draft) -> dict[tuple[str, Service], list[Location]]:
    """The endpoints of each server's services, where they limit connections (Dovecot does not)."""
    found: dict[tuple[str, Service], list[Location]] = {}
    for service in filter(lambda one: one.speaks_smtp, Service):
        for server, places in _endpoints(draft, partial(_is_of, service)).items():
            found[server, service] = places
    return found


def _is_of(service: Service, endpoint: EndpointSettings) -> bool:
    return endpoint.service is service


def _endpoints(draft: Draft, are: Callable[[EndpointSettings], bool]) -> dict[str, list[Location]]:
    """The endpoints of each server that are so.

    A server is who it says it is in TLS: a virtual address, a node port and a name may all lead to the same one.
    """
    found: dict[str, list[Location]] = {}
    for place, path in draft.paths:
        for index, endpoint in enumerate(path.endpoints):
            if are(endpoint):
                found.setdefault(_server(path), []).append((*place, "endpoints", index))
    return found


def _server(path: PathSettings) -> str:
    if path.tls.server_name:
        return path.tls.server_name.casefold()
    try:
        return str(plain_address(path.host))
    except ValueError:
        return path.host.casefold().rstrip(".")


def read_backs(draft: Draft) -> Iterator[Finding]:
    """Messages that are read back are connections to the imaps endpoint, and draw on its budget."""
    if draft.schedule is None:
        return
    most, each = draft.schedule.max_sessions_per_minute, 60.0 / draft.schedule.interval
    for place, path in draft.paths:
        letters = sum(one.imprint is ImprintKind.DELIVER and one.service.speaks_smtp for one in path.endpoints)
        if path.reader is None or not letters or (letters + 1) * each <= most + 1e-9:
            continue
        reason = (
            f"{(letters + 1) * each:g} connections a minute, for {letters} endpoints read their messages back here, "
            f"and schedule.max_sessions_per_minute is {most}: turns will be left out; raise it or ask less often"
        )
        yield Doubt((*place, "endpoints", path.endpoints.index(path.reader)), reason)
