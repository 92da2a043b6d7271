"""What there is to tell, onto a page: endpoints, sources, the cluster. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import probe
from probe.evidence.health import LAG_BUCKETS, Heard
from probe.model import MaskedBy, Networks, Policy, Topology, Verdict
from probe.service.distribution import Distribution, summed
from probe.service.metrics.page import Page, Wall
from probe.service.metrics.standing import Standing
from probe.verdict.belonging import announced


def endpoints(page: Page, told: Iterable[Standing], wall: Wall) -> None:
    """What became of every service of every path. A certificate's end is a wall time already."""
    for one in told:
        labels = (one.path, one.service)
        page.states("mailprobe_verdict", filter(None, (one.verdict,)), Verdict, *labels)
        page.states("mailprobe_masked_by", one.masked_by, MaskedBy, *labels)
        page.tell("mailprobe_client_address_preserved", one.preserved, *labels)
        page.tell("mailprobe_up", one.up, *labels)
        page.tell("mailprobe_last_session_timestamp_seconds", _wall(one.last_session, wall), *labels)
        page.tell("mailprobe_tls_certificate_expiry_timestamp_seconds", one.certificate_expiry, *labels)
        page.tell("mailprobe_outage_seconds_total", one.counts.seconds_of_outage, *labels)
        for verdict in Verdict:
            page.tell("mailprobe_sessions_total", one.counts.sessions[verdict], *labels, verdict)
        page.distribution("mailprobe_session_duration_seconds", one.counts.durations, wall, *labels)
        for phase, durations in one.counts.phases.items():
            page.distribution("mailprobe_phase_duration_seconds", durations, wall, *labels, phase)


def sources(page: Page, heard: Iterable[Heard], wall: Wall) -> None:
    """How each evidence source serves; should two be called the same, they are told together."""
    by_name: dict[str, list[Heard]] = {}
    for one in heard:
        by_name.setdefault(one.source, []).append(one)
    for name, same in by_name.items():
        page.tell("mailprobe_evidence_source_up", all(one.up for one in same), name)
        page.tell("mailprobe_evidence_lines_total", sum(one.lines for one in same), name)
        last = max((one.last_line_at for one in same if one.last_line_at is not None), default=None)
        page.tell("mailprobe_evidence_last_line_timestamp_seconds", _wall(last, wall), name)
        page.distribution("mailprobe_evidence_lag_seconds", _lag(same), wall, name)
        offsets = [one.clock_offset for one in same if one.clock_offset is not None]
        page.tell("mailprobe_evidence_clock_offset_seconds", max(offsets, key=abs, default=None), name)


def cluster(page: Page, topology: Topology | None, networks: Networks) -> None:
    """What is known of nodes; who announces addresses of the Service, and of nothing else."""
    if topology is None:
        return
    counts = {node.name: node.local_endpoints.value for node in topology.nodes if node.local_endpoints}
    for name, count in (counts or _endpoints_by_slices(topology)).items():
        page.tell("mailprobe_node_local_endpoints", count, name)
    for name in sorted({name for names in announced(topology, networks).values() for name in names}):
        page.tell("mailprobe_announcer_info", 1, name)


def _endpoints_by_slices(topology: Topology) -> dict[str, int]:
    """By node, as the API has them.

    With any policy but Local a node without one serves all the same: it is left out, for a zero would read as a drop.
    """
    if topology.endpoints is None:
        return {}
    ready = [one for one in topology.endpoints.value if one.node and one.ready and not one.terminating]
    # A pod of both families is in two slices.
    pods = {(one.node, one.pod or str(one.address)) for one in ready}
    policy = topology.service.policy
    every = [node.name for node in topology.nodes] if policy and policy.value is Policy.LOCAL else []
    return {**dict.fromkeys(every, 0), **Counter(name for name, _ in pods if name)}


def build(page: Page) -> None:
    """What we are."""
    page.tell("mailprobe_build_info", 1, probe.__version__)


def _wall(moment: float | None, wall: Wall) -> float | None:
    return None if moment is None else wall(moment)


def _lag(same: Sequence[Heard]) -> Distribution:
    parts = []
    for one in same:
        part = Distribution(LAG_BUCKETS)
        part.counts, part.total = list(one.counted), one.late_in_all
        parts.append(part)
    return summed(parts)
