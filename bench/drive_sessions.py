"""mailprobe as a contestant of bench_sessions.py: opens sessions through the product's own API when asked.

    python -m bench.drive_sessions CONFIG       reads `WHAT TIMES` lines, answers each with `done`

A child of its own, so that its CPU clock and memory hold nothing but the product. One loop and one kit for all
sessions, as in a process that stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import smtplib
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import structlog

from probe.model import Endpoint, ImprintKind, Service
from probe.service.clock import steady_clock
from probe.service.once import once
from probe.service.workshop import quiet
from probe.sessions.imprint import Fingerprints
from probe.sessions.open import Kit, open_session
from probe.sessions.tls import TlsContexts
from probe.settings import Settings, load, targets

HELLO = "bench.mailprobe.invalid"


class Probing:
    """The sessions that can be asked for, by name."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.endpoints = {endpoint.service: endpoint for endpoint in targets(settings)}
        self.plain = {one: replace(endpoint, imprint=ImprintKind.NONE) for one, endpoint in self.endpoints.items()}
        self.fingerprints = Fingerprints(Random(1))  # noqa: S311 - the same commands in every run
        self.kit = Kit(
            clock=steady_clock(),
            token=lambda: secrets.token_hex(8),
            contexts=TlsContexts(),
            name="bench.mailprobe.invalid",
        )

    async def submission(self) -> None:
        await self._plain(Service.SUBMISSION)

    async def imaps(self) -> None:
        await self._plain(Service.IMAPS)

    async def fingerprint(self) -> None:
        with self.fingerprints.draw() as verbs:
            await self._session(self.endpoints[Service.SUBMISSION], verbs)

    async def round(self) -> None:
        """All endpoints side by side, with evidence and verdict: `probe --once` without its start-up."""
        done = await once(self.settings, (), 0, quiet)
        wrong = [result.judgement for result in done.results if result.judgement.verdict != "preserved"]
        if wrong:
            raise RuntimeError(f"not preserved: {wrong}")

    async def tls(self) -> None:
        """Not a session: tell the TLS version that the product's context comes to with each server."""
        compared = (self.endpoints[service] for service in (Service.SUBMISSION, Service.IMAPS))
        versions = {tls_version(endpoint, self.kit.contexts.context(endpoint.tls)) for endpoint in compared}
        print(", ".join(sorted(versions)), flush=True)

    async def _plain(self, service: Service) -> None:
        await self._session(self.plain[service], [])

    async def _session(self, endpoint: Endpoint, verbs: list[str]) -> None:
        session = await open_session(endpoint, self.kit, verbs)
        if session.fault is not None:
            raise RuntimeError(f"{session.service}: {session.fault}")


def tls_version(endpoint: Endpoint, context: ssl.SSLContext) -> str:
    """In blackbox_exporter's spelling."""
    place, name = (endpoint.host, endpoint.port), endpoint.tls.server_name
    if endpoint.service.tls_first:
        with socket.create_connection(place) as plain, context.wrap_socket(plain, server_hostname=name) as encrypted:
            found = encrypted.version()
    else:
        with smtplib.SMTP(*place) as conversation:
            conversation.starttls(context=context)
            assert isinstance(conversation.sock, ssl.SSLSocket)  # noqa: S101 - for the type checker
            found = conversation.sock.version()
    return str(found).replace("TLSv", "TLS ")


async def repeat(act: Callable[[], Awaitable[None]], times: int) -> None:
    """One after the other."""
    for _ in range(times):
        await act()


def main() -> None:
    quiet_log = structlog.make_filtering_bound_logger(logging.WARNING)  # as the command has it
    structlog.configure(wrapper_class=quiet_log, logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    settings = load(Path(sys.argv[1]), environment=os.environ, hostname=socket.gethostname())
    probing = Probing(settings)
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            what, times = line.split()
            runner.run(repeat(getattr(probing, what), int(times)))
            print("done", flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):  # whoever asked hears it too, and tells
        main()
