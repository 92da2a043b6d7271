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

from probe.evidence.sources.file import FileSource as LogFile
from probe.evidence.sources.file import Patience
from probe.evidence.sources.source import Source
from probe.model import Endpoint, Round, Severity
from probe.service.clock import steady_clock
from probe.service.cycle import Progress, Workshop, run_round
from probe.service.watch import Watch
from probe.sessions.journal import Clock
from probe.sessions.open import Kit
from probe.sessions.tls import TlsContexts
from probe.settings import FileSource, Settings, targets

PATIENCE = Patience(poll=0.01)
"""A round lasts seconds: who waits for it waits for the log."""


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
    async with Watch(sources(settings, clock), clock) as watch:
        workshop = Workshop(
            kit=kit,
            watch=watch,
            random=SystemRandom(),
            networks=settings.networks,
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


def most_sessions(done: Round) -> int:
    """The most connections that one endpoint was asked for: its session and the control connections after it.

    Servers count both (Postfix: smtpd_client_connection_rate_limit), so the next round has to leave room for them.
    Beats of a rhythm are not counted: only Dovecot gets them, which limits no connections without a login.
    """
    return max((1 + len(result.session.controls) for result in done.results), default=1)


def sources(settings: Settings, clock: Clock) -> list[Source]:
    """The evidence sources of the configuration that are built so far."""
    files = [source for source in settings.evidence.sources if isinstance(source, FileSource)]
    return [LogFile(source.path, clock=clock, patience=PATIENCE) for source in files]


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
