"""Where the server's side of a session is read: one model per kind of source."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from probe.settings.loki import LokiSource
from probe.settings.part import Part, key
from probe.settings.values import Cidr, FilePath, ReplyName, SyslogListen, Text


class FileSource(Part):
    """A log file on this machine, followed through rotation, or standard input."""

    kind: Literal["file"] = key(description="A log file.", examples=["file"])
    path: FilePath = key(
        description="The log file; it need not exist yet. - is standard input.", examples=["/var/log/mail.log"]
    )


class KubernetesSource(Part):
    """The log of a pod, read from the Kubernetes API."""

    kind: Literal["kubernetes"] = key(description="Pod logs over the Kubernetes API.", examples=["kubernetes"])
    namespace: Text = key(description="Namespace of the pods.", examples=["mailserver"])
    selector: Text = key(description="Label selector of the pods.", examples=["app=mailserver"])
    container: Text | None = key(
        default=None,
        description="Container whose log is read. Default: the one that the pod's annotation "
        "kubectl.kubernetes.io/default-container names, else its first.",
        examples=["docker-mailserver"],
    )
    kubeconfig: FilePath | None = key(
        default=None,
        description="How to reach the cluster, and as whom. Default: the account of the pod that the probe runs in, "
        "else the file that $KUBECONFIG names, else ~/.kube/config.",
        examples=["${CREDENTIALS_DIRECTORY}/kubeconfig"],
    )
    context: Text | None = key(
        default=None, description="Context of the kubeconfig. Default: its current one.", examples=["mailprobe"]
    )


class JournaldSource(Part):
    """The systemd journal: this machine's, or one that others send their entries to."""

    kind: Literal["journald"] = key(description="The systemd journal, by journalctl.", examples=["journald"])
    units: tuple[Text, ...] = key(
        default=(),
        description="Units whose lines are read. Default: all.",
        examples=[["postfix@-.service", "dovecot.service"]],
    )
    directory: FilePath | None = key(
        default=None,
        description="Directory of journal files, as systemd-journal-remote writes them. Default: this machine's.",
        examples=["/var/log/journal/remote"],
    )
    namespace: Text | None = key(
        default=None,
        description="Journal namespace (LogNamespace= of the units). Default: the one without a name.",
        examples=["mail"],
    )


class SyslogSource(Part):
    """Lines that the mail server sends here."""

    kind: Literal["syslog"] = key(description="A syslog receiver, RFC 3164 and RFC 5424.", examples=["syslog"])
    listen: SyslogListen = key(
        description="Where to listen: udp:// or tcp://. Without a host: on every address, IPv4 and IPv6.",
        examples=["udp://0.0.0.0:5514"],
    )
    senders: tuple[Cidr, ...] = key(
        default=(),
        description="Who may send; others are not listened to. Default: anybody who reaches the port.",
        examples=[["10.0.20.0/24"]],
    )


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
        description="auto reads the client address out of replies that carry it, and asks for one with a DATA out of "
        "turn (docs/replies.md); off does neither.",
        examples=["off"],
    )
