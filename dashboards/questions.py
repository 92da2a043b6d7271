"""What Prometheus is asked. Pure; $vantage, $path, $service and $phase are the dashboard's, $__… are Grafana's.

- What a round tells too (`/probe`, --push) must not count twice: of gauges `max by` of the labels that name an endpoint
  comes before any sum. Counters are the daemon's alone.
- A state is looked at over a whole step, or a gap shorter than a step would hide; where a step is shorter than the
  scrape interval, the latest sample counts.
- Nothing is made to 0 where nothing is known: a panel without a probe is empty.
- `@ end()` ranks endpoints once for the whole picture, so that a row does not come and go with the step.
"""

from __future__ import annotations

from collections.abc import Iterable

from dashboards.verdicts import CODES, CRITICAL, KEEPS_OUT, MILDER, NOT_JUDGED, PERHAPS_THE_PROBE_ALONE, WORST_FIRST
from probe.model import Verdict

VANTAGE = 'vantage=~"$vantage"'
ENDPOINT = f'{VANTAGE},path=~"$path",service=~"$service"'
BY_ENDPOINT = "vantage, path, service"
MOST = 30
"""Rows of a picture that has one per endpoint."""


def of(verdicts: Iterable[Verdict]) -> str:
    """A matcher of these verdicts."""
    return f'verdict=~"{"|".join(verdicts)}"'


_NUMBERS = " or ".join(
    f'label_replace(vector({CODES[verdict]}), "verdict", "{verdict}", "", "")' for verdict in WORST_FIRST
)
"""A table of verdicts and their numbers, as series."""

_VERDICT = f"mailprobe_verdict{{{ENDPOINT}}}"
_NOW = f"{_VERDICT} == 1"
_IN_STEP = f"max_over_time({_VERDICT}[$__interval]) == 1 or {_NOW}"


def _worst(by: str, held: str) -> str:
    """The number of the worst of the verdicts that held, of whatever shares these labels.

    Of sixteen series of an endpoint one is 1: what costs is done with that one alone.
    """
    return f"max by ({by}) (({held}) * on (verdict) group_left () ({_NUMBERS}))"


def _or_not_judged(by: str) -> str:
    return f'or {NOT_JUDGED} * max by ({by}) (mailprobe_verdict{{{ENDPOINT},verdict="{Verdict.PRESERVED}"}})'


def endpoints(verdicts: Iterable[Verdict]) -> str:
    """How many endpoints have one of these verdicts; every vantage's view of a service is one."""
    return f"sum(max by ({BY_ENDPOINT}) (mailprobe_verdict{{{ENDPOINT},{of(verdicts)}}}))"


def _time_in(verdicts: Iterable[Verdict]) -> str:
    return f"avg_over_time(mailprobe_verdict{{{ENDPOINT},{of(verdicts)}}}[$__range] @ end())"


ILL_FOR = f"sum by ({BY_ENDPOINT}) (100 * {_time_in(CRITICAL)} or {_time_in(MILDER)}) > 0"
"""How ill an endpoint was: critical time before any other."""

WORST_BY_PATH = f"{_worst('path', _IN_STEP)} {_or_not_judged('path')}"
NOT_ALWAYS_WELL = _worst(BY_ENDPOINT, f"({_IN_STEP}) and on ({BY_ENDPOINT}) topk({MOST}, {ILL_FOR})")
_MATRIX = f"{_worst(BY_ENDPOINT, _NOW)} {_or_not_judged(BY_ENDPOINT)}"
MATRIX = f'label_join({_MATRIX}, "endpoint", " / ", "path", "service")'

SHUT_OUT = endpoints(KEEPS_OUT)
MASKED = endpoints((Verdict.MASKED, Verdict.SPOOFABLE))
SOME_OUT = endpoints(PERHAPS_THE_PROBE_ALONE)
UNVERIFIED = endpoints((Verdict.UNVERIFIED,))
QUIETEST = (
    f"max(time() - max by (vantage) (last_over_time(mailprobe_last_session_timestamp_seconds{{{ENDPOINT}}}[$__range])))"
)
DEAF = f"sum(1 - max by (vantage, source) (mailprobe_evidence_source_up{{{VANTAGE}}}))"
_OUT = f"sum by ({BY_ENDPOINT}) (increase(mailprobe_outage_seconds_total{{{ENDPOINT}}}[$__range]))"
"""Seconds of an endpoint, of all processes that probed it one after the other: a new pod counts from 0."""
MOST_TIME_OUT = f"max({_OUT})"
"""Of all its outages together: the counter does not tell one from the next."""

_EXPIRY = f"mailprobe_tls_certificate_expiry_timestamp_seconds{{{ENDPOINT}}}"
FIRST_EXPIRY = f"(min({_EXPIRY}) - time()) / 86400"
EXPIRIES = f"sort(bottomk({MOST}, (min by (path, service) ({_EXPIRY}) - time()) / 86400))"

_ANY = '"$vantage|"', '"$path|"', '"$service|"'
_ALERTS = "vantage=~{},path=~{},service=~{}".format(*_ANY)
"""An alert that is of no single vantage, path or service is shown whatever is chosen."""

FIRING = f'ALERTS{{alertname=~"Mailprobe.*",alertstate="firing",{_ALERTS}}}'
FIRING_NOW = f"max by (alertname, severity, {BY_ENDPOINT}, node, source, job, instance) ({FIRING})"
"""A target that never answered has no other name than its job and instance."""

_SESSIONS = "sum by (path) (increase(mailprobe_sessions_total{{" + ENDPOINT + ",{}}}[$__range]))"
_PROVED = _SESSIONS.format(of((Verdict.PRESERVED, Verdict.MASKED)))
PRESERVED_SHARE = f"sort(bottomk({MOST}, {_SESSIONS.format(of((Verdict.PRESERVED,)))} / ({_PROVED} > 0)))"
_MASKED_BY = f"max by ({BY_ENDPOINT}, network) (mailprobe_masked_by{{{ENDPOINT}}} == 1)"
_NETWORKS = f"0 * max by (network) (mailprobe_masked_by{{{ENDPOINT}}})"
WHO_MASKS = f"sum by (network) ({_MASKED_BY}) or {_NETWORKS}"
MASKED_NOW = f"sum by (path, service, network) ({_MASKED_BY})"
_CLIENTS = f"sum by (vantage, network) (rate(mailprobe_clients_total{{{VANTAGE}}}[$__rate_interval]))"
CLIENTS = f"60 * sum by (network) ({_CLIENTS} and on (vantage) topk(1, sum by (vantage) ({_CLIENTS})))"
"""Of one vantage: several read the same log, and may know other networks."""

TIME_OUT = f"clamp_max(max by (path) (rate(mailprobe_outage_seconds_total{{{ENDPOINT}}}[$__rate_interval])), 1)"
"""Sessions move the counter in jumps, so a window may seem to hold more of them than it is long."""

OUTAGES = f"topk({MOST}, {_OUT} > 0)"

_PHASES = f'mailprobe_phase_duration_seconds_bucket{{{ENDPOINT},phase=~"$phase"}}'
PHASES = f"sum by (le) (increase({_PHASES}[$__rate_interval]))"
_MEAN = "sum by (phase) (rate(mailprobe_phase_duration_seconds_{}{{{}}}[$__rate_interval]))"
MEAN_PHASES = f"{_MEAN.format('sum', ENDPOINT)} / ({_MEAN.format('count', ENDPOINT)} > 0)"
"""The mean, for the quantile of all phases together would read every bucket there is."""
SESSIONS = f"60 * sum by (verdict) (rate(mailprobe_sessions_total{{{ENDPOINT}}}[$__rate_interval])) > 0"

LAG = (
    "histogram_quantile(0.9, sum by (vantage, source, le) "
    f"(rate(mailprobe_evidence_lag_seconds_bucket{{{VANTAGE}}}[$__rate_interval])))"
)
SOURCE_UP = f"max by (vantage, source) (mailprobe_evidence_source_up{{{VANTAGE}}})"
SOURCE_AGE = f"time() - max by (vantage, source) (mailprobe_evidence_last_line_timestamp_seconds{{{VANTAGE}}})"
SOURCE_LINES = f"60 * max by (vantage, source) (rate(mailprobe_evidence_lines_total{{{VANTAGE}}}[$__rate_interval]))"
CLOCK_OFFSET = f"max by (vantage, source) (mailprobe_evidence_clock_offset_seconds{{{VANTAGE}}})"

LATEST_SESSION = (
    f"time() - max by (vantage) (last_over_time(mailprobe_last_session_timestamp_seconds{{{VANTAGE}}}[$__range]))"
)
RELOAD = f"min by (vantage) (mailprobe_config_last_reload_successful{{{VANTAGE}}})"
VERSION = f"max by (vantage, version) (mailprobe_build_info{{{VANTAGE}}})"

_ENDPOINTS_OF = f"max by (node) (mailprobe_node_local_endpoints{{{VANTAGE}}} > bool 0)"
_ANNOUNCES = f"max by (node) (mailprobe_announcer_info{{{VANTAGE}}})"
NODES = f"1 + {_ENDPOINTS_OF} + 2 * ({_ANNOUNCES} or 0 * {_ENDPOINTS_OF}) or 5 * {_ANNOUNCES}"
"""1 neither, 2 an endpoint, 3 announces without one, 4 announces and has one, 5 announces and endpoints are unknown."""

LOGINS = f"60 * max by (vantage) (rate(mailprobe_dovecot_logins_total{{{VANTAGE}}}[$__rate_interval]))"
