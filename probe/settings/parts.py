"""The configuration file as values: one frozen model per mapping of the file, its keys as field names.

- Defaults are written as the file would write them and validated like anything else.
- A key without a value (`networks:` and nothing below it) is the same as no key.
- A model checks what concerns one value; what two values say to each other is in checks.py.
- Every field has a description: it is the reference (docs/configuration.md) and the editor's help.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetPydanticSchema,
    PrivateAttr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import core_schema

from probe.model import Endpoint, ImprintKind, Login, Networks, Secret, Service, Timeouts, TlsOptions
from probe.settings.faults import ConfigurationWarning, shown
from probe.settings.values import (
    Cidr,
    Duration,
    FamilyName,
    FilePath,
    Flag,
    Fraction,
    HeaderName,
    Host,
    ImprintName,
    IpAddress,
    Password,
    Port,
    Rate,
    ReplyName,
    ServiceName,
    SyslogListen,
    TcpListen,
    Text,
    Url,
    unfit,
)

_SMTP_IMPRINTS = (ImprintKind.FINGERPRINT, ImprintKind.REJECT, ImprintKind.DELIVER, ImprintKind.NONE)
IMPRINTS: dict[Service, tuple[ImprintKind, ...]] = {
    Service.SMTP: _SMTP_IMPRINTS,
    Service.SUBMISSION: _SMTP_IMPRINTS,
    Service.SUBMISSIONS: _SMTP_IMPRINTS,
    Service.IMAPS: (ImprintKind.SESSION, ImprintKind.ID, ImprintKind.LOGIN, ImprintKind.NONE),
}
"""Imprints a service can leave, its default first."""

_LARGEST_PASSWORD = 4096
_NO_PASSWORD = Secret("")


class Part(BaseModel):
    """A mapping of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_is_absent(cls, raw: object) -> object:
        if not isinstance(raw, dict):
            return raw
        return {key: value for key, value in raw.items() if value is not None or key not in cls.model_fields}


class VantageSettings(Part):
    """Where the probe runs."""

    name: Text = Field(
        default="localhost",
        description="Name of this probe in reports and on every metric. Default: the host name.",
        examples=["lan-probe"],
    )
    addresses: tuple[Cidr, ...] = Field(
        default=(),
        description="Addresses or CIDRs that servers should see as the client. Name them where something between "
        "here and the server translates addresses on purpose. Default: each session's own socket address.",
        examples=[["192.168.1.10"]],
    )


class LoginSettings(Part):
    """Credentials of one mailbox, sent only inside TLS. The password comes from a file or the environment."""

    username: Text = Field(description="Whom to log in as.", examples=["probe@example.org"])
    password_file: FilePath | None = Field(
        default=None,
        description="File that holds the password; one newline at its end does not count. It is read when the "
        "configuration is loaded.",
        examples=["/run/secrets/mailprobe"],
    )
    password: Password = Field(
        default=_NO_PASSWORD,
        description="The password out of an environment variable, instead of password_file; never in clear.",
        examples=["${MAILPROBE_PASSWORD}"],
    )

    @field_validator("password")
    @classmethod
    def _from_file(cls, given: Secret, info: ValidationInfo) -> Secret:
        if "password_file" not in info.data:
            return given
        file: Path | None = info.data["password_file"]
        if file is not None and given is not _NO_PASSWORD:
            raise unfit("password or password_file, not both", found="both")
        if file is None and given is _NO_PASSWORD:
            raise unfit("password_file, or password as ${NAME}", found="nothing")
        return read_password(file) if file is not None else given


def read_password(file: Path) -> Secret:
    """Read a password, or say why that file cannot hold one."""
    expected = "a readable file that holds a password"
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise unfit(expected, found=f"{shown(str(file))}, which is no regular file", at="password_file")
        with file.open("rb") as opened:
            text = opened.read(_LARGEST_PASSWORD + 1).decode()
    except OSError as error:
        reason = error.strerror or "unreadable"
        raise unfit(expected, found=f"{shown(str(file))}: {reason}", at="password_file") from None
    except ValueError:
        raise unfit("UTF-8 text", found=f"other bytes in {shown(str(file))}", at="password_file") from None
    if len(text) > _LARGEST_PASSWORD:
        raise unfit(f"at most {_LARGEST_PASSWORD} characters", found=f"more in {shown(str(file))}", at="password_file")
    password = text.removesuffix("\n").removesuffix("\r")
    if not password:
        raise unfit("a password in that file", found=f"{shown(str(file))}, which is empty", at="password_file")
    return Secret(password)


class EndpointSettings(Part):
    """One service on a path."""

    service: ServiceName = Field(
        description="The service by its IANA name: smtp (25, STARTTLS), submission (587, STARTTLS), submissions "
        "(465, TLS first), imaps (993, TLS first).",
        examples=["smtp"],
    )
    port: Port = Field(
        default=None,
        description="TCP port. Default: the service's own, 25, 587, 465 or 993.",
        examples=[2525],
    )
    imprint: ImprintName = Field(
        default=None,
        description="What a session leaves in the server's logs so that it can be found again. smtp, submission, "
        "submissions: fingerprint (default; command counts), reject (a token in HELO and MAIL FROM of a refused "
        "RCPT), deliver (a message to the probe's own mailbox), none. imaps: session (default; Dovecot's session "
        "id), id (a token in the ID command), login, none.",
        examples=["session"],
    )
    login: LoginSettings | None = Field(
        default=None,
        description="Log in to this endpoint. Without it a session ends before any login.",
        examples=[{"username": "probe@example.org", "password_file": "/run/secrets/mailprobe"}],
    )

    @field_validator("port", mode="before")
    @classmethod
    def _own_port(cls, given: object, info: ValidationInfo) -> object:
        return info.data.get("service", Service.SMTP).default_port if given is None else given

    @field_validator("imprint", mode="before")
    @classmethod
    def _own_imprint(cls, given: object, info: ValidationInfo) -> object:
        return IMPRINTS[info.data.get("service", Service.SMTP)][0] if given is None else given


class TlsSettings(Part):
    """How a path's certificates are checked."""

    server_name: Host | None = Field(
        default=None,
        description="Name the certificate must carry, and the name sent in SNI. Default: the path's host.",
        examples=["mail.example.org"],
    )
    ca_file: FilePath | None = Field(
        default=None,
        description="PEM file of the authorities to trust. Default: the system's.",
        examples=["/etc/ssl/private-ca.pem"],
    )
    verify: Flag = Field(
        default=True, description="Whether a certificate that does not check out fails the session.", examples=[True]
    )


class PathSettings(Part):
    """One way into the mail server: a virtual address, a proxy, a NodePort."""

    name: Text = Field(description="Name of the path in reports and metrics, used once.", examples=["vip"])
    host: Host = Field(description="Host name or address to connect to, without a port.", examples=["10.0.20.202"])
    address_family: FamilyName = Field(
        default="any",
        description="Which addresses of the name count: ipv4, ipv6, or any, the first that resolves.",
        examples=["ipv4"],
    )
    source_address: IpAddress | None = Field(
        default=None,
        description="Address of this machine to connect from. Default: the one the routing table chooses.",
        examples=["192.168.1.10"],
    )
    proxy_header: HeaderName = Field(
        default="none",
        description="Send a PROXY header first, as the proxy in front of the server would: none, v1 or v2. Only for "
        "a path that leads straight to a listener that wants one.",
        examples=["v2"],
    )
    endpoints: tuple[EndpointSettings, ...] = Field(
        min_length=1, description="The services on this path, at least one.", examples=[[{"service": "smtp"}]]
    )
    tls: TlsSettings = Field(default={}, description="How the certificates of this path are checked.")


class ScheduleSettings(Part):
    """How often the daemon opens sessions."""

    interval: Duration = Field(default="30s", description="Time between two sessions of one endpoint.", examples=["1m"])
    jitter: Fraction = Field(
        default="10%",
        description="How far a session may lie off its due time, so that probes do not march in step.",
        examples=["20%"],
    )
    max_sessions_per_minute: Rate = Field(
        default=6,
        description="Upper bound per endpoint, whatever the interval says. Servers limit connections per client "
        "(10 a minute is a common setting), and behind masquerading all clients share one address and one limit.",
        examples=[6],
    )


class TimeoutSettings(Part):
    """How long to wait for what."""

    connect: Duration = Field(
        default="5s", description="For the TCP connection; after it SYNs count as unanswered.", examples=["5s"]
    )
    session: Duration = Field(default="30s", description="For one whole session.", examples=["30s"])
    evidence: Duration = Field(
        default="15s",
        description="After a session, for its lines in the logs. What has not arrived by then leaves the session "
        "unverified.",
        examples=["15s"],
    )


class CheckSettings(Part):
    """Checks beyond the sessions themselves."""

    spoof: Flag = Field(
        default=False,
        description="Send a forged PROXY header and see whether the listener believes it. Postfix believes anybody "
        "who reaches such a port; only for servers that are yours.",
        examples=[False],
    )


class NetworkSettings(Part):
    """Whose address is whose: it names who stands in the client's place when an address is masked."""

    nodes: tuple[Cidr, ...] = Field(
        default=(), description="Addresses or CIDRs of cluster nodes.", examples=[["10.0.20.101", "10.0.20.102"]]
    )
    pods: tuple[Cidr, ...] = Field(default=(), description="The pod network.", examples=[["10.10.0.0/16"]])
    gateways: tuple[Cidr, ...] = Field(
        default=(), description="Routers and firewalls that may translate addresses.", examples=[["10.0.20.1"]]
    )
    proxies: tuple[Cidr, ...] = Field(
        default=(), description="Proxies in front of the mail server.", examples=[["10.0.20.5"]]
    )

    def as_networks(self) -> Networks:
        """Give the vocabulary's form."""
        return Networks(nodes=self.nodes, pods=self.pods, gateways=self.gateways, proxies=self.proxies)


NetworksPart = Annotated[
    Networks,
    GetPydanticSchema(
        lambda _source, handler: core_schema.no_info_after_validator_function(
            NetworkSettings.as_networks, handler(NetworkSettings)
        )
    ),
]


class FileSource(Part):
    """A log file on this machine, followed through rotation."""

    kind: Literal["file"] = Field(description="A log file.", examples=["file"])
    path: FilePath = Field(description="The log file; it need not exist yet.", examples=["/var/log/mail.log"])


class LokiSource(Part):
    """A query to Grafana Loki."""

    kind: Literal["loki"] = Field(description="Grafana Loki.", examples=["loki"])
    url: Url = Field(description="Base URL of Loki.", examples=["http://loki:3100"])
    query: Text = Field(
        description="LogQL query that selects the mail server's lines.", examples=['{namespace="mailserver"}']
    )


class KubernetesSource(Part):
    """The log of a pod, read from the Kubernetes API."""

    kind: Literal["kubernetes"] = Field(description="Pod logs over the Kubernetes API.", examples=["kubernetes"])
    namespace: Text = Field(description="Namespace of the pods.", examples=["mailserver"])
    selector: Text = Field(description="Label selector of the pods.", examples=["app=mailserver"])
    container: Text | None = Field(
        default=None,
        description="Container whose log is read. Default: the pod's first.",
        examples=["docker-mailserver"],
    )


class JournaldSource(Part):
    """The journal of this machine."""

    kind: Literal["journald"] = Field(description="The systemd journal.", examples=["journald"])
    units: tuple[Text, ...] = Field(
        default=(),
        description="Units whose lines are read. Default: all.",
        examples=[["postfix@-.service", "dovecot.service"]],
    )


class SyslogSource(Part):
    """Lines that the mail server sends here."""

    kind: Literal["syslog"] = Field(description="A syslog receiver.", examples=["syslog"])
    listen: SyslogListen = Field(description="Where to listen: udp:// or tcp://.", examples=["udp://0.0.0.0:5514"])


Source = Annotated[
    FileSource | LokiSource | KubernetesSource | JournaldSource | SyslogSource, Field(discriminator="kind")
]


class EvidenceSettings(Part):
    """Where the server's side of a session is read."""

    sources: tuple[Source, ...] = Field(
        default=(),
        description="Logs of the mail server, each of one kind: file, loki, kubernetes, journald or syslog.",
        examples=[[{"kind": "file", "path": "/var/log/mail.log"}]],
    )
    reply: ReplyName = Field(
        default="auto",
        description="auto reads the client address out of replies that carry it; off ignores them.",
        examples=["off"],
    )


class DovecotMetricsSettings(Part):
    """Dovecot's own statistics."""

    url: Url = Field(description="Dovecot's OpenMetrics page.", examples=["http://10.0.20.202:9166/metrics"])


class KubernetesService(Part):
    """The Service object behind the paths."""

    namespace: Text = Field(description="Namespace of the Service.", examples=["mailserver"])
    service: Text = Field(description="Name of the Service.", examples=["mailserver"])


class TopologySettings(Part):
    """What is known about the cluster, to say why an address was masked or a path silent."""

    health_check_node_port: Port | None = Field(
        default=None,
        description="healthCheckNodePort of the Service: every node tells there whether it has a local endpoint.",
        examples=[30234],
    )
    nodes: dict[Text, IpAddress] = Field(
        default={}, description="Nodes by name, with the address that answers.", examples=[{"k8s-node1": "10.0.20.101"}]
    )
    kubernetes: KubernetesService | None = Field(
        default=None, description="The Service to read from the Kubernetes API, where the probe may."
    )


class WebSettings(Part):
    """The daemon's pages and metrics."""

    listen: TcpListen = Field(
        default="127.0.0.1:9797", description="Address and port to serve on.", examples=["0.0.0.0:9797"]
    )
    config_file: FilePath | None = Field(
        default=None,
        description="Prometheus web-config file: TLS and basic authentication.",
        examples=["/etc/mailprobe/web.yaml"],
    )


class HistorySettings(Part):
    """The daemon's memory of sessions and outages."""

    file: FilePath = Field(
        default="/var/lib/mailprobe/history.db", description="Database file.", examples=["/var/lib/mailprobe/history.db"]
    )
    retention: Duration = Field(default="30d", description="How long sessions are kept.", examples=["30d"])


class Settings(Part):
    """The whole file. `warnings` came up while loading it; they do not stop anything."""

    vantage: VantageSettings = Field(default={}, description="Where the probe runs.")
    paths: tuple[PathSettings, ...] = Field(
        min_length=1,
        description="The ways into the mail server, at least one.",
        examples=[[{"name": "vip", "host": "10.0.20.202", "endpoints": [{"service": "smtp"}]}]],
    )
    schedule: ScheduleSettings = Field(default={}, description="How often the daemon opens sessions.")
    timeouts: TimeoutSettings = Field(default={}, description="How long to wait for what.")
    checks: CheckSettings = Field(default={}, description="Checks beyond the sessions themselves.")
    networks: NetworksPart = Field(default={}, description="Whose address is whose.")
    evidence: EvidenceSettings = Field(default={}, description="Where the server's side of a session is read.")
    dovecot_metrics: DovecotMetricsSettings | None = Field(
        default=None, description="Dovecot's own statistics, to compare its count of logins."
    )
    topology: TopologySettings | None = Field(
        default=None, description="What is known about the cluster, to say why something is broken."
    )
    web: WebSettings = Field(default={}, description="The daemon's pages and metrics.")
    history: HistorySettings = Field(default={}, description="The daemon's memory of sessions and outages.")

    _warnings: tuple[ConfigurationWarning, ...] = PrivateAttr(default=())

    @property
    def warnings(self) -> tuple[ConfigurationWarning, ...]:
        """What the file says that will probably not do what was meant."""
        return self._warnings

    def with_warnings(self, warnings: tuple[ConfigurationWarning, ...]) -> Settings:
        """Give the same settings with these warnings."""
        copy = self.model_copy()
        copy._warnings = warnings
        return copy


