"""Settings -> what sessions are opened to, in the vocabulary of the model."""

from __future__ import annotations

from probe.model import Endpoint, ImprintKind, Login, Mailbox, Pace, Timeouts, TlsOptions
from probe.settings.parts import Settings
from probe.settings.paths import EndpointSettings, PathSettings


def targets(settings: Settings) -> tuple[Endpoint, ...]:
    """Every endpoint of every path, in the order of the file."""
    return tuple(_target(settings, path, endpoint) for path in settings.paths for endpoint in path.endpoints)


def timeouts(settings: Settings) -> Timeouts:
    """The bounds of a session."""
    limits = settings.timeouts
    return Timeouts(connect=limits.connect, session=limits.session, evidence=limits.evidence)


MISSED = 2
"""Turns that may be missed, by budgets and slow sessions, before a time counts as one in which nobody looked."""


AFTER_FAILURE = 23.0
"""Seconds that a session which failed may take beyond its own: two control connections, and a look around."""


def pace(settings: Settings) -> Pace:
    """How often each endpoint is looked at."""
    schedule, limits = settings.schedule, settings.timeouts
    due = schedule.interval * (1 + schedule.jitter) + limits.session + limits.evidence
    return Pace(interval=schedule.interval, due=due, lapse=due + MISSED * schedule.interval + AFTER_FAILURE)


def _target(settings: Settings, path: PathSettings, endpoint: EndpointSettings) -> Endpoint:
    return Endpoint(
        path=path.name,
        service=endpoint.service,
        host=path.host,
        port=endpoint.port,
        family=path.address_family,
        source_address=path.source_address,
        proxy_header=path.proxy_header,
        tls=_tls(path),
        login=_login(endpoint),
        imprint=endpoint.imprint,
        mailbox=_mailbox(settings, path, endpoint),
        expected=settings.vantage.addresses,
        timeouts=timeouts(settings),
        pace=pace(settings),
    )


def _mailbox(settings: Settings, path: PathSettings, endpoint: EndpointSettings) -> Mailbox | None:
    recipient, reader = path.recipient(endpoint), path.reader
    if endpoint.imprint is not ImprintKind.DELIVER or recipient is None or reader is None:
        return None
    local, _, domain = recipient.rpartition("@")
    given = endpoint.deliver.sender if endpoint.deliver else None
    sender = f"{local}+{{token}}@{domain}" if given is None else given
    return Mailbox(recipient=recipient, sender=sender, reader=_target(settings, path, reader))


def _tls(path: PathSettings) -> TlsOptions:
    ca_file = str(path.tls.ca_file) if path.tls.ca_file else None
    return TlsOptions(server_name=path.tls.server_name, ca_file=ca_file, verify=path.tls.verify)


def _login(endpoint: EndpointSettings) -> Login | None:
    login = endpoint.login
    return Login(username=login.username, password=login.password) if login else None
