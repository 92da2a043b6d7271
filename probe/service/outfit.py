"""Settings -> a workshop in which sessions can be opened, with its sources followed, and all of it closed again."""

from __future__ import annotations

import re
import secrets
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import SystemRandom
from typing import TYPE_CHECKING

from probe.aside import Hangs, within
from probe.model import Clock, Endpoint
from probe.service.learnt import Learnt
from probe.service.logins import login_count
from probe.service.names import names_of
from probe.service.sources import CALM_LOOK, LOOK, sources
from probe.service.survey import survey
from probe.service.watch import Watch
from probe.service.workshop import Progress, Workshop, quiet
from probe.sessions.open import Kit
from probe.sessions.tls import TlsContexts
from probe.settings import Settings

if TYPE_CHECKING:
    from probe.service.trust import TrustChecks


CA_FILES = 5.0
"""Seconds for all of them."""


class UnusableCaFile(Exception):
    """A configured CA file vanished or broke after the configuration was checked."""


@asynccontextmanager
async def outfitted(
    settings: Settings,
    endpoints: Sequence[Endpoint],
    clock: Clock,
    *,
    progress: Progress = quiet,
    learnt: Learnt | None = None,
) -> AsyncIterator[Workshop]:
    """A workshop for sessions to these endpoints. Raises UnusableCaFile before anything is opened.

    `learnt`: it is for months and goes on from that; the one before may be at work yet, so its watch begins when it is
    told to.
    """
    in_shifts, learnt = learnt is not None, learnt or Learnt(clock=clock)
    opened = sources(settings, clock, look=CALM_LOOK if in_shifts else LOOK)
    watch = Watch(opened, clock, names_of(settings)[0], learnt.paces)
    kit = Kit(
        clock=clock,
        token=lambda: secrets.token_hex(8),
        contexts=await _contexts(endpoints),
        name=hello_name(settings.vantage.name),
        ports=learnt.ports,
        lookups=learnt.lookups,
        refused=learnt.refused,
    )
    async with (
        watch.opened() if in_shifts else watch,
        survey(settings, clock) as around,
        login_count(settings, clock) as logins,
    ):
        yield Workshop(
            kit=kit,
            watch=watch,
            random=SystemRandom(),
            networks=settings.networks,
            learnt=learnt,
            survey=around,
            logins=logins,
            trust=await _trust_checks(settings, learnt),
            read_replies=settings.evidence.reply == "auto",
            progress=progress,
        )


async def _contexts(endpoints: Sequence[Endpoint]) -> TlsContexts:
    try:
        return await within(CA_FILES, lambda: contexts(endpoints))
    except Hangs as error:
        raise UnusableCaFile(f"tls.ca_file: {error.strerror}") from None


async def _trust_checks(settings: Settings, learnt: Learnt) -> TrustChecks | None:
    if not settings.checks.spoof:
        return None
    from probe.service.trust import trust_checks  # noqa: PLC0415 - few ask for them

    return await trust_checks(settings, learnt)


def contexts(endpoints: Sequence[Endpoint]) -> TlsContexts:
    """One TLS context for each set of TLS options. Blocks."""
    made = TlsContexts()
    for endpoint in endpoints:
        try:
            made.context(endpoint.tls)
        except (OSError, ssl.SSLError) as error:
            raise UnusableCaFile(f"path {endpoint.path}: tls.ca_file {endpoint.tls.ca_file}: {error}") from error
    return made


def hello_name(vantage: str) -> str:
    """What to say in EHLO: the vantage's name if it is a domain name, else one below `mailprobe.invalid`.

    Never an address: a server that echoes it would look like one that sees it.

    >>> hello_name("probe.example.org"), hello_name("LAN probe")
    ('probe.example.org', 'lan-probe.mailprobe.invalid')
    """
    plain = re.sub(r"[^a-z0-9.-]+", "-", vantage.lower()).strip("-.") or "probe"
    is_domain = re.fullmatch(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}", plain)
    return plain if is_domain else f"{plain.replace('.', '-')[:63]}.mailprobe.invalid"
