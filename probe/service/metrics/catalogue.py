"""Every metric by name: its kind, its labels, what it means. Pure; docs/metrics.md is held against this table.

- Every metric has the label `vantage` before its own. Label values are words of closed sets or of the configuration;
  an address never is one, or every client and every restart of a pod would be a new series.
- Sets of states are gauges with one series per state, each 0 or 1: the state is a label of its own name.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

VANTAGE = "vantage"


class Kind(StrEnum):
    """The type of a metric, as Prometheus calls it; an INFO is a gauge that always is 1."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"
    INFO = "info"


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """One metric. `of_a_round`: it says something of a single round too, where nobody counts from one to the next."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    meaning: str
    of_a_round: bool = False


ENDPOINT = ("path", "service")

CATALOGUE: tuple[Metric, ...] = (
    Metric(
        name="mailprobe_verdict",
        kind=Kind.GAUGE,
        labels=(*ENDPOINT, "verdict"),
        meaning="1 for the verdict of the latest session, 0 for every other verdict; all 0 while there is none.",
        of_a_round=True,
    ),
    Metric(
        name="mailprobe_sessions_total",
        kind=Kind.COUNTER,
        labels=(*ENDPOINT, "verdict"),
        meaning="Judged sessions, by verdict.",
    ),
    Metric(
        name="mailprobe_client_address_preserved",
        kind=Kind.GAUGE,
        labels=ENDPOINT,
        meaning="1 if the server saw an expected client address, 0 if another one; absent where that is not known.",
        of_a_round=True,
    ),
    Metric(
        name="mailprobe_masked_by",
        kind=Kind.GAUGE,
        labels=(*ENDPOINT, "network"),
        meaning="1 for the network whose address the server saw instead of the client's, 0 for every other network.",
        of_a_round=True,
    ),
    Metric(
        name="mailprobe_up",
        kind=Kind.GAUGE,
        labels=ENDPOINT,
        meaning="1 if the latest session worked from resolve to close, whatever address the server saw, else 0.",
        of_a_round=True,
    ),
    Metric(
        name="mailprobe_last_session_timestamp_seconds",
        kind=Kind.GAUGE,
        labels=ENDPOINT,
        meaning="When the latest judged session was opened.",
        of_a_round=True,
    ),
    Metric(
        name="mailprobe_session_duration_seconds",
        kind=Kind.HISTOGRAM,
        labels=ENDPOINT,
        meaning="How long sessions took from resolve to close, without the wait for evidence.",
        of_a_round=True,
    ),
    Metric(
        name="mailprobe_phase_duration_seconds",
        kind=Kind.HISTOGRAM,
        labels=(*ENDPOINT, "phase"),
        meaning="How long the phases of sessions took, those that failed included.",
        of_a_round=True,
    ),
    Metric(
        name="mailprobe_outage_seconds_total",
        kind=Kind.COUNTER,
        labels=ENDPOINT,
        meaning="Seconds in which the verdict was critical, counted from session to session.",
    ),
    Metric(
        name="mailprobe_tls_certificate_expiry_timestamp_seconds",
        kind=Kind.GAUGE,
        labels=ENDPOINT,
        meaning="When the certificate that the server showed expires; absent if the latest session got to see none.",
        of_a_round=True,
    ),
    Metric(
        name="mailprobe_evidence_source_up",
        kind=Kind.GAUGE,
        labels=("source",),
        meaning="1 if the source of log lines is being followed, 0 if it is not.",
    ),
    Metric(
        name="mailprobe_evidence_lines_total",
        kind=Kind.COUNTER,
        labels=("source",),
        meaning="Log lines that the source has brought.",
    ),
    Metric(
        name="mailprobe_evidence_last_line_timestamp_seconds",
        kind=Kind.GAUGE,
        labels=("source",),
        meaning="When the source brought its latest line; absent before the first.",
    ),
    Metric(
        name="mailprobe_evidence_lag_seconds",
        kind=Kind.HISTOGRAM,
        labels=("source",),
        meaning="How long after its time stamp a line arrived, the offset of the server's clock included.",
    ),
    Metric(
        name="mailprobe_evidence_clock_offset_seconds",
        kind=Kind.GAUGE,
        labels=("source",),
        meaning="By how much the clock that stamps the source's lines is ahead of the probe's; absent while unknown.",
    ),
    Metric(
        name="mailprobe_clients_total",
        kind=Kind.COUNTER,
        labels=("network",),
        meaning="Clients seen in the logs, by whose network their address is of; all clients, not only the probe.",
    ),
    Metric(
        name="mailprobe_node_local_endpoints",
        kind=Kind.GAUGE,
        labels=("node",),
        meaning="Local endpoints of the mail service, as the node's own kube-proxy counts them, or EndpointSlices do.",
        of_a_round=True,
    ),
    Metric(
        name="mailprobe_announcer_info",
        kind=Kind.INFO,
        labels=("node",),
        meaning="A node that answers for an address of the mail service.",
        of_a_round=True,
    ),
    Metric(
        name="mailprobe_dovecot_logins_total",
        kind=Kind.COUNTER,
        labels=(),
        meaning="Successful logins as Dovecot itself counts them.",
    ),
    Metric(
        name="mailprobe_turns_missed_total",
        kind=Kind.COUNTER,
        labels=ENDPOINT,
        meaning="Turns on which no session began: the one before took too long, or waited too long for its budget.",
    ),
    Metric(
        name="mailprobe_troubles",
        kind=Kind.GAUGE,
        labels=(),
        meaning="What is wrong with the daemon itself: history, sink, web-config, log, too small a budget, a bug.",
    ),
    Metric(
        name="mailprobe_config_last_reload_successful",
        kind=Kind.GAUGE,
        labels=(),
        meaning="1 if the configuration was taken when it was last read, 0 if it had faults and the old one goes on.",
    ),
    Metric(
        name="mailprobe_build_info",
        kind=Kind.INFO,
        labels=("version",),
        meaning="The version of mailprobe.",
        of_a_round=True,
    ),
)

OF_A_ROUND = tuple(metric for metric in CATALOGUE if metric.of_a_round)
"""What a single round tells: `/probe`, --textfile, --push. Counters would stand still at one."""

METRICS = {metric.name: metric for metric in CATALOGUE}
