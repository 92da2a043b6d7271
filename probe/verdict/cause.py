"""Why a verdict is what it is, as far as the surroundings tell. Pure.

Rule 1: a cause explains a verdict and never changes it; a session that is fine has none, unless it went to another
        server than the one whose logins are counted.
Rule 2: a row says what it needs and to which stronger rows it yields; of those that speak the strongest is the cause.
        Their order says nothing (a test turns it round), and no two may speak that do not know which yields.
Rule 3: a row speaks only from what is known. `None` is silence: a sentence names nothing that is not in the facts.
Rule 4: no fact counts that is older than the failure (service/survey.py sees to it that there are younger ones).
Rule 5: each sentence, and what it rests on, is in docs/cause.md (a test holds the rows against the page).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from probe.model import HealthPort, Judgement, MaskedBy, Origin, Policy, Session, Surroundings, Verdict
from probe.verdict import ports
from probe.verdict.case import BROKEN, Case, listed, place_of_pod
from probe.verdict.logins import another_server, nobody_gets_in, others_get_in, remark
from probe.verdict.vantage import doubt
from probe.verdict.words import banned

MASKED = frozenset({Verdict.MASKED})
SILENT = frozenset({Verdict.SILENT_DROP})
UNANNOUNCED = frozenset({Verdict.UNANNOUNCED})
UNANSWERED = frozenset({Verdict.SILENT_DROP, Verdict.UNANNOUNCED, Verdict.REFUSED})
WORKED = frozenset({Verdict.PRESERVED, Verdict.MASKED, Verdict.UNVERIFIED})


def _anything(_: Case) -> bool:
    return True


def _ours(case: Case) -> bool:
    return case.leads_here


def _entrance(case: Case) -> bool:
    return case.leads_here and case.way_in is not None


def _kube_proxy(case: Case) -> bool:
    return case.kube_proxy_may_have


def _policy_cluster(case: Case) -> str | None:
    return f"externalTrafficPolicy is Cluster: {_who_replaces(case)}" if case.policy is Policy.CLUSTER else None


def _policy_probably_cluster(case: Case) -> str | None:
    closed, silent = case.nodes_by_port(HealthPort.CLOSED), case.nodes_by_port(HealthPort.SILENT)
    port = case.topology.service.health_check_node_port
    if case.policy or port is None or not closed or {*closed, *silent} != {*case.nodes}:
        return None
    return (
        f"The health check port {port.value} is closed on {listed(closed)}, and it is open with externalTrafficPolicy "
        f"Local only: the policy is probably Cluster now, and {_who_replaces(case)}"
    )


def _who_replaces(case: Case) -> str:
    """Which node puts its address in the client's place; no more than is known where the address is no node's."""
    if case.judgement.masked_by is MaskedBy.POD and case.seen_node is None:
        announces = f"; {node} announces {case.session.address}" if (node := case.announcing_node) else ""
        tunnel = "that of a node's tunnel, which kube-proxy puts in the client's place"
        return f"{case.seen_address} is either a relaying pod's, or {tunnel}{announces}"
    if case.is_no_node_s:
        known = f"{case.seen_address} is none that is known of {listed(case.nodes, 'or')}"
        return f"kube-proxy puts a node's address in the client's place, but {known}"
    node = case.replacing_node
    who = f"kube-proxy on {node}" if node else "kube-proxy"
    announces = f", which announces {case.session.address}," if node and node == case.announcing_node else ""
    return f"{who}{announces} puts the node's address in the client's place"


def _several_answer(case: Case) -> str | None:
    if len(case.answering) < 2:
        return None
    names = [str(announcer) for announcer in case.answering]
    both = "both " if len(names) == 2 else "all "
    have = {str(one): case.has_endpoint(one.node) if case.enters else None for one in case.answering}
    having = [name for name, has in have.items() if has]
    rest = f", and only {having[0]} has a local endpoint" if len(having) == 1 else ""
    rest = ", and none of them has a local endpoint" if not having else rest
    rest = _may_be_one(case) if None in have.values() else rest
    return f"{listed(names)} {both}answer for {case.session.address}{rest}"


def _may_be_one(case: Case) -> str:
    """A node with two interfaces on the link answers by both, and only one of them may be known."""
    known = [announcer.node for announcer in case.answering if announcer.node]
    others = [announcer.mac for announcer in case.answering if announcer.node is None]
    return f", unless {listed(others)} is another interface of {known[0]}" if len(known) == len(others) == 1 else ""


def _stale_here(case: Case) -> str | None:
    told, heard = case.sent_to, case.answering
    if told is not None and case.told_by(Origin.EXCHANGE) == ():
        return f"Nobody on this link answers for {case.session.address} any more, and this machine still sent to {told}"
    if told is None or len(heard) != 1 or (told.node or told.mac) == (heard[0].node or heard[0].mac):
        return None
    return (
        f"{heard[0]} answers for {case.session.address}, but this machine still sent to {told}: its neighbour entry "
        "was out of date, and those of other machines may be"
    )


def _announced_by_a_stranger(case: Case) -> str | None:
    if case.stranger is None:
        return None
    return (
        f"{case.stranger} answers for {case.session.address}: another machine than {listed(case.nodes, 'or')}, by "
        "their link addresses"
    )


def _drained(case: Case) -> str | None:
    others = [name for name in case.nodes_with_endpoint if name not in case.drained]
    rest = f"; {place_of_pod(others)}" if others else ""
    if case.announced is None and case.way_in is None:
        unknown = bool(others) and not case.outside
        unseen = f"; which node announces {case.session.address} is not known from here" if unknown else ""
        return f"{_drain(case)}{rest}{unseen}" if case.drained else None
    if case.way_in not in case.drained:
        return None
    return f"{_way_in(case)}, which is cordoned and its pod terminating{rest}"


def _drain(case: Case) -> str:
    verb, its = ("is", "its") if len(case.drained) == 1 else ("are", "their")
    return f"{listed(case.drained)} {verb} cordoned and {its} pod terminating" if case.drained else ""


def _no_endpoint(case: Case) -> str | None:
    drain = f"; {_drain(case)}" if case.drained else ""
    if case.no_endpoint_ready:
        return f"No endpoint of {case.topology.service.name or 'the Service'} is ready{drain}"
    if not case.nodes or any(case.local_endpoints(name) != 0 for name in case.nodes):
        return None
    if len(case.nodes) == 1:
        return f"{case.nodes[0]}, the only node that is asked, has no local endpoint{drain}"
    return f"No node has a local endpoint: not {listed(case.nodes, 'nor')}{drain}"


def _announced_without_endpoint(case: Case) -> str | None:
    if case.policy is Policy.CLUSTER or case.has_endpoint(case.way_in) is not False:
        return None
    elsewhere = [name for name in case.nodes_with_endpoint if name != case.way_in]
    may = case.topology.may_announce
    barred = ", which no L2Advertisement selects" if may and not {*elsewhere} & {*may.value} else ""
    rest = f"; {place_of_pod(elsewhere)}{barred}" if elsewhere else ""
    drained = " (it is cordoned and its pod terminating)" if case.way_in in case.drained else ""
    return f"{_way_in(case)}, which has no local endpoint{drained}{rest}"


def _node_does_not_answer(case: Case) -> str | None:
    answering = case.nodes_by_port(HealthPort.ANSWERED)
    if case.way_in not in case.nodes_by_port(HealthPort.SILENT) or not answering:
        return None
    return (
        f"{_way_in(case)}, which does not answer on its health check port, as {listed(answering)} does: it may be down"
    )


def _proxy_unhealthy(case: Case) -> str | None:
    node = case.topology.node(case.way_in)
    if node is None or node.proxy_healthy is None or node.proxy_healthy.value:
        return None
    return f"{_way_in(case)}, whose kube-proxy says that it is not healthy: its rules may be out of date"


def _behind_the_node(case: Case) -> str | None:
    if not case.has_endpoint(case.way_in):
        return None
    return (
        f"{_way_in(case)}, which has a local endpoint: announcement and endpoint agree, so packets are lost between "
        "this node and its pod, or at a filter before it"
    )


def _way_in(case: Case) -> str:
    if case.topology.node_at(case.session.address) is not None:
        return f"{case.session.address} is {case.way_in}"
    if case.told_by(Origin.EXCHANGE) is None and case.sent_to is not None:
        return f"This machine sends what is for {case.session.address} to {case.way_in}"
    return f"{case.session.address} is announced by {case.way_in}"


def _nobody_announces(case: Case) -> str | None:
    if not case.nobody_answers:
        return None
    rest = f", although {place_of_pod(case.nodes_with_endpoint)}" if case.nodes_with_endpoint and case.enters else ""
    drain = f"; {_drain(case)}" if case.drained and case.enters else ""
    return f"Nobody on this link answers for {case.session.address}{rest}{drain}"


def _node_of_the_address(case: Case) -> str | None:
    if case.seen_node is None:
        return None
    seen = f"{case.seen_address} is an address of {case.seen_node}"
    local = " although externalTrafficPolicy is Local" if case.policy is Policy.LOCAL else ""
    if case.announcing_node == case.seen_node:
        return f"{seen}, which announces {case.session.address} and puts its own in the client's place{local}"
    if case.announcing_node:
        return f"{seen}, while {case.announcing_node} announces {case.session.address}"
    return f"{seen}: this node puts its own in the client's place{local}"


@dataclass(frozen=True, slots=True)
class Row:
    """One row: a name, the verdicts it can explain, what it needs, its sentence where the facts give one, and rows that
    are stronger where they speak as well; theirs are stronger too."""

    name: str
    verdicts: frozenset[Verdict]
    needs: Callable[[Case], bool]
    sentence: Callable[[Case], str | None]
    yields_to: str = ""

    def spoken(self, case: Case) -> str | None:
        """The sentence, if this row can explain the verdict and has what it needs."""
        return self.sentence(case) if case.judgement.verdict in self.verdicts and self.needs(case) else None


# fmt: off
ROWS: tuple[Row, ...] = (
    Row("policy-cluster", MASKED, _kube_proxy, _policy_cluster),
    Row("policy-probably-cluster", MASKED, _kube_proxy, _policy_probably_cluster),
    Row("several-answer", BROKEN | MASKED, _anything, _several_answer, "policy-cluster policy-probably-cluster"),
    Row("node-of-the-address", MASKED, _kube_proxy, _node_of_the_address, "several-answer"),
    Row("announced-by-a-stranger", BROKEN | MASKED, _ours, _announced_by_a_stranger, "node-of-the-address"),
    Row("stale-here", BROKEN, _anything, _stale_here, "announced-by-a-stranger several-answer"),
    Row("no-endpoint", BROKEN, _ours, _no_endpoint, "stale-here"),
    Row("announced-without-endpoint", SILENT, _entrance, _announced_without_endpoint, "no-endpoint"),
    Row("node-does-not-answer", SILENT, _entrance, _node_does_not_answer, "announced-without-endpoint"),
    Row("proxy-unhealthy", SILENT, _entrance, _proxy_unhealthy, "node-does-not-answer"),
    Row("nobody-announces", UNANNOUNCED, _anything, _nobody_announces, "no-endpoint"),
    Row("drained", BROKEN, _ours, _drained, "proxy-unhealthy nobody-announces"),
    Row(ports.MISSING, UNANSWERED, ports.was_sent, ports.missing, "drained"),
    Row(ports.ALONE, SILENT | UNANNOUNCED, ports.was_sent, ports.alone, "not-a-port-of-the-service"),
    Row("behind-the-node", SILENT, _entrance, _behind_the_node, "this-port-alone"),
    Row("another-server", WORKED, _anything, another_server, "announced-by-a-stranger"),
    Row("others-get-in", BROKEN, _anything, others_get_in, "behind-the-node"),
    Row("nobody-gets-in", BROKEN, _anything, nobody_gets_in, "others-get-in"),
)
# fmt: on


def _stronger(row: Row) -> frozenset[str]:
    direct = row.yields_to.split()
    return frozenset(direct).union(*(_stronger(one) for one in ROWS if one.name in direct))


STRONGER = {row.name: _stronger(row) for row in ROWS}
"""Per row all that it yields to: what a row yields to, and whatever that yields to."""


def speaking(case: Case) -> dict[str, str]:
    """Every row that speaks, and its sentence."""
    spoken = {row.name: row.spoken(case) for row in ROWS}
    return {name: sentence for name, sentence in spoken.items() if sentence}


def cause(session: Session, judgement: Judgement, surroundings: Surroundings) -> str | None:
    """Say why, or None where nothing known tells."""
    strongest = _strongest(Case(session, judgement, surroundings))
    return f"{strongest[1]}." if strongest else None


def _strongest(case: Case) -> tuple[str, str] | None:
    """The row that is the cause, and its sentence."""
    if case.elsewhere:
        return None
    spoken = speaking(case)
    return next(((name, told) for name, told in spoken.items() if not STRONGER[name] & spoken.keys()), None)


def half_known(case: Case) -> tuple[str, str] | None:
    """Where the pod is, of a drop whose announcing node is not to be seen: no cause, but what to compare with, and how.

    Silent where a row has said more than that nobody gets in.
    """
    dropped = case.judgement.verdict in SILENT and case.leads_here and not case.outside
    unseen = dropped and case.policy is Policy.LOCAL and not case.announced and bool(case.nodes_with_endpoint)
    if not unseen or speaking(case).keys() - {"nobody-gets-in"}:
        return None
    pod, address = place_of_pod(case.nodes_with_endpoint), case.session.address
    known = f"{pod[0].upper()}{pod[1:]} and externalTrafficPolicy is Local"
    return (
        f"{known}; which node announces {address} is not known from here.",
        f"Find the node that announces {address} (`kubectl get servicel2statuses -A`): any but "
        f"{listed(case.nodes_with_endpoint, 'or')} drops what comes in; if it is the right one, look for a firewall.",
    )


def explained(session: Session, judgement: Judgement, surroundings: Surroundings) -> Judgement:
    """The same judgement with its cause; with the logins that were counted, and the doubt where we are inside."""
    inside, case = doubt(session, surroundings), Case(session, judgement, surroundings)
    row, why = _strongest(case) or (None, None)
    known, hint = ports.said(case, row) or half_known(case) or (None, judgement.hint)
    if case.may_be_banned and surroundings.login_refused is not None:
        hint = f"{banned(session, surroundings.login_refused)} {hint}"
    told = (judgement.explanation, remark(case), known, inside and f"But {inside[0].lower()}{inside[1:]}")
    return replace(
        judgement, cause=why and f"{why}.", explanation=" ".join(filter(None, told)), hint=hint, doubt=inside
    )
