"""A look that asks a Kubernetes API: what it finds, what it may not read, and the cause that comes of it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from probe.kubernetes.ask import Access
from probe.model import (
    Failure,
    Fault,
    Networks,
    Origin,
    Phase,
    Policy,
    Question,
    Surroundings,
    Topology,
    Verdict,
)
from probe.topology import kubernetes
from probe.topology.facts import Subject
from probe.topology.kubernetes import ClusterReader
from probe.topology.look import Cluster, Lookout
from probe.verdict.cause import cause
from probe.verdict.judge import judge
from tests.builders import smtp_session
from tests.kubernetes import objects, rbac
from tests.kubernetes.api import Answer, KubernetesApi, serving
from tests.kubernetes.cluster import Cluster as Scripted
from tests.kubernetes.objects import NODES, VIP, endpoint, endpoint_slice, node, with_objects
from tests.verdict.test_judge import seen

ADDRESS = ip_address(VIP)
QUESTION = Question((ADDRESS,), after_failure=False)
SUBJECT = Subject(namespace="mailserver", service="mailserver")


def clock() -> float:
    return 100.0


@contextlib.asynccontextmanager
async def lookout(
    api: KubernetesApi, folder: Path, *, bound: float = kubernetes.BOUND, **cluster: Any
) -> AsyncIterator[Lookout]:
    """A lookout with this API; nothing else is configured, unless it is given."""
    reader = ClusterReader(SUBJECT, Access(kubeconfig=api.kubeconfig(folder)), clock, bound=bound)
    try:
        yield Lookout(Cluster(service="mailserver/mailserver", **cluster), clock, reader.read)
    finally:
        await reader.close()


async def look(folder: Path, cluster: Scripted, **options: Any) -> Topology:
    """One look, at the cluster's objects alone: its nodes' health check ports are not to be reached from here."""
    async with serving(cluster, **options) as api, lookout(api, folder) as looking:
        return await looking.look(QUESTION)


def cluster(**held: Any) -> Scripted:
    """Nodes on the loopback, so that nobody else is asked on a health check port."""
    here = (node("k8s-node2", "127.0.0.2"), node("k8s-node3", "127.0.0.3"))
    return with_objects(Scripted(), **({"nodes": here} | held))


async def test_everything_that_may_be_read_becomes_a_fact(tmp_path: Path) -> None:
    facts = await look(tmp_path, cluster())
    assert [one.name for one in facts.nodes] == ["k8s-node2", "k8s-node3"]
    assert facts.service.policy is not None
    assert (facts.service.policy.value, facts.service.policy.origin) == (Policy.LOCAL, Origin.KUBERNETES)
    assert facts.service.addresses is not None
    assert facts.service.addresses.value == (ADDRESS,)
    assert facts.service.health_check_node_port is not None
    assert facts.service.health_check_node_port.value == 30234
    (told,) = [known for known in facts.announcers[ADDRESS] if known.origin is Origin.METALLB]
    assert [one.node for one in told.value] == ["k8s-node2"]
    assert facts.endpoints is not None
    assert [(one.node, one.ready) for one in facts.endpoints.value] == [("k8s-node3", True)]
    assert facts.may_announce is not None
    assert facts.may_announce.value == ("k8s-node2", "k8s-node3")
    assert facts.node_networks is not None
    assert facts.node_networks.value == (ip_network("127.0.0.2"), ip_network("127.0.0.3"))
    assert facts.pod_networks is not None
    assert facts.pod_networks.value == (ip_network("10.10.0.0/16"),)
    assert not [reason for reason in facts.unknown if "Kubernetes" in reason]


@pytest.mark.parametrize(
    ("resource", "lost"),
    [
        ("services", lambda facts: facts.service.addresses),
        ("endpointslices", lambda facts: facts.endpoints),
        ("nodes", lambda facts: facts.node_networks),
        ("servicel2statuses", lambda facts: [one for told in facts.announcers.values() for one in told] or None),
        ("l2advertisements", lambda facts: facts.may_announce),
        ("ippools", lambda facts: None),
    ],
)
async def test_each_rule_of_the_docs_is_needed_and_its_lack_is_named_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], resource: str, lost: Any
) -> None:
    rules = {rule for rule in rbac.documented() if rule.resource != resource}
    (missing,) = rbac.documented() - rules
    async with serving(cluster(), rules=rules) as api, lookout(api, tmp_path) as looking:
        facts = await looking.look(QUESTION)
        await looking.look(QUESTION)
    assert lost(facts) is None
    sentence = f"may not {missing.verb} {resource}"
    assert [reason for reason in facts.unknown if sentence in reason]
    assert capsys.readouterr().err.count(sentence) == 1
    kept = [facts.service.addresses, facts.endpoints, facts.node_networks, facts.pod_networks]
    assert len([one for one in kept if one is not None]) >= 3


def test_the_docs_name_no_rule_that_is_not_needed() -> None:
    asked = {(ask.verb, ask.group, ask.resource) for ask in SUBJECT.questions().values()}
    documented = {(rule.verb, rule.group, rule.resource) for rule in rbac.documented()}
    assert documented - asked == {("list", "", "pods"), ("watch", "", "pods"), ("get", "", "pods/log")}
    assert asked <= documented


async def test_a_cluster_without_metallb_and_calico_is_no_trouble(tmp_path: Path) -> None:
    scripted = cluster()
    for kind in list(scripted.objects):
        if "." in kind[0] and not kind[0].endswith("k8s.io"):
            del scripted.objects[kind]
    facts = await look(tmp_path, scripted)
    assert not [reason for reason in facts.unknown if "Kubernetes" in reason]
    assert facts.may_announce is None
    assert facts.pod_networks is not None
    assert facts.pod_networks.value == (ip_network("10.244.1.0/24"),)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (Answer(body=b"<html>"), "no JSON object"),
        (Answer(body=b"{}"), "no list"),
        (Answer(status=401, body=b"{}"), "401"),
        (Answer(status=429, body=b"{}", headers={"Retry-After": "1000"}), "429"),
        (Answer(status=500, body=b"x" * 100_000), "500"),
    ],
)
async def test_an_api_that_babbles_tells_nothing_and_ends_nothing(
    tmp_path: Path, answer: Answer, sentence: str
) -> None:
    async with serving(cluster()) as api, lookout(api, tmp_path, nodes={"a": (ip_address("127.0.0.2"),)}) as looking:
        api.replace["/api"] = answer
        facts = await looking.look(QUESTION)
    assert [reason for reason in facts.unknown if sentence in reason]
    assert (facts.endpoints, facts.may_announce, facts.node_networks, facts.service.addresses) == (None,) * 4
    assert [one.name for one in facts.nodes] == ["a"]


async def test_refusals_that_read_differently_each_time_are_told_once_for_each_rule(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving(cluster()) as api, lookout(api, tmp_path) as looking:
        for turn in range(3):
            api.replace["/api"] = Answer(status=500, body=b'{"message": "request %d failed"}' % turn)
            facts = await looking.look(QUESTION)
            assert [reason for reason in facts.unknown if f"request {turn} failed" in reason]
    assert capsys.readouterr().err.count("failed)") == len(SUBJECT.questions())


async def test_an_api_that_never_answers_holds_a_look_back_for_its_bound_only(tmp_path: Path) -> None:

    async with serving(cluster()) as api:
        await api.stop()
        with socket.create_server(("127.0.0.1", api.port)):
            async with lookout(api, tmp_path, bound=0.2) as looking, asyncio.timeout(3):
                facts = await looking.look(QUESTION)
    assert [reason for reason in facts.unknown if "Kubernetes API" in reason]


SILENT = smtp_session(
    fault=Fault(phase=Phase.CONNECT, failure=Failure.TIMED_OUT, detail=""), client=None, address=ADDRESS
)


async def said(folder: Path, scripted: Scripted, *addresses: str) -> str | None:
    """The cause that the API's objects alone give."""
    facts = await look(folder, scripted)
    networks = Networks(
        nodes=facts.node_networks.value if facts.node_networks else (),
        pods=facts.pod_networks.value if facts.pod_networks else (),
    )
    session = smtp_session(address=ADDRESS) if addresses else SILENT
    judgement = judge(session, seen(*map(ip_address, addresses)), networks)
    assert judgement.verdict is (Verdict.MASKED if addresses else Verdict.SILENT_DROP)
    return cause(session, judgement, Surroundings(topology=facts, networks=networks))


LOCAL = {"services": [objects.service(healthCheckNodePort=1)]}
GOING = endpoint("k8s-node2", ready=False, terminating=True)


@pytest.mark.parametrize(
    ("held", "sentence"),
    [
        ({}, f"{VIP} is announced by k8s-node2, which has no local endpoint; the pod runs on k8s-node3."),
        (
            {"l2advertisements": [objects.advertisement({"matchLabels": {"announces": "yes"}})]},
            f"{VIP} is announced by k8s-node2, which has no local endpoint; the pod runs on k8s-node3, which no "
            "L2Advertisement selects.",
        ),
        (
            {"nodes": [node("k8s-node2", "127.0.0.2", cordoned=True), NODES[1]]}
            | {"endpointslices": [endpoint_slice(GOING, endpoint("k8s-node3"))]},
            f"{VIP} is announced by k8s-node2, which has no local endpoint (it is cordoned and its pod terminating); "
            "the pod runs on k8s-node3.",
        ),
        (
            {"endpointslices": [endpoint_slice(endpoint("k8s-node2", ready=False))]},
            "No endpoint of mailserver/mailserver is ready.",
        ),
        ({"endpointslices": []}, "No endpoint of mailserver/mailserver is ready."),
    ],
)
async def test_the_cause_of_silence(tmp_path: Path, held: dict[str, Any], sentence: str) -> None:
    assert await said(tmp_path, cluster(**LOCAL, **held)) == sentence


async def test_the_cause_of_a_mask_names_the_node_by_its_address_or_its_tunnel(tmp_path: Path) -> None:
    tunnel = {"projectcalico.org/IPv4VXLANTunnelAddr": "10.10.2.1"}
    nodes = [node("k8s-node2", "127.0.0.2", annotations=tunnel), node("k8s-node3", "127.0.0.3")]
    scripted = cluster(nodes=nodes, services=[objects.service(policy="Cluster")])
    sentence = (
        f"externalTrafficPolicy is Cluster: kube-proxy on k8s-node2, which announces {VIP}, puts the node's address in "
        "the client's place."
    )
    assert await said(tmp_path, scripted, "127.0.0.2") == sentence
    assert await said(tmp_path, scripted, "10.10.2.1") == sentence
