"""Objects of the Kubernetes API, as documented and as nobody documented them: what becomes of each."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.model import Announcer, Policy
from probe.topology.facts import Subject, facts_of
from probe.topology.objects import announcers_of, endpoints_of, may_announce, node_of, service_of
from tests.kubernetes import objects
from tests.kubernetes.objects import NODES, VIP, advertisement, l2_status

STORAGE, OTHER = {"kubernetes.io/hostname": "k8s-node2", "mail": "yes"}, {"kubernetes.io/hostname": "k8s-node3"}
LABELLED = tuple(
    node_of(objects.node(name, address, labels=labels))
    for name, address, labels in (("k8s-node2", "10.0.20.102", STORAGE), ("k8s-node3", "10.0.20.103", OTHER))
)
BOTH, TWO, THREE = ("k8s-node2", "k8s-node3"), ("k8s-node2",), ("k8s-node3",)


def expression(operator: str, values: Any = (), key: str = "mail") -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


def test_a_service_of_a_load_balancer() -> None:
    service = service_of(objects.service(externalIPs=["10.0.20.210", "no address"]))
    assert service.policy is Policy.LOCAL
    assert service.health_check_node_port == 30234
    assert service.ports == (25, 465, 587, 993)
    assert service.addresses == (ip_address(VIP), ip_address("10.0.20.210"))
    assert service.pool == "mail"


def test_a_service_that_is_none_of_that() -> None:
    service = service_of(objects.service(policy=None, ip=None, pool=""))
    assert (service.policy, service.health_check_node_port, service.addresses, service.pool) == (None, None, (), "")


def test_a_node_with_a_tunnel() -> None:
    tunnels = {"projectcalico.org/IPv4VXLANTunnelAddr": "10.10.2.1", "projectcalico.org/IPv6VXLANTunnelAddr": "fd00::1"}
    node = node_of(objects.node("k8s-node2", "10.0.20.102", cordoned=True, annotations=tunnels))
    assert (node.name, node.addresses, node.cordoned) == ("k8s-node2", (ip_address("10.0.20.102"),), True)
    assert node.tunnels == (ip_address("10.10.2.1"), ip_address("fd00::1"))
    assert node.pods == (ip_network("10.244.1.0/24"),)


def test_endpoints_say_what_their_slice_says_and_what_the_api_documents_of_silence() -> None:
    quiet = {"addresses": ["10.10.1.6"]}
    ready, going, silent = endpoints_of(
        [
            objects.endpoint_slice(objects.endpoint("k8s-node3")),
            objects.endpoint_slice(objects.endpoint("k8s-node2", ready=False, terminating=True), quiet),
        ]
    )
    assert (ready.node, ready.pod, ready.ready, ready.serving, ready.terminating) == (
        "k8s-node3",
        "mailserver-0",
        True,
        True,
        False,
    )
    assert (going.ready, going.serving, going.terminating) == (False, True, True)
    assert (silent.node, silent.ready, silent.serving, silent.terminating) == (None, True, True, False)


def test_metallb_s_word_is_about_the_service_it_names() -> None:
    statuses = [l2_status("k8s-node2"), l2_status("k8s-node3", of="webmail"), l2_status("k8s-node2"), {"status": {}}]
    assert announcers_of(statuses, "mailserver", "mailserver") == (Announcer("k8s-node2"),)


@pytest.mark.parametrize(
    ("advertisements", "pool", "allowed"),
    [
        ([advertisement()], "mail", BOTH),
        ([advertisement()], "", BOTH),
        ([advertisement({"matchLabels": {"mail": "yes"}})], "mail", TWO),
        ([advertisement({"matchLabels": {"mail": "yes"}}, {"matchLabels": OTHER})], "mail", BOTH),
        ([advertisement({"matchLabels": {"mail": "yes"}}), advertisement({"matchLabels": OTHER})], "mail", BOTH),
        ([advertisement({"matchLabels": {"mail": "yes", "gone": "1"}})], "mail", ()),
        ([advertisement(expression("In", ["yes"]))], "mail", TWO),
        ([advertisement(expression("NotIn", ["yes"]))], "mail", THREE),
        ([advertisement(expression("Exists"))], "mail", TWO),
        ([advertisement(expression("DoesNotExist"))], "mail", THREE),
        ([advertisement(expression("Gt", ["1"]))], "mail", None),
        ([advertisement(pools=["mail"]), advertisement(pools=["web"])], "mail", BOTH),
        ([advertisement({"matchLabels": OTHER}, pools=["mail"]), advertisement(pools=["web"])], "mail", THREE),
        ([advertisement(pools=["web"])], "mail", ()),
        ([advertisement(pools=["web"])], "", None),
        ([advertisement(ipAddressPoolSelectors=[{"matchLabels": {"a": "b"}}])], "mail", None),
        ([advertisement(serviceSelectors=[{"matchLabels": {"a": "b"}}])], "mail", None),
        ([], "mail", None),
    ],
)
def test_who_may_announce(advertisements: list[Any], pool: str, allowed: tuple[str, ...] | None) -> None:
    assert may_announce(advertisements, pool, LABELLED) == allowed


def test_several_announcers_of_several_addresses_tell_nothing() -> None:
    answers: dict[str, Any] = {
        "service": objects.service(externalIPs=["10.0.20.210"]),
        "statuses": {"items": [l2_status("k8s-node2"), l2_status("k8s-node3")]},
    }
    subject = Subject(namespace="mailserver", service="mailserver")
    assert facts_of(subject, answers, 1.0, ()).announcers == {}
    answers["service"] = objects.service()
    (told,) = facts_of(subject, answers, 1.0, ()).announcers.values()
    assert [one.node for one in told.value] == ["k8s-node2", "k8s-node3"]


def test_no_slice_of_a_service_that_is_not_known_says_nothing() -> None:
    subject, nothing = Subject(namespace="mailserver", service="mailserver"), {"items": list[Any]()}
    assert facts_of(subject, {"slices": nothing}, 1.0, ()).endpoints is None
    known = facts_of(subject, {"slices": nothing, "service": objects.service()}, 1.0, ()).endpoints
    assert known is not None
    assert known.value == ()


def test_nodes_keep_their_configured_names() -> None:
    answers: dict[str, Any] = {
        "nodes": {"items": list(NODES)},
        "service": objects.service(),
        "slices": {"items": [objects.endpoint_slice(objects.endpoint("k8s-node3"))]},
        "statuses": {"items": [l2_status("k8s-node2")]},
        "advertisements": {"items": [advertisement()]},
    }
    facts = facts_of(Subject(namespace="mailserver", service="mailserver"), answers, 1.0, ())
    named = facts.named_as({"two": (ip_address("2001:db8::2"), ip_address("10.0.20.102")), "away": ()})
    assert {node.name for node in named.nodes} == {"two", "away", "k8s-node3"}
    assert named.nodes[0].addresses == (ip_address("2001:db8::2"), ip_address("10.0.20.102"))
    assert [one.node for told in named.announcers.values() for one in told.value] == ["two"]
    assert named.may_announce is not None
    assert named.may_announce.value == ("two", "k8s-node3")


KEYS = [
    *("metadata", "spec", "status", "items", "addresses", "endpoints", "conditions", "name", "labels"),
    *("nodeSelectors", "matchLabels", "matchExpressions", "loadBalancer", "ingress", "podCIDRs", "ipAddressPools"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda held: (
        st.lists(held, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            held,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["service", "slices", "nodes", "statuses", "advertisements", "pools"]), JSON))
def test_whatever_comes_gives_facts(answers: dict[str, Any]) -> None:
    facts_of(Subject(namespace="a", service="b"), answers, 1.0, ()).named_as({"c": (ip_address("192.0.2.1"),)})
