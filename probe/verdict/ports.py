"""One port that leads nowhere at an address that is there: most often the Service has lost it in an edit. Pure.

kube-proxy has rules for a Service's own ports alone. What comes for another one is not for the node that announces the
address, so the node sends it on: nobody answers, and the client hears "host unreachable". (Where the node forwards
nothing it is a drop, with IPVS a refusal.)

Rule 1: the API's word is on the ports of one Service, and others may share its address. So it comes after what is
        known to be amiss.
Rule 2: that other ports answered shows only that the address was there: "probably", and after what is known of now. A
        drop of one port may as well be a filter, a ban, or a server that takes no more connections.
"""

from __future__ import annotations

from probe.model import Failure, Phase, Verdict
from probe.verdict.case import Case, listed

MISSING, ALONE = "not-a-port-of-the-service", "this-port-alone"
"""The rows of verdict/cause.py that these sentences are."""

AT_ONCE = 1.0
"""Seconds within which nobody has asked for a neighbour in vain, which takes 3: whoever says no so soon forbids it."""

SPEAKER = "see whether a speaker announces the address (`kubectl get servicel2statuses -A`)"


def was_sent(case: Case) -> bool:
    """Whether anything left this machine: without a route of its own nothing here is about the port."""
    fault = case.session.fault
    no_route = fault is not None and fault.failure is Failure.NO_ROUTE
    return not no_route and not case.session.lost_meanwhile(Failure.NO_ROUTE)


def missing(case: Case) -> str | None:
    """The address is the Service's, and the Service does not have this port."""
    if _has_port(case) is not False:
        return None
    service, has = case.topology.service, _ports(case)
    return (
        f"Port {case.session.port} is missing in {service.name or 'the Service'}, which has {listed(has)}, unless "
        "another Service has it at the same address"
    )


def alone(case: Case) -> str | None:
    """Others at the address answered meanwhile. Where a guard may have banned us, it is the likelier reason."""
    if not case.surroundings.answered or case.may_be_banned:
        return None
    answered = listed([f"{one.service} ({one.port})" for one in case.surroundings.answered])
    there = f"{answered} at {case.session.address} answered meanwhile"
    if not _may_lack(case):
        return f"Port {case.session.port} alone leads nowhere: {there}"
    if case.judgement.verdict is Verdict.SILENT_DROP:
        return (
            f"Port {case.session.port} is probably missing in the Service, or a filter or a ban keeps it out, or its "
            f"server takes no more connections: {there}"
        )
    if _may_be_filtered(case):
        return f"Port {case.session.port} is probably missing in the Service, or a filter keeps it out: {there}"
    return f"Port {case.session.port} is probably missing in the Service: {there}, so somebody announces the address"


def said(case: Case, row: str | None) -> tuple[str | None, str] | None:
    """Where one of these rows is the cause: what the explanation adds, and what to do next."""
    if row not in (MISSING, ALONE):
        return None
    port, address = case.session.port, case.session.address
    answered = listed([str(one.service) for one in case.surroundings.answered])
    meanwhile = f"But {answered} at {address} answered meanwhile, so it is this port that leads nowhere."
    todo = _next(case, row, f"port {port}", f"`kubectl get service -A | grep {address}`")
    return meanwhile if answered else None, todo


def _next(case: Case, row: str, port: str, shown: str) -> str:
    if row == MISSING:
        namespace, _, service = (case.topology.service.name or "").partition("/")
        edit = f" (`kubectl -n {namespace} edit service {service}`)" if service else ""
        return (
            f"See which Services have the address ({shown}). Where none has {port}, put it back{edit}, or take this "
            "endpoint out of the configuration."
        )
    if not _may_lack(case):
        return f"See where {case.session.address} sends what comes for {port}: to a machine that is gone, or a filter."
    other = "look for a filter on it (NetworkPolicy, firewalls)" if _may_be_filtered(case) else SPEAKER
    return (
        f"See whether the Service has {port} ({shown}); put it there, or take this endpoint out of the configuration. "
        f"Where it has it, {other}."
    )


def _may_lack(case: Case) -> bool:
    """Whether it may be a Service that lacks the port."""
    return not _has_ports_of_its_own(case) and not _has_port(case)


def _may_be_filtered(case: Case) -> bool:
    return case.judgement.verdict is Verdict.SILENT_DROP or case.session.seconds_in(Phase.CONNECT) < AT_ONCE


def _has_ports_of_its_own(case: Case) -> bool:
    """A node, as a proxy: its address may be the Service's too (externalIPs), and the port a NodePort."""
    return case.outside or case.topology.node_at(case.session.address) is not None


def _has_port(case: Case) -> bool | None:
    """Whether the Service whose address it is has this port, by the API's word."""
    service = case.topology.service
    ours = service.addresses is not None and case.session.address in service.addresses.value
    if not ours or _has_ports_of_its_own(case):
        return None
    return case.session.port in _ports(case) if _ports(case) else None


def _ports(case: Case) -> list[int]:
    ports = case.topology.service.ports
    return sorted(ports.value) if ports else []
