"""Causes: which facts give which sentence, and that no sentence names what is not in the facts."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from probe.model import (
    NOTHING_KNOWN,
    Announcer,
    Announcers,
    Answered,
    Evidence,
    Failure,
    HealthPort,
    Judgement,
    Known,
    MaskedBy,
    Networks,
    Node,
    Origin,
    Peer,
    Phase,
    PhaseTiming,
    PodEndpoint,
    Policy,
    Service,
    ServiceFacts,
    Session,
    Surroundings,
    Topology,
    Verdict,
)
from probe.verdict.case import Case
from probe.verdict.cause import ROWS, STRONGER, cause, explained, speaking
from probe.verdict.judge import judge
from tests.builders import OURS, failed, smtp_session
from tests.verdict.test_judge import seen

VIP = ip_address("10.0.20.202")
ONE, TWO = ip_address("10.0.20.101"), ip_address("10.0.20.102")
MAC_ONE, MAC_TWO, MAC_OTHER = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:99"
BY_ONE, BY_TWO = Announcer("k8s-node1", MAC_ONE), Announcer("k8s-node2", MAC_TWO)
NETWORKS = Networks(nodes=(ip_network(ONE), ip_network(TWO)), pods=(ip_network("10.10.0.0/16"),))

DROPPED = smtp_session(fault=failed(Phase.CONNECT, Failure.TIMED_OUT), client=None)
REFUSED = smtp_session(fault=failed(Phase.CONNECT, Failure.REFUSED), client=None)
LOST = smtp_session(fault=failed(Phase.CONNECT, Failure.UNREACHABLE), client=None)
HUNG_UP = smtp_session(fault=failed(Phase.FIRST_BYTE, Failure.CLOSED))
FINE = smtp_session()


def known(value: Any, origin: Origin = Origin.HEALTH_CHECK) -> Known[Any]:
    return Known(value, origin, 101.0)


def node(name: str, endpoints: int | None = None, **facts: Any) -> Node:
    """A node of the test's cluster; with a count of endpoints its health check port has answered."""
    number = int(name[-1])
    if endpoints is not None:
        facts |= {"health_port": known(HealthPort.ANSWERED), "local_endpoints": known(endpoints)}
    macs = facts.pop("macs", (f"02:00:00:00:00:0{number}",))
    return Node(name=name, addresses=(ip_address(f"10.0.20.10{number}"),), macs=macs, **facts)


def closed(name: str) -> Node:
    return node(name, health_port=known(HealthPort.CLOSED))


def topology(*nodes: Node, **facts: Any) -> Topology:
    """With any answered health check port the policy is Local, as the lookout concludes."""
    answered = any(one.local_endpoints for one in nodes)
    service = ServiceFacts(
        policy=known(Policy.LOCAL) if answered else None,
        health_check_node_port=known(30234, Origin.CONFIGURATION),
    )
    return replace(Topology(taken=101.0, nodes=nodes, service=service), **facts)


def announced(*announcers: Announcer, origin: Origin = Origin.EXCHANGE) -> dict[Any, tuple[Announcers, ...]]:
    return {VIP: (known(announcers, origin),)}


def told(session: Session, facts: Topology, *addresses: Any) -> str | None:
    surroundings = Surroundings(topology=facts, networks=NETWORKS)
    judgement = judge(session, seen(*map(ip_address, addresses)), NETWORKS)
    return cause(session, judgement, surroundings)


POD_ON_ONE = (node("k8s-node1", 1), node("k8s-node2", 0))
SWITCHED = (closed("k8s-node1"), closed("k8s-node2"))
CLUSTER = ServiceFacts(policy=known(Policy.CLUSTER, Origin.KUBERNETES))
ENDPOINT = PodEndpoint(pod="mail-0", node="k8s-node1", ready=True, serving=True, terminating=False)
GOING = replace(ENDPOINT, ready=False, terminating=True)

ONE_DEAD = (node("k8s-node1", 1), node("k8s-node2", health_port=known(HealthPort.SILENT)))
UNHEALTHY = (node("k8s-node1", 1, proxy_healthy=known(value=False)), node("k8s-node2", 0))
CORDONED = (node("k8s-node1", 0, cordoned=known(value=True)), node("k8s-node2", 0))
DRAINING = (node("k8s-node1", 1), node("k8s-node2", 0, cordoned=known(value=True)))
GOING_ON_TWO = replace(GOING, node="k8s-node2")
STUCK = node("k8s-node5", 0, cordoned=known(value=True))
GOING_ON_FIVE = replace(GOING, node="k8s-node5")
TUNNELS = tuple(
    replace(node(f"k8s-node{number}"), addresses=(ip_address(f"10.0.20.10{number}"), ip_address(f"10.10.{number}.1")))
    for number in (1, 2)
)

LACKING = ServiceFacts(
    name="mailserver/mailserver",
    addresses=known((VIP,), Origin.KUBERNETES),
    ports=known((993, 465), Origin.KUBERNETES),
)

CASES: list[tuple[str, str, Session, Topology, tuple[str, ...]]] = [
    *(
        (
            "not-a-port-of-the-service",
            "Port 25 is missing in mailserver/mailserver, which has 465 and 993, unless another Service has it at the "
            "same address.",
            session,
            topology(*POD_ON_ONE, announcers=announced(BY_ONE), service=LACKING),
            (),
        )
        for session in (LOST, DROPPED, REFUSED)
    ),
    (
        "announced-without-endpoint",
        "10.0.20.202 is announced by k8s-node2, which has no local endpoint; the pod runs on k8s-node1.",
        DROPPED,
        topology(*POD_ON_ONE, announcers=announced(BY_TWO)),
        (),
    ),
    (
        "announced-without-endpoint",
        "10.0.20.102 is k8s-node2, which has no local endpoint; the pod runs on k8s-node1.",
        smtp_session(fault=DROPPED.fault, client=None, address=TWO),
        topology(*POD_ON_ONE),
        (),
    ),
    (
        "announced-without-endpoint",
        "10.0.20.202 is announced by k8s-node2, which has no local endpoint; the pod runs on k8s-node1.",
        DROPPED,
        topology(
            node("k8s-node1"),
            node("k8s-node2"),
            announcers=announced(Announcer("k8s-node2"), origin=Origin.METALLB),
            endpoints=known((ENDPOINT,), Origin.KUBERNETES),
        ),
        (),
    ),
    (
        "announced-without-endpoint",
        "10.0.20.202 is announced by k8s-node2, which has no local endpoint; the pod runs on k8s-node1, which no "
        "L2Advertisement selects.",
        DROPPED,
        topology(*POD_ON_ONE, announcers=announced(BY_TWO), may_announce=known(("k8s-node2",), Origin.METALLB)),
        (),
    ),
    (  # a node that answers by two interfaces is one
        "announced-without-endpoint",
        "10.0.20.202 is announced by k8s-node2, which has no local endpoint; the pod runs on k8s-node1.",
        DROPPED,
        topology(*POD_ON_ONE, announcers=announced(BY_TWO, Announcer("k8s-node2", MAC_OTHER))),
        (),
    ),
    (
        "behind-the-node",
        "10.0.20.202 is announced by k8s-node1, which has a local endpoint: announcement and endpoint agree, so "
        "packets are lost between this node and its pod, or at a filter before it.",
        DROPPED,
        topology(*POD_ON_ONE, announcers=announced(BY_ONE)),
        (),
    ),
    (
        "node-does-not-answer",
        "10.0.20.202 is announced by k8s-node2, which does not answer on its health check port, as k8s-node1 does: it "
        "may be down.",
        DROPPED,
        topology(*ONE_DEAD, announcers=announced(BY_TWO)),
        (),
    ),
    (
        "proxy-unhealthy",
        "10.0.20.202 is announced by k8s-node1, whose kube-proxy says that it is not healthy: its rules may be out of "
        "date.",
        DROPPED,
        topology(*UNHEALTHY, announcers=announced(BY_ONE)),
        (),
    ),
    (
        "stale-here",
        "k8s-node1 answers for 10.0.20.202, but this machine still sent to k8s-node2: its neighbour entry was out of "
        "date, and those of other machines may be.",
        DROPPED,
        topology(
            *POD_ON_ONE, announcers={VIP: (known((BY_ONE,), Origin.EXCHANGE), known((BY_TWO,), Origin.NEIGHBOURS))}
        ),
        (),
    ),
    (
        "stale-here",
        "Nobody on this link answers for 10.0.20.202 any more, and this machine still sent to k8s-node2.",
        DROPPED,
        topology(*POD_ON_ONE, announcers={VIP: (known((), Origin.EXCHANGE), known((BY_TWO,), Origin.NEIGHBOURS))}),
        (),
    ),
    (
        "announced-without-endpoint",
        "This machine sends what is for 10.0.20.202 to k8s-node2, which has no local endpoint; the pod runs on "
        "k8s-node1.",
        DROPPED,
        topology(*POD_ON_ONE, announcers=announced(BY_TWO, origin=Origin.NEIGHBOURS)),
        (),
    ),
    (
        "several-answer",
        "k8s-node1 and k8s-node2 both answer for 10.0.20.202, and only k8s-node1 has a local endpoint.",
        DROPPED,
        topology(*POD_ON_ONE, announcers=announced(BY_ONE, BY_TWO)),
        (),
    ),
    (
        "several-answer",
        "k8s-node1, k8s-node2 and 02:00:00:00:00:99 all answer for 10.0.20.202.",
        LOST,
        topology(*POD_ON_ONE, announcers=announced(BY_ONE, BY_TWO, Announcer(mac=MAC_OTHER))),
        (),
    ),
    (
        "announced-by-a-stranger",
        "02:00:00:00:00:99 answers for 10.0.20.202: another machine than k8s-node1 or k8s-node2, by their link "
        "addresses.",
        REFUSED,
        topology(*POD_ON_ONE, announcers=announced(Announcer(mac=MAC_OTHER))),
        (),
    ),
    (
        "no-endpoint",
        "No node has a local endpoint: not k8s-node1 nor k8s-node2.",
        REFUSED,
        topology(node("k8s-node1", 0), node("k8s-node2", 0)),
        (),
    ),
    (
        "no-endpoint",
        "No endpoint of mailserver/mailserver is ready.",
        HUNG_UP,
        topology(
            service=ServiceFacts(name="mailserver/mailserver"),
            endpoints=known((replace(ENDPOINT, ready=False),), Origin.KUBERNETES),
        ),
        (),
    ),
    (
        "no-endpoint",
        "No endpoint of the Service is ready; k8s-node1 is cordoned and its pod terminating.",
        REFUSED,
        topology(*CORDONED, endpoints=known((GOING,), Origin.KUBERNETES)),
        (),
    ),
    (  # the drain as it goes: who announces is what the person at the drain needs
        "announced-without-endpoint",
        "10.0.20.202 is announced by k8s-node2, which has no local endpoint (it is cordoned and its pod terminating); "
        "the pod runs on k8s-node1.",
        DROPPED,
        topology(*DRAINING, announcers=announced(BY_TWO), endpoints=known((ENDPOINT, GOING_ON_TWO), Origin.KUBERNETES)),
        (),
    ),
    (  # a pod that has been stuck elsewhere for hours is not the cause
        "announced-without-endpoint",
        "10.0.20.202 is announced by k8s-node2, which has no local endpoint; the pod runs on k8s-node1.",
        DROPPED,
        topology(*POD_ON_ONE, STUCK, announcers=announced(BY_TWO), endpoints=known((ENDPOINT, GOING_ON_FIVE))),
        (),
    ),
    (
        "nobody-announces",
        "Nobody on this link answers for 10.0.20.202, although the pod runs on k8s-node1; k8s-node2 is cordoned and "
        "its pod terminating.",
        LOST,
        topology(*DRAINING, announcers=announced(), endpoints=known((ENDPOINT, GOING_ON_TWO), Origin.KUBERNETES)),
        (),
    ),
    (
        "drained",
        "k8s-node2 is cordoned and its pod terminating; the pod runs on k8s-node1; which node announces 10.0.20.202 is "
        "not known from here.",
        DROPPED,
        topology(*DRAINING, endpoints=known((ENDPOINT, GOING_ON_TWO), Origin.KUBERNETES)),
        (),
    ),
    (
        "drained",
        "10.0.20.202 is announced by k8s-node2, which is cordoned and its pod terminating; the pod runs on k8s-node1.",
        HUNG_UP,
        topology(*DRAINING, announcers=announced(BY_TWO), endpoints=known((ENDPOINT, GOING_ON_TWO), Origin.KUBERNETES)),
        (),
    ),
    (
        "nobody-announces",
        "Nobody on this link answers for 10.0.20.202, although the pod runs on k8s-node1.",
        LOST,
        topology(*POD_ON_ONE, announcers=announced()),
        (),
    ),
    (
        "policy-cluster",
        "externalTrafficPolicy is Cluster: kube-proxy on k8s-node2, which announces 10.0.20.202, puts the node's "
        "address in the client's place.",
        FINE,
        topology(node("k8s-node1"), node("k8s-node2"), service=CLUSTER, announcers=announced(BY_TWO)),
        ("10.0.20.102",),
    ),
    (
        "policy-probably-cluster",
        "The health check port 30234 is closed on k8s-node1 and k8s-node2, and it is open with externalTrafficPolicy "
        "Local only: the policy is probably Cluster now, and kube-proxy on k8s-node2 puts the node's address in the "
        "client's place.",
        FINE,
        topology(*SWITCHED),
        ("10.0.20.102",),
    ),
    (
        "policy-probably-cluster",
        "The health check port 30234 is closed on k8s-node1 and k8s-node2, and it is open with externalTrafficPolicy "
        "Local only: the policy is probably Cluster now, and 10.10.2.1 is either a relaying pod's, or that of a node's "
        "tunnel, which kube-proxy puts in the client's place.",
        FINE,
        topology(*SWITCHED),
        ("10.10.2.1",),
    ),
    (
        "policy-cluster",
        "externalTrafficPolicy is Cluster: 10.10.2.7 is either a relaying pod's, or that of a node's tunnel, which "
        "kube-proxy puts in the client's place; k8s-node2 announces 10.0.20.202.",
        FINE,
        topology(node("k8s-node1"), node("k8s-node2"), service=CLUSTER, announcers=announced(BY_TWO)),
        ("10.10.2.7",),
    ),
    (
        "policy-cluster",
        "externalTrafficPolicy is Cluster: kube-proxy on k8s-node1 puts the node's address in the client's place.",
        FINE,
        topology(*TUNNELS, service=CLUSTER),
        ("10.10.1.1",),
    ),
    (
        "several-answer",
        "k8s-node1 and 02:00:00:00:00:99 both answer for 10.0.20.202, unless 02:00:00:00:00:99 is another interface of "
        "k8s-node1.",
        DROPPED,
        topology(*POD_ON_ONE, announcers=announced(BY_ONE, Announcer(mac=MAC_OTHER))),
        (),
    ),
    (
        "node-of-the-address",
        "10.0.20.102 is an address of k8s-node2, while k8s-node1 announces 10.0.20.202.",
        FINE,
        topology(*POD_ON_ONE, announcers=announced(BY_ONE)),
        ("10.0.20.102",),
    ),
    (
        "node-of-the-address",
        "10.0.20.101 is an address of k8s-node1, which announces 10.0.20.202 and puts its own in the client's place "
        "although externalTrafficPolicy is Local.",
        FINE,
        topology(*POD_ON_ONE, announcers=announced(BY_ONE)),
        ("10.0.20.101",),
    ),
    (
        "node-of-the-address",
        "10.0.20.102 is an address of k8s-node2: this node puts its own in the client's place.",
        FINE,
        topology(node("k8s-node1"), node("k8s-node2")),
        ("10.0.20.102",),
    ),
]


@pytest.mark.parametrize(("row", "sentence", "session", "facts", "addresses"), CASES)
def test_facts_give_the_sentence(
    row: str, sentence: str, session: Session, facts: Topology, addresses: tuple[str, ...]
) -> None:
    assert told(session, facts, *addresses) == sentence
    surroundings = Surroundings(topology=facts, networks=NETWORKS)
    case = Case(session, judge(session, seen(*map(ip_address, addresses)), NETWORKS), surroundings)
    assert f"{next(one for one in ROWS if one.name == row).sentence(case)}." == sentence


def test_where_the_pod_is_explains_a_drop_and_is_no_cause_of_it() -> None:
    place = "The pod runs on k8s-node1 and externalTrafficPolicy is Local; which node announces 10.0.20.202 is not"
    announced_too = topology(*POD_ON_ONE, announcers=announced(BY_ONE))
    draining = topology(*DRAINING, endpoints=known((ENDPOINT, GOING_ON_TWO), Origin.KUBERNETES))
    for session, facts, is_said in (
        (DROPPED, topology(*POD_ON_ONE), True),
        (DROPPED, announced_too, False),
        (DROPPED, draining, False),
        (REFUSED, topology(*POD_ON_ONE), False),
    ):
        judged = explained(session, judge(session, seen(), NETWORKS), Surroundings(topology=facts, networks=NETWORKS))
        assert (place in judged.explanation) is is_said
        assert ("any but k8s-node1 drops what comes in" in judged.hint) is is_said
        assert (judged.cause is None) is (facts not in (announced_too, draining))


def test_every_row_has_a_case_and_a_place_in_the_documents() -> None:
    names = [row.name for row in ROWS]
    others = {"another-server", "others-get-in", "nobody-gets-in", "this-port-alone"}
    assert set(names) == {case[0] for case in CASES} | others
    page = (Path(__file__).parents[2] / "docs/cause.md").read_text(encoding="utf-8")
    written = re.findall(r"^\| `([a-z-]+)` \|.*\| (.*?) \|$", page, re.M)
    assert written == [(row.name, ", ".join(row.yields_to.split()) or "-") for row in ROWS]


BESIDE = (Answered(Service.IMAPS, 993), Answered(Service.SUBMISSIONS, 465))
AT_A_NODE = smtp_session(fault=LOST.fault, client=None, address=TWO)
UNFOUND = replace(LOST, phases=(PhaseTiming(phase=Phase.CONNECT, seconds=3.06),))
EXTERNAL = replace(LACKING, addresses=known((TWO,)))
HAVING = replace(LACKING, ports=known((25, 993)))


@pytest.mark.parametrize(
    ("session", "facts", "said", "todo"),
    [
        (UNFOUND, topology(), "is probably missing in the Service: ", "see whether a speaker announces the address"),
        (LOST, topology(), "is probably missing in the Service, or a filter keeps it out: ", "look for a filter on it"),
        (
            LOST,
            topology(service=LACKING),
            "is missing in mailserver/mailserver",
            "-n mailserver edit service mailserver",
        ),
        (LOST, topology(service=HAVING), "alone leads nowhere: ", "See where 10.0.20.202 sends what comes for port 25"),
        (AT_A_NODE, topology(node("k8s-node2")), "alone leads nowhere: ", "See where 10.0.20.102 sends what comes"),
        (AT_A_NODE, topology(node("k8s-node2"), service=EXTERNAL), "alone leads nowhere: ", "See where 10.0.20.102"),
        (
            DROPPED,
            topology(),
            "is probably missing in the Service, or a filter or a ban keeps it out, or its server takes ",
            "look for a filter on it",
        ),
        # What is known of now is stronger than what answered a while ago; what is known of no port is weaker.
        (LOST, topology(announcers=announced()), None, "See whether a speaker announces it"),
        (DROPPED, topology(*POD_ON_ONE, announcers=announced(BY_TWO)), None, "compare the node that announces the VIP"),
        (
            DROPPED,
            topology(*POD_ON_ONE, announcers=announced(BY_ONE)),
            "is probably missing",
            "look for a filter on it",
        ),
        (REFUSED, topology(), None, "No endpoint is ready"),
        (smtp_session(fault=failed(Phase.CONNECT, Failure.NO_ROUTE)), topology(), None, "The fault is on the vantage"),
    ],
)
def test_one_port_alone(session: Session, facts: Topology, said: str | None, todo: str) -> None:
    around = Surroundings(topology=facts, networks=NETWORKS, answered=BESIDE)
    judged = explained(session, judge(session, seen(), NETWORKS), around)
    assert todo in judged.hint
    assert ("But imaps and submissions at" in judged.explanation) is (said is not None)
    if said is not None:
        assert (judged.cause or "").startswith(f"Port 25 {said}")


SILENCES: list[tuple[str, Session, Topology, tuple[str, ...]]] = [
    ("nothing is known", DROPPED, topology(), ()),
    ("a session that is fine", FINE, topology(*POD_ON_ONE, announcers=announced(BY_ONE)), ("192.168.1.10",)),
    ("the gateway's address is no node's", FINE, topology(*POD_ON_ONE), ("10.0.20.1",)),
    ("one port closed, one open", FINE, topology(closed("k8s-node1"), node("k8s-node2", 1)), ("10.10.2.1",)),
    ("one port closed, one unknown", FINE, topology(closed("k8s-node1"), node("k8s-node2")), ("10.10.2.1",)),
    ("an address that nothing known owns", FINE, topology(*SWITCHED), ("203.0.113.7",)),
    ("an address that nothing known owns", FINE, topology(service=CLUSTER), ("203.0.113.7",)),
    ("endpoints here unknown there", REFUSED, topology(node("k8s-node1", 0), node("k8s-node2")), ()),
    (
        "one node with two link addresses is one announcer",
        REFUSED,
        topology(*POD_ON_ONE, announcers=announced(BY_ONE, Announcer("k8s-node1", MAC_OTHER))),
        (),
    ),
    (
        "no stranger where a node's link address is unknown",
        REFUSED,
        topology(node("k8s-node1", macs=None), node("k8s-node2"), announcers=announced(Announcer(mac=MAC_OTHER))),
        (),
    ),
    (
        "a link address that VRRP moves names no machine",
        REFUSED,
        topology(*POD_ON_ONE, announcers=announced(Announcer(mac="00:00:5e:00:01:07"))),
        (),
    ),
    (
        "another Service's address",
        DROPPED,
        topology(
            *POD_ON_ONE,
            service=ServiceFacts(addresses=known((ip_address("10.0.20.203"),))),
            announcers=announced(BY_TWO),
        ),
        (),
    ),
    (
        "with the policy Cluster any node forwards",
        DROPPED,
        topology(service=CLUSTER, announcers=announced(BY_TWO), endpoints=known((ENDPOINT,), Origin.KUBERNETES)),
        (),
    ),
    (
        "an endpoint of which nobody says where it is",
        DROPPED,
        topology(announcers=announced(BY_TWO), endpoints=known((replace(ENDPOINT, node=None),), Origin.KUBERNETES)),
        (),
    ),
    (
        "a pod that relays, where every node's tunnel is known",
        FINE,
        topology(*TUNNELS, service=CLUSTER, announcers=announced(BY_TWO)),
        ("10.10.2.7",),
    ),
    (
        "the API says Local, so that closed ports mean something else",
        FINE,
        replace(topology(*SWITCHED), service=replace(topology(*SWITCHED).service, policy=known(Policy.LOCAL))),
        ("10.10.2.1",),
    ),
    (
        "no endpoint by the API, and kube-proxy, which is nearer, counts one",
        REFUSED,
        topology(*POD_ON_ONE, endpoints=known((), Origin.KUBERNETES)),
        (),
    ),
    (
        "a pod stuck on another node than the one that announces",
        HUNG_UP,
        topology(*POD_ON_ONE, STUCK, announcers=announced(BY_TWO), endpoints=known((ENDPOINT, GOING_ON_FIVE))),
        (),
    ),
    (
        "an endpoint whose readiness is unknown",
        REFUSED,
        topology(endpoints=known((replace(ENDPOINT, ready=None),), Origin.KUBERNETES)),
        (),
    ),
]


@pytest.mark.parametrize(("why", "session", "facts", "addresses"), SILENCES)
def test_silence(why: str, session: Session, facts: Topology, addresses: tuple[str, ...]) -> None:
    assert told(session, facts, *addresses) is None


ANSWERING = (Announcer(mac=MAC_OTHER), BY_ONE, BY_TWO)
"""Who may answer for a proxy's address: a machine of its own, or a node on which it runs, with a pod or without."""


def test_who_announces_a_proxy_s_address_is_no_question() -> None:
    networks = replace(NETWORKS, proxies=(ip_network(VIP),))
    judgement = judge(DROPPED, seen(), networks)
    for facts in (topology(*POD_ON_ONE), *(topology(*POD_ON_ONE, announcers=announced(one)) for one in ANSWERING)):
        assert cause(DROPPED, judgement, Surroundings(topology=facts, networks=networks)) is None
    nobody = replace(topology(*POD_ON_ONE), announcers=announced())
    said = cause(LOST, judge(LOST, seen(), networks), Surroundings(topology=nobody, networks=networks))
    assert said == "Nobody on this link answers for 10.0.20.202."


OTHER = ip_address("10.0.20.60")
NOWHERE = topology(node("k8s-node1", 0), node("k8s-node2", 0))


def among(addresses: tuple[Any, ...], facts: Topology, at: Any, networks: Networks = NETWORKS) -> str | None:
    """The cause of a refused session to one of the addresses that paths lead to."""
    session = smtp_session(fault=REFUSED.fault, client=None, address=at)
    judgement = judge(session, seen(), networks)
    return cause(session, judgement, Surroundings(topology=facts, networks=networks, addresses=addresses))


def test_endpoints_explain_only_an_address_that_is_known_to_lead_to_the_service() -> None:
    """Of two addresses one may be another server's; a node's announcement, the API or `networks` tell which."""
    sentence = "No node has a local endpoint: not k8s-node1 nor k8s-node2."
    by_api = replace(NOWHERE, service=replace(NOWHERE.service, addresses=known((VIP,), Origin.KUBERNETES)))
    aside = replace(NETWORKS, proxies=(ip_network(OTHER),))
    v6 = ip_address("2001:db8:20::202")
    both = (VIP, OTHER)
    assert [among(both, NOWHERE, one) for one in both] == [None, None]
    assert [among(both, by_api, one) for one in both] == [sentence, None]
    assert [among(both, replace(NOWHERE, announcers=announced(BY_TWO)), one) for one in both] == [sentence, None]
    assert among(both, NOWHERE, VIP, aside) == sentence
    assert [among((VIP, v6, TWO), NOWHERE, one) for one in (VIP, v6, TWO)] == [sentence] * 3


def test_no_endpoint_explains_an_address_that_may_be_another_service_s() -> None:
    """MetalLB gives addresses to more Services than one: that nodes announce two tells nothing of either."""
    dropped = replace(DROPPED, address=OTHER)
    facts = topology(*POD_ON_ONE)
    of_both = {**announced(BY_ONE), OTHER: announced(BY_TWO)[VIP]}
    of_one = {**announced(), OTHER: announced(BY_TWO)[VIP]}
    answered_twice = {**announced(BY_ONE), OTHER: announced(BY_ONE, BY_TWO)[VIP]}
    for announcers, said in (
        (of_both, None),
        (of_one, None),
        (answered_twice, "k8s-node1 and k8s-node2 both answer for 10.0.20.60."),
    ):
        surroundings = Surroundings(
            topology=replace(facts, announcers=announcers), networks=NETWORKS, addresses=(VIP, OTHER)
        )
        assert cause(dropped, judge(dropped, seen(), NETWORKS), surroundings) == said


def test_a_machine_among_the_nodes_networks_that_is_no_node_names_none() -> None:
    networks = replace(NETWORKS, nodes=(ip_network("10.0.20.0/24"),))
    facts = topology(node("k8s-node1"), node("k8s-node2"), service=CLUSTER, announcers=announced(BY_TWO))
    judgement = judge(FINE, seen(ip_address("10.0.20.50")), networks)
    assert cause(FINE, judgement, Surroundings(topology=facts, networks=networks)) == (
        "externalTrafficPolicy is Cluster: kube-proxy puts a node's address in the client's place, but 10.0.20.50 is "
        "none that is known of k8s-node1 or k8s-node2."
    )
    bare = tuple(replace(one, addresses=()) for one in facts.nodes)
    said = cause(FINE, judgement, Surroundings(topology=replace(facts, nodes=bare), networks=networks))
    assert said is not None
    assert "kube-proxy on k8s-node2, which announces 10.0.20.202, puts the node's address" in said


def test_without_any_surroundings_there_is_no_cause() -> None:
    for session in (DROPPED, REFUSED, LOST, HUNG_UP, FINE):
        judgement = judge(session, seen(TWO), NETWORKS)
        assert cause(session, judgement, NOTHING_KNOWN) is None


# Whatever is unknown: no sentence names a thing that is not in the facts.

NAMES = re.compile(r"k8s-node\d|[0-9a-f]{2}(?::[0-9a-f]{2}){5}|\d+\.\d+\.\d+\.\d+|mailserver/mailserver|\b30234\b")
NODE_ONE = (
    Node(name="k8s-node1"),
    node("k8s-node1", macs=None),
    node("k8s-node1", 1),
    node("k8s-node1", 0, proxy_healthy=known(value=False), cordoned=known(value=True)),
    closed("k8s-node1"),
)
NODE_TWO = (
    None,
    Node(name="k8s-node2"),
    node("k8s-node2", 0),
    closed("k8s-node2"),
    node("k8s-node2", macs=None, health_port=known(HealthPort.SILENT)),
    node("k8s-node2", cordoned=known(value=True), health_port=known(HealthPort.SILENT)),
)
ANNOUNCEMENTS: tuple[dict[Any, tuple[Announcers, ...]], ...] = (
    {},
    announced(),
    announced(BY_ONE),
    announced(Announcer(mac=MAC_OTHER), origin=Origin.NEIGHBOURS),
    announced(Announcer("k8s-node3"), origin=Origin.METALLB),
    announced(BY_ONE, BY_TWO),
    {VIP: (known((BY_TWO,), Origin.EXCHANGE), known((BY_ONE,), Origin.NEIGHBOURS))},
)
SERVICES = (
    ServiceFacts(),
    ServiceFacts(name="mailserver/mailserver", policy=known(Policy.LOCAL)),
    CLUSTER,
    ServiceFacts(health_check_node_port=known(30234)),
)
ENDPOINTS = (
    None,
    known(()),
    known((ENDPOINT, GOING)),
    known((PodEndpoint(),)),
    known((replace(GOING, node="k8s-node2"),)),
    known((ENDPOINT, replace(GOING, node="k8s-node2"))),
)
JUDGED = [
    (session, judge(session, seen(*addresses), NETWORKS))
    for session, addresses in ((DROPPED, ()), (REFUSED, ()), (LOST, ()), (HUNG_UP, ()), (FINE, (TWO,)))
]


def combinations() -> Iterator[Topology]:
    for one, two, announcers, service, endpoints in itertools.product(
        NODE_ONE, NODE_TWO, ANNOUNCEMENTS, SERVICES, ENDPOINTS
    ):
        nodes = tuple(filter(None, (one, two)))
        yield Topology(taken=101.0, nodes=nodes, announcers=announcers, service=service, endpoints=endpoints)


def test_of_rows_that_speak_together_one_is_the_strongest_whatever_their_order() -> None:
    together = 0
    for facts in combinations():
        for session, judgement in JUDGED:
            around = Surroundings(topology=facts, networks=NETWORKS, answered=BESIDE)
            spoken = speaking(Case(session, judgement, around))
            strongest = [name for name in spoken if not STRONGER[name] & spoken.keys()]
            assert len(strongest) == bool(spoken), (spoken, facts)
            together += len(spoken) > 1
    assert together > 1000


def test_every_two_rows_know_which_is_stronger_unless_one_needs_what_rules_the_other_out() -> None:
    """What no fact of these tests brings together is decided as well."""
    apart = {"policy-cluster", "policy-probably-cluster"}  # the policy is known, or it is not
    for one, two in itertools.combinations(ROWS, 2):
        if one.verdicts & two.verdicts and {one.name, two.name} != apart:
            assert one.name in STRONGER[two.name] or two.name in STRONGER[one.name], (one.name, two.name)


def test_no_sentence_names_what_is_not_in_the_facts() -> None:
    spoken = 0
    for facts in combinations():
        for session, judgement in JUDGED:
            sentence = cause(session, judgement, Surroundings(topology=facts, networks=NETWORKS))
            if sentence is None:
                continue
            spoken += 1
            held = f"{facts} {session.address} {judgement.seen}"
            assert [name for name in NAMES.findall(sentence) if name not in held] == [], (sentence, facts)
            assert "None" not in sentence
            assert sentence.endswith(".")
    assert spoken > 1000


def test_what_no_endpoint_means_is_never_said_where_one_is_known() -> None:
    for facts in combinations():
        for session, judgement in JUDGED:
            sentence = cause(session, judgement, Surroundings(topology=facts, networks=NETWORKS)) or ""
            for name in re.findall(r"the pod runs on (\S+?)[.;,]", sentence):
                assert (one := facts.node(name)) is None or one.local_endpoints is None or one.local_endpoints.value
            if sentence.startswith("No node has"):
                assert all(one.local_endpoints and not one.local_endpoints.value for one in facts.nodes)


@pytest.mark.parametrize("session", [DROPPED, REFUSED, LOST, HUNG_UP, FINE])
def test_after_a_refused_login_a_ban_is_what_to_look_for_first(session: Session) -> None:
    judgement = judge(session, seen(), NETWORKS)
    told = explained(session, judgement, Surroundings(login_refused=40.0)).hint
    if session not in (DROPPED, REFUSED):
        assert told == judgement.hint
        return
    ban, _, rest = told.partition(" If nobody is banned: ")
    assert ban.startswith("The server refused a login from here (just now) and has let none in on this path since")
    assert all(word in ban for word in ("fail2ban-client status", "unbanip", "ignoreip", "the node that is banned"))
    assert rest == judgement.hint


def test_a_cause_never_changes_the_verdict() -> None:
    facts = Surroundings(topology=topology(*POD_ON_ONE, announcers=announced(BY_TWO)))
    judgement = judge(DROPPED, Evidence(), NETWORKS)
    after = explained(DROPPED, judgement, facts)
    assert after.cause is not None
    assert replace(after, cause=None) == judgement


# A vantage inside the cluster.

INSIDE = "kube-proxy takes short cuts from there, so this is not the clients' way in."


def judged_from(client: str, surroundings: Surroundings, **changes: Any) -> Judgement:
    session = smtp_session(client=Peer(ip_address(client), 40000), expected=(ip_network(client),), **changes)
    return explained(session, judge(session, seen(ip_address(client)), NETWORKS), surroundings)


@pytest.mark.parametrize(
    ("client", "surroundings", "place"),
    [
        ("10.0.20.101", Surroundings(networks=NETWORKS), "at 10.0.20.101, a node of `networks.nodes`"),
        ("10.0.20.101", Surroundings(topology=topology(node("k8s-node1"))), "on k8s-node1 (10.0.20.101)"),
        ("10.10.3.7", Surroundings(networks=NETWORKS), "at 10.10.3.7, which is in `networks.pods`"),
        (
            "10.20.3.7",
            Surroundings(topology=topology(pod_networks=known((ip_network("10.20.0.0/16"),)))),
            "at 10.20.3.7, in the cluster's pod network",
        ),
        (
            "172.16.0.9",
            Surroundings(topology=topology(node("k8s-node1")), vantage=(ip_address("172.16.0.9"), ONE)),
            "on k8s-node1 (10.0.20.101)",
        ),
    ],
)
def test_preserved_from_inside_the_cluster_says_what_it_is_worth(
    client: str, surroundings: Surroundings, place: str
) -> None:
    judgement = judged_from(client, surroundings)
    assert judgement.verdict is Verdict.PRESERVED
    assert judgement.explanation.endswith(f"But the probe runs {place}: {INSIDE}")
    assert judgement.doubt == f"The probe runs {place}: {INSIDE}"


@pytest.mark.parametrize(
    ("client", "surroundings"),
    [
        ("192.168.1.10", Surroundings(networks=NETWORKS, topology=topology(node("k8s-node1")))),
        # The whole LAN is listed as nodes; that this machine has another address on it makes it no node.
        ("192.168.1.10", Surroundings(networks=Networks(nodes=(ip_network("10.0.20.0/24"),)), vantage=(ONE,))),
        ("10.0.20.101", NOTHING_KNOWN),
    ],
)
def test_no_doubt_from_outside(client: str, surroundings: Surroundings) -> None:
    judgement = judged_from(client, surroundings)
    assert (judgement.doubt, judgement.verdict) == (None, Verdict.PRESERVED)
    assert "But" not in judgement.explanation


@pytest.mark.parametrize(
    ("addresses", "doubted"),
    [
        ("192.168.1.10", False),  # another cluster's pod: both have the default range, and the server sees its node
        ("192.168.1.10 fd00::10", False),
        ("10.0.20.101", True),
        ("192.168.1.10 10.0.20.101", True),
        ("10.10.3.7 192.168.1.10", True),
        ("10.0.0.0/8", True),
    ],
)
def test_a_pod_s_own_address_counts_only_where_servers_may_see_it_or_the_cluster_s(
    addresses: str,
    doubted: bool,  # noqa: FBT001
) -> None:
    expected = tuple(map(ip_network, addresses.split()))
    session = smtp_session(client=Peer(ip_address("10.10.3.7"), 40000), expected=expected)
    judgement = explained(session, judge(session, seen(), NETWORKS), Surroundings(networks=NETWORKS))
    assert (judgement.doubt is not None) is doubted


def test_no_doubt_on_the_way_to_a_proxy() -> None:
    networks = replace(NETWORKS, proxies=(ip_network(VIP),))
    assert judged_from("10.0.20.101", Surroundings(networks=networks)).doubt is None


def test_masked_is_by_the_nodes_of_the_judgement() -> None:
    judgement = judge(FINE, seen(TWO), NETWORKS)
    assert (judgement.masked_by, judgement.seen) == (MaskedBy.NODE, (TWO,))
    assert judge(FINE, seen(OURS.address), NETWORKS).seen == ()
