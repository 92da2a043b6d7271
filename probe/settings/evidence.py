"""Where the server's side of a session is read: one model per kind of source."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from probe.settings.part import Part, key
from probe.settings.values import FilePath, ReplyName, SyslogListen, Text, Url


class FileSource(Part):
    """A log file on this machine, followed through rotation."""

    kind: Literal["file"] = key(description="A log file.", examples=["file"])
    path: FilePath = key(description="The log file; it need not exist yet.", examples=["/var/log/mail.log"])


class LokiSource(Part):
    """A query to Grafana Loki."""

    kind: Literal["loki"] = key(description="Grafana Loki.", examples=["loki"])
    url: Url = key(description="Base URL of Loki.", examples=["http://loki:3100"])
    query: Text = key(
        description="LogQL query that selects the mail server's lines.", examples=['{namespace="mailserver"}']
    )


class KubernetesSource(Part):
    """The log of a pod, read from the Kubernetes API."""

    kind: Literal["kubernetes"] = key(description="Pod logs over the Kubernetes API.", examples=["kubernetes"])
    namespace: Text = key(description="Namespace of the pods.", examples=["mailserver"])
    selector: Text = key(description="Label selector of the pods.", examples=["app=mailserver"])
    container: Text | None = key(
        default=None,
        description="Container whose log is read. Default: the pod's first.",
        examples=["docker-mailserver"],
    )


class JournaldSource(Part):
    """The journal of this machine."""

    kind: Literal["journald"] = key(description="The systemd journal.", examples=["journald"])
    units: tuple[Text, ...] = key(
        default=(),
        description="Units whose lines are read. Default: all.",
        examples=[["postfix@-.service", "dovecot.service"]],
    )


class SyslogSource(Part):
    """Lines that the mail server sends here."""

    kind: Literal["syslog"] = key(description="A syslog receiver.", examples=["syslog"])
    listen: SyslogListen = key(description="Where to listen: udp:// or tcp://.", examples=["udp://0.0.0.0:5514"])


Source = Annotated[
    FileSource | LokiSource | KubernetesSource | JournaldSource | SyslogSource, Field(discriminator="kind")
]


class EvidenceSettings(Part):
    """Where the server's side of a session is read."""

    sources: tuple[Source, ...] = key(
        default=(),
        description="Logs of the mail server, each of one kind: file, loki, kubernetes, journald or syslog.",
        examples=[[{"kind": "file", "path": "/var/log/mail.log"}]],
    )
    reply: ReplyName = key(
        default="auto",
        description="auto reads the client address out of replies that carry it; off ignores them.",
        examples=["off"],
    )
