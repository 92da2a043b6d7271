"""Settings of evidence sources -> sources, each kind by one row of OPENERS; what a kind needs is imported with it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from probe.evidence.sources.source import Source
from probe.model import Clock
from probe.settings import FileSource, JournaldSource, KubernetesSource, LokiAccess, LokiSource, Settings, SyslogSource
from probe.settings.loki import LokiTls

LOOK = 0.01
"""Seconds between two looks at a file while somebody waits for a round: it lasts seconds."""

CALM_LOOK = 0.1
"""The same for months; while an IMAPS session is open, sources hurry anyway."""


def sources(settings: Settings, clock: Clock, *, look: float = LOOK) -> list[Source]:
    """The evidence sources of the configuration; files are looked at every `look` seconds."""
    return [OPENERS[source.kind](source, clock, look) for source in settings.evidence.sources]


def is_one_alone(source: Source) -> bool:
    """Whether no second one can be open beside it: a port belongs to one socket, a pipe's lines go to one reader."""
    return source.name.startswith("syslog:") or source.name == "file:-"


def _file(source: FileSource, clock: Clock, look: float) -> Source:
    if str(source.path) == "-":
        from probe.evidence.sources import stdin  # noqa: PLC0415

        return stdin.StdinSource(sys.__stdin__.fileno() if sys.__stdin__ else None, clock=clock)
    from probe.evidence.sources import file  # noqa: PLC0415

    return file.FileSource(source.path, clock=clock, patience=file.Patience(poll=look))


def _journald(source: JournaldSource, clock: Clock, _look: float) -> Source:
    from probe.evidence.sources import journald  # noqa: PLC0415

    journal = journald.Journal(units=source.units, directory=source.directory, namespace=source.namespace)
    return journald.JournaldSource(journal, clock=clock)


def _loki(source: LokiSource, clock: Clock, _look: float) -> Source:
    from probe.evidence.sources import loki, loki_client  # noqa: PLC0415

    return loki.LokiSource(loki_client.Access(query=source.query, **loki_server(source)), clock=clock)


def loki_server(access: LokiAccess) -> dict[str, Any]:
    """Where Loki is and as whom it is asked, as fields of loki_http.Server."""
    from probe.evidence.sources.loki_http import Tls  # noqa: PLC0415

    tls = Tls(**{name: getattr(access.tls, name) for name in LokiTls.model_fields})
    names = ("url", "tenant", "username", "password", "bearer_token_file")
    return {"tls": tls, **{name: getattr(access, name) for name in names}}


def _kubernetes(source: KubernetesSource, clock: Clock, _look: float) -> Source:
    from probe.evidence.sources import kubernetes  # noqa: PLC0415
    from probe.kubernetes.ask import Access  # noqa: PLC0415

    selection = kubernetes.Selection(namespace=source.namespace, selector=source.selector, container=source.container)
    access = Access(kubeconfig=source.kubeconfig, context=source.context)
    return kubernetes.KubernetesSource(selection, access, clock=clock)


def _syslog(source: SyslogSource, clock: Clock, _look: float) -> Source:
    from probe.evidence.sources import listening, syslog  # noqa: PLC0415

    at = source.listen
    where = listening.Listening(transport=at.transport, host=at.host, port=at.port, senders=source.senders)
    return syslog.SyslogSource(where, clock=clock)


OPENERS: dict[str, Callable[[Any, Clock, float], Source]] = {
    "file": _file,
    "journald": _journald,
    "kubernetes": _kubernetes,
    "loki": _loki,
    "syslog": _syslog,
}
