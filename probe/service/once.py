"""`probe --once`: put clock, sockets and sources together, run rounds until ok or out of patience.

`--wait S` repeats rounds until every verdict is ok or S seconds have passed; the last round counts. Rounds keep to
schedule.max_sessions_per_minute, or waiting for a server would be what gets the probe refused.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import ssl
from collections.abc import Sequence
from random import SystemRandom
from typing import TYPE_CHECKING

from probe.model import Endpoint, Round, Severity
from probe.service.clock import steady_clock
from probe.service.cycle import run_round
from probe.service.logins import login_count
from probe.service.names import names_of
from probe.service.sources import sources
from probe.service.survey import survey
from probe.service.watch import Watch
from probe.service.workshop import Progress, Workshop
from probe.sessions.open import Kit
from probe.sessions.tls import TlsContexts
from probe.settings import Settings, targets

if TYPE_CHECKING:
    from probe.service.trust import TrustChecks

SHORTEST_PAUSE = 1.0
"""Seconds between two rounds at least; the last round of `--wait S` begins at S, whatever the pace."""


class UnusableCaFile(Exception):
    """A configured CA file vanished or broke after the configuration was checked."""


async def once(settings: Settings, paths: Sequence[str], wait: float, progress: Progress) -> Round:
    """Rounds over the endpoints of these paths; all, if none is named. Raises UnusableCaFile before the first."""
    chosen = [endpoint for endpoint in targets(settings) if not paths or endpoint.path in paths]
    clock = steady_clock()
    kit = Kit(
        clock=clock,
        token=lambda: secrets.token_hex(8),
        contexts=_contexts(chosen),
        name=hello_name(settings.vantage.name),
    )
    async with (
        Watch(sources(settings, clock), clock, names_of(settings)[0]) as watch,
        survey(settings, clock) as around,
        login_count(settings, clock) as logins,
    ):
        workshop = Workshop(
            kit=kit,
            watch=watch,
            random=SystemRandom(),
            networks=settings.networks,
            survey=around,
            logins=logins,
            trust=_trust_checks(settings),
            read_replies=settings.evidence.reply == "auto",
            progress=progress,
        )
        until = clock() + wait
        while True:
            done = await run_round(chosen, workshop, settings.vantage.name)
            due = done.started + most_sessions(done) * 60 / settings.schedule.max_sessions_per_minute
            if done.severity is Severity.OK or clock() + SHORTEST_PAUSE >= until:
                return done
            await asyncio.sleep(max(SHORTEST_PAUSE, min(due, until) - clock()))


def _trust_checks(settings: Settings) -> TrustChecks | None:
    if not settings.checks.spoof:
        return None
    from probe.service.trust import trust_checks  # noqa: PLC0415 - few ask for them

    return trust_checks(settings)


def most_sessions(done: Round) -> int:
    """The most connections that one endpoint was asked for: its session and the control connections after it.

    Servers count both (Postfix: smtpd_client_connection_rate_limit), so the next round has to leave room for them.
    Beats of a rhythm are not counted: only Dovecot gets them, which limits no connections without a login.
    """
    return max((1 + len(result.session.controls) for result in done.results), default=1)


def _contexts(endpoints: Sequence[Endpoint]) -> TlsContexts:
    contexts = TlsContexts()
    for endpoint in endpoints:
        try:
            contexts.context(endpoint.tls)
        except (OSError, ssl.SSLError) as error:
            raise UnusableCaFile(f"path {endpoint.path}: tls.ca_file {endpoint.tls.ca_file}: {error}") from error
    return contexts


def hello_name(vantage: str) -> str:
    """What to say in EHLO: the vantage's name if it is a domain name, else one below `mailprobe.invalid`.

    Never an address: a server that echoes it would look like one that sees it.

    >>> hello_name("probe.example.org"), hello_name("LAN probe")
    ('probe.example.org', 'lan-probe.mailprobe.invalid')
    """
    plain = re.sub(r"[^a-z0-9.-]+", "-", vantage.lower()).strip("-.") or "probe"
    is_domain = re.fullmatch(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}", plain)
    return plain if is_domain else f"{plain.replace('.', '-')[:63]}.mailprobe.invalid"
