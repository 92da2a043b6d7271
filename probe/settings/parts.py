"""The configuration file as values: one frozen model per mapping of the file, its keys as field names.

- Defaults are written as the file would write them and validated like anything else.
- A key without a value (`networks:` and nothing below it) is the same as no key.
- A model checks what concerns one value; what two values say to each other is in checks.py.
- Every field has a description: it is the reference (docs/configuration.md) and the editor's help.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from pydantic import GetPydanticSchema, PrivateAttr, field_validator
from pydantic_core import core_schema

from probe.model import Networks
from probe.settings.evidence import EvidenceSettings
from probe.settings.faults import ConfigurationWarning
from probe.settings.loki import LokiSink
from probe.settings.part import Part, key
from probe.settings.paths import PathSettings
from probe.settings.values import (
    Cidr,
    Counter,
    Duration,
    FilePath,
    Flag,
    Fraction,
    IpAddresses,
    Port,
    Rate,
    Size,
    TcpListen,
    Text,
    Url,
    without_query,
)


class VantageSettings(Part):
    """Where the probe runs."""

    name: Text = key(
        default="localhost",
        description="Name of this probe in reports and on every metric. Default: the host name.",
        examples=["lan-probe"],
    )
    addresses: tuple[Cidr, ...] = key(
        default=(),
        description="Addresses or CIDRs that servers should see as the client. Name them where something between "
        "here and the server translates addresses on purpose. A CIDR must not overlap networks or topology.nodes; an "
        "address known as a node's, pod's, gateway's or proxy's is expected only where it is listed by itself. "
        "Default: each session's own socket address.",
        examples=[["192.168.1.10"]],
    )


class ScheduleSettings(Part):
    """How often the daemon opens sessions."""

    interval: Duration = key(
        default="30s",
        description="Time between two sessions of one endpoint. The alerts in mailprobe.rules.yaml fit up to 5m.",
        examples=["1m"],
    )
    jitter: Fraction = key(
        default="10%",
        description="How far a session may lie off its due time, so that probes do not march in step.",
        examples=["20%"],
    )
    max_sessions_per_minute: Rate = key(
        default=6,
        description="Upper bound of connections per endpoint, whatever the interval says: sessions, control "
        "connections after a failure, `/probe`, trust checks, and mailboxes read back. A session that fails takes up "
        "to three, with 1 or 2 at once all the same, and the next one waits longer. Servers limit connections per "
        "client (10 a minute is a common setting), and behind masquerading all clients share one address and one "
        "limit. An imaps session whose line must be told from others by a rhythm opens beats besides, connections "
        "without a login, of which Dovecot counts none: at most four times this many a minute per endpoint, and 300 "
        "for all endpoints.",
        examples=[6],
    )


class TimeoutSettings(Part):
    """How long to wait for what."""

    connect: Duration = key(
        default="5s", description="For the TCP connection; after it SYNs count as unanswered.", examples=["5s"]
    )
    session: Duration = key(default="30s", description="For one whole session.", examples=["30s"])
    evidence: Duration = key(
        default="15s",
        description="After a session, for its lines in the logs. What has not arrived by then leaves the session "
        "unverified.",
        examples=["15s"],
    )


class CheckSettings(Part):
    """Checks beyond the sessions themselves."""

    spoof: Flag = key(
        default=False,
        description="After a session, send a PROXY header that claims a documentation address (192.0.2.0/24, "
        "2001:db8::/32) and see whether the listener believes it: `spoofable`. Only for servers that are yours "
        "(docs/trust-checks.md).",
        examples=[False],
    )
    spoof_interval: Duration = key(
        default="1h",
        description="At most one such check of an endpoint in this time. The last one is remembered beside "
        "history.file, where that directory can be written.",
        examples=["1h"],
    )


class NetworkSettings(Part):
    """Whose address is whose: it names who stands in the client's place when an address is masked."""

    nodes: tuple[Cidr, ...] = key(
        default=(), description="Addresses or CIDRs of cluster nodes.", examples=[["10.0.20.101", "10.0.20.102"]]
    )
    pods: tuple[Cidr, ...] = key(default=(), description="The pod network.", examples=[["10.10.0.0/16"]])
    gateways: tuple[Cidr, ...] = key(
        default=(), description="Routers and firewalls that may translate addresses.", examples=[["10.0.20.1"]]
    )
    proxies: tuple[Cidr, ...] = key(
        default=(), description="Proxies in front of the mail server.", examples=[["10.0.20.5"]]
    )

    def as_networks(self) -> Networks:
        """Give the vocabulary's form."""
        return Networks(nodes=self.nodes, pods=self.pods, gateways=self.gateways, proxies=self.proxies)


NetworksPart = Annotated[
    Networks,
    GetPydanticSchema(
        lambda _source, handler: core_schema.no_info_after_validator_function(
            NetworkSettings.as_networks,
            handler(NetworkSettings),
            serialization=core_schema.plain_serializer_function_ser_schema(asdict),
        )
    ),
]


class DovecotMetricsSettings(Part):
    """Dovecot's own statistics."""

    url: Url = key(
        description="The page: Dovecot's own OpenMetrics, or that of an exporter which asks Dovecot at each scrape.",
        examples=["http://10.0.20.202:9166/metrics"],
    )
    counter: Counter | None = key(
        default=None,
        description="The counter of successful logins. Default: the most telling of those in docs/dovecot-metrics.md.",
        examples=['dovecot_auth_by_user_total{success="yes"}'],
    )

    @field_validator("url")
    @classmethod
    def _shows_no_token(cls, given: str) -> str:
        return without_query(given, "the URL of a page that needs no query")


class KubernetesService(Part):
    """The Service object behind the paths, and the API to read it from."""

    namespace: Text = key(description="Namespace of the Service.", examples=["mailserver"])
    service: Text = key(description="Name of the Service.", examples=["mailserver"])
    kubeconfig: FilePath | None = key(
        default=None,
        description="How to reach the cluster, and as whom. Default: the account of the pod that the probe runs in, "
        "else the file that $KUBECONFIG names, else ~/.kube/config.",
        examples=["${CREDENTIALS_DIRECTORY}/kubeconfig"],
    )
    context: Text | None = key(
        default=None, description="Context of the kubeconfig. Default: its current one.", examples=["mailprobe"]
    )
    metallb_namespace: Text = key(
        default="metallb-system", description="Namespace that MetalLB runs in.", examples=["metallb"]
    )
    networks: Flag = key(
        default=True,
        description="Count the addresses of the cluster's nodes to networks.nodes, and its pods' ranges (Calico's "
        "pools, else those of the nodes) to networks.pods, beside what is listed there.",
        examples=[False],
    )


class TopologySettings(Part):
    """What is known about the cluster, to say why an address was masked or a path silent."""

    health_check_node_port: Port | None = key(
        default=None,
        description="healthCheckNodePort of the Service: every node tells there whether it has a local endpoint.",
        examples=[30234],
    )
    nodes: dict[Text, IpAddresses] = key(
        default={},
        description="Nodes by name, each with its address or a list of them; the first is the one that is asked.",
        examples=[{"k8s-node1": "10.0.20.101", "k8s-node2": ["10.0.20.102", "2001:db8:20::102"]}],
    )
    kubernetes: KubernetesService | None = key(
        default=None, description="The Service to read from the Kubernetes API, where the probe may."
    )


class WebSettings(Part):
    """The daemon's pages and metrics."""

    listen: TcpListen = key(
        default="127.0.0.1:9797", description="Address and port to serve on.", examples=["0.0.0.0:9797"]
    )
    config_file: FilePath | None = key(
        default=None,
        description="Prometheus web-config file: TLS and basic authentication (docs/http.md). In it no variable is "
        "expanded, and relative names are relative to its folder.",
        examples=["/etc/mailprobe/web.yaml"],
    )


class HistorySettings(Part):
    """The daemon's memory of sessions and outages."""

    file: FilePath = key(
        default="/var/lib/mailprobe/history.db",
        description="Database file.",
        examples=["/var/lib/mailprobe/history.db"],
    )
    retention: Duration = key(default="30d", description="How long sessions are kept.", examples=["30d"])
    size: Size = key(
        default="2GB",
        description="How big the file may get: beyond it goes before its time what pages show of sessions that were "
        "fine, then the oldest sessions.",
        examples=["500MB"],
    )


class Settings(Part):
    """The whole file. `warnings` came up while loading it; they do not stop anything."""

    vantage: VantageSettings = key(default={}, description="Where the probe runs.")
    paths: tuple[PathSettings, ...] = key(
        min_length=1,
        description="The ways into the mail server, at least one.",
        examples=[[{"name": "vip", "host": "10.0.20.202", "endpoints": [{"service": "smtp"}]}]],
    )
    schedule: ScheduleSettings = key(default={}, description="How often the daemon opens sessions.")
    timeouts: TimeoutSettings = key(default={}, description="How long to wait for what.")
    checks: CheckSettings = key(default={}, description="Checks beyond the sessions themselves.")
    networks: NetworksPart = key(default={}, description="Whose address is whose.")
    evidence: EvidenceSettings = key(default={}, description="Where the server's side of a session is read.")
    dovecot_metrics: DovecotMetricsSettings | None = key(
        default=None, description="Dovecot's own statistics, to compare its count of logins."
    )
    topology: TopologySettings | None = key(
        default=None, description="What is known about the cluster, to say why something is broken."
    )
    web: WebSettings = key(default={}, description="The daemon's pages and metrics.")
    history: HistorySettings = key(default={}, description="The daemon's memory of sessions and outages.")
    sink: LokiSink | None = key(
        default=None,
        description="Where the daemon pushes each change of a verdict, and each outage as it begins and ends, as one "
        "JSON line (docs/sink.md), so that many vantages share one store.",
    )

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
