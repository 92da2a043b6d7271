"""Evidence, and what stands around the mail server: log lines, certificates, announcers, logins."""

from __future__ import annotations

from enum import IntEnum

from grafana_foundation_sdk.builders import bargauge, statetimeline, table, timeseries
from grafana_foundation_sdk.models.dashboard import ValueMap, ValueMappingResult

from dashboards import panels, questions
from dashboards.now import FEW_DAYS, FORTNIGHT
from dashboards.panels import BAD, GOOD, PLAIN, WARNING, Said, steps
from dashboards.verdicts import COLOURS, Kind

EVIDENCE_WINDOW = 15.0
"""Seconds for which a session waits for its line, `timeouts.evidence` by default."""


class NodeState(IntEnum):
    """What `questions.NODES` makes of a node."""

    IDLE = 1
    HAS_ENDPOINT = 2
    DROPS = 3
    SERVES = 4
    ANNOUNCES = 5


NODE_STATES = {
    NodeState.IDLE: ("no endpoint", COLOURS[Kind.UNVERIFIED]),
    NodeState.HAS_ENDPOINT: ("endpoint, announces nothing", COLOURS[Kind.LOCKED]),
    NodeState.DROPS: ("announces without endpoint", BAD),
    NodeState.SERVES: ("announces, endpoint", GOOD),
    NodeState.ANNOUNCES: ("announces, endpoints unknown", WARNING),
}


def lag() -> timeseries.Panel:
    """A line for each source."""
    said = Said(
        title="How late do log lines come?",
        description="Nine of ten lines arrived within so many seconds of their time stamp, by source; the offset "
        "between the clocks is in it. Beyond timeouts.evidence (15 s by default) sessions become unverified.",
        unit="s",
        steps=steps((EVIDENCE_WINDOW / 3, WARNING), (EVIDENCE_WINDOW, BAD)),
    )
    return panels.lines(said, panels.series(questions.LAG, "{{source}} at {{vantage}}"))


def sources() -> table.Panel:
    """A row for each source."""
    said = Said(
        title="Is each source of log lines alive?",
        description="Whether it is being followed, how long ago its latest line came, lines per minute, and by how "
        "much the clock that stamps them is ahead, where that is known. Followed but silent: nothing writes there, or "
        "a log shipper drops lines.",
        unit="short",
    )
    looks = {
        "Value #A": panels.named("followed", "bool_yes_no", steps((1, GOOD), first=BAD)),
        "Value #B": panels.named("latest line", "s", steps((300, WARNING), (3600, BAD))),
        "Value #C": panels.named("lines per minute", "short"),
        "Value #D": panels.named("clock ahead by", "s"),
    }
    asked = (questions.SOURCE_UP, questions.SOURCE_AGE, questions.SOURCE_LINES, questions.CLOCK_OFFSET)
    queries = (panels.rows(expr, ref=ref) for ref, expr in zip("ABCD", asked, strict=True))
    order = ("vantage", "source", "Value #A", "Value #B", "Value #C", "Value #D")
    return panels.grid(said, *queries, columns=panels.Columns(order=order, sorted_by="vantage", looks=looks))


def nodes() -> statetimeline.Panel:
    """A strip for each node."""
    said = Said(
        title="Who announces the address, and who has an endpoint?",
        description="Each node by the announcer of the paths' addresses and kube-proxy's count of local endpoints. "
        "Announces without endpoint: with externalTrafficPolicy Local it drops what comes in. Endpoints unknown: the "
        "health check port does not answer, as with Cluster. Empty without `topology`.",
        steps=[
            (None if state is NodeState.IDLE else float(state), colour) for state, (_, colour) in NODE_STATES.items()
        ],
    )
    shown = ValueMap(
        options={
            str(state.value): ValueMappingResult(text=text, color=colour, index=index)
            for index, (state, (text, colour)) in enumerate(NODE_STATES.items())
        }
    )
    return panels.timeline(said, questions.NODES, "{{node}}", shown)


def certificates() -> bargauge.Panel:
    """A bar for each service."""
    said = Said(
        title="When do certificates expire?",
        description=f"Days until the certificate expires that the server showed, by path and service, the "
        f"{questions.MOST} first. A service that shows none just now is left out.",
        unit="d",
        steps=steps((FEW_DAYS, WARNING), (FORTNIGHT, GOOD), first=BAD),
    )
    return panels.bars(said, questions.EXPIRIES, "{{path}} / {{service}}").min(0).max(90)


def logins() -> timeseries.Panel:
    """A line for each vantage that reads Dovecot's page."""
    said = Said(
        title="Do real users get in meanwhile?",
        description="Successful logins per minute as Dovecot itself counts them, the probe's among them. Zero while "
        "sessions fail: nobody gets in. Going on: the fault is on the probe's way. Empty without `dovecot_metrics`.",
        unit="cpm",
        steps=steps(first=PLAIN),
    )
    return panels.lines(said, panels.series(questions.LOGINS, "at {{vantage}}"))
