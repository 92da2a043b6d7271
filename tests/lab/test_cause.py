"""Causes on real servers: for each drop and mask the sentence names the right node, on both families.

The probe runs as a user would type it: outside, behind the router, and on the link of the nodes.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.lab import SCENARIOS, Generation, Lab, find_all
from tests.lab.addresses import HEALTH_CHECK, NODES, VIP
from tests.lab.addresses import TUNNEL as TUNNEL_ADDRESS
from tests.lab.kubeproxy import Policy
from tests.lab.scenario import Scenario
from tests.lab.scenarios import CLUSTER, DROP, POD_GONE, REJECT, UNANNOUNCED, due
from tests.lab.world import NetworkState

PROBE = Path(sys.executable).with_name("probe")
HOSTS = {4: VIP.v4, 6: VIP.v6}
TUNNELS = {4: TUNNEL_ADDRESS.v4, 6: TUNNEL_ADDRESS.v6}
ONE_SERVICE = due("any", "smtp")

TWO_ANNOUNCE = NetworkState(announcer="node2", second_announcer="node1")
SAME_NODE = NetworkState(announcer="node1", policy=Policy.CLUSTER)
TUNNEL = replace(CLUSTER, tunnel=True)
GATEWAY = NetworkState(gateway_nat=True)
HEALTHY = NetworkState()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A network state seen from somewhere, and the cause due: a sentence with the VIP left open, or none."""

    name: str
    state: NetworkState
    vantage: str
    verdict: str
    cause: str | None


CLOSED = (
    "The health check port 30234 is closed on node1 and node2, and it is open with externalTrafficPolicy Local only: "
    "the policy is probably Cluster now, and"
)
REPLACES = "puts the node's address in the client's place."
TUNNELLED = (
    f"{CLOSED} {{tunnel}} is either a relaying pod's, or that of a node's tunnel, which kube-proxy puts in the "
    "client's place"
)
TABLE = (
    Row(name="fine", state=HEALTHY, vantage="lan", verdict="preserved", cause=None),
    Row(
        name="drop",
        state=DROP,
        vantage="lan",
        verdict="silent_drop",
        cause="{vip} is announced by node2, which has no local endpoint; the pod runs on node1.",
    ),
    Row(
        name="drop-from-outside",
        state=DROP,
        vantage="vantage",
        verdict="silent_drop",
        cause=None,
    ),
    Row(
        name="pod-gone",
        state=POD_GONE,
        vantage="lan",
        verdict="silent_drop",
        cause="{vip} is announced by node1, which has a local endpoint: announcement and endpoint agree, so packets "
        "are lost between this node and its pod, or at a filter before it.",
    ),
    Row(
        name="no-endpoint",
        state=REJECT,
        vantage="lan",
        verdict="refused",
        cause="No node has a local endpoint: not node1 nor node2.",
    ),
    Row(
        name="no-endpoint-from-outside",
        state=REJECT,
        vantage="vantage",
        verdict="refused",
        cause="No node has a local endpoint: not node1 nor node2.",
    ),
    Row(
        name="unannounced",
        state=UNANNOUNCED,
        vantage="lan",
        verdict="unannounced",
        cause="Nobody on this link answers for {vip}, although the pod runs on node1.",
    ),
    Row(name="unannounced-from-outside", state=UNANNOUNCED, vantage="vantage", verdict="unannounced", cause=None),
    Row(
        name="cluster",
        state=CLUSTER,
        vantage="lan",
        verdict="masked",
        cause=f"{CLOSED} kube-proxy on node2, which announces {{vip}}, {REPLACES}",
    ),
    Row(
        name="cluster-from-outside",
        state=CLUSTER,
        vantage="vantage",
        verdict="masked",
        cause=f"{CLOSED} kube-proxy on node2 {REPLACES}",
    ),
    Row(
        name="cluster-same-node",
        state=SAME_NODE,
        vantage="lan",
        verdict="masked",
        cause=f"{CLOSED} kube-proxy on node1, which announces {{vip}}, {REPLACES}",
    ),
    Row(
        name="cluster-tunnel",
        state=TUNNEL,
        vantage="lan",
        verdict="masked",
        cause=f"{TUNNELLED}; node2 announces {{vip}}.",
    ),
    Row(
        name="cluster-tunnel-from-outside",
        state=TUNNEL,
        vantage="vantage",
        verdict="masked",
        cause=f"{TUNNELLED}.",
    ),
    Row(name="gateway", state=GATEWAY, vantage="vantage", verdict="masked", cause=None),
)
# Where no server is reached, its generation makes no difference.
REACHED = ("preserved", "masked")
GENERATIONS = sorted(find_all())
CELLS = [
    pytest.param(
        generation,
        row,
        family,
        id=f"{generation}-{row.name}-v{family}",
        marks=pytest.mark.xdist_group(f"cause-{generation}"),
    )
    for row in TABLE
    for generation in (GENERATIONS if row.verdict in REACHED else GENERATIONS[:1])
    for family in (4, 6)
]


@pytest.fixture(scope="module")
def labs() -> Iterator[dict[str, Lab]]:
    running: dict[str, Lab] = {}
    yield running
    for one in running.values():
        one.__exit__(None, None, None)


@pytest.fixture
def lab(labs: dict[str, Lab], generation: str) -> Lab:
    found = find_all()[generation]
    if not isinstance(found, Generation):
        refuse = pytest.fail if os.environ.get("CI") else pytest.skip
        refuse(f"no lab of {found.name}: {found.reason}")
    if generation not in labs:
        labs[generation] = Lab(generation=generation).__enter__()
    return labs[generation]


def scenario(state: NetworkState, *, vantage: str, family: int = 4) -> Scenario:
    """One SMTP endpoint of the VIP in this state of the network."""
    return replace(
        SCENARIOS["local"],
        name=f"cause-{vantage}-{family}",
        network=state,
        vantage=vantage,
        host=HOSTS[family],
        expected=ONE_SERVICE,
    )


def probed(lab: Lab, wanted: Scenario, *wrapper: str, **changes: Any) -> tuple[dict[str, Any], str]:
    """The one session of the scenario as JSON, and what was said on standard error; the network stays as it is."""
    config = lab.case(wanted).config_file
    content = json.loads(config.read_text())
    # Long enough for a lost SYN; that nobody announces is known after three searches for a neighbour.
    content["timeouts"]["connect"] = "4s" if wanted.network == UNANNOUNCED else "2s"
    config.write_text(json.dumps(content | changes))
    once = ("--once", "--config", str(config), "--format", "json")
    if wrapper:
        done = lab.run([*wrapper, str(PROBE), *once], namespace=wanted.vantage)
    else:
        done = lab.probe(*once, namespace=wanted.vantage)
    assert done.stdout, done.stderr
    (session,) = json.loads(done.stdout)["sessions"]
    assert isinstance(session, dict)
    return session, done.stderr


@pytest.mark.parametrize(("generation", "row", "family"), CELLS)
def test_the_sentence_names_the_right_node(lab: Lab, row: Row, family: int) -> None:
    wanted = scenario(row.state, vantage=row.vantage, family=family)
    lab.apply(wanted)
    session, said = probed(lab, wanted)
    assert session["verdict"] == row.verdict, session
    assert session["cause"] == (row.cause.format(vip=HOSTS[family], tunnel=TUNNELS[family]) if row.cause else None)
    assert said == ""


# What does not depend on the servers is shown once.
once = pytest.mark.parametrize(
    "generation", [pytest.param(name, marks=pytest.mark.xdist_group(f"cause-{name}")) for name in GENERATIONS[:1]]
)
both_families = pytest.mark.parametrize("family", [4, 6])


@once
@both_families
def test_two_nodes_that_answer_are_both_named(lab: Lab, family: int) -> None:
    """Which of them the session came to is chance; that there are two is a cause where it went wrong."""
    wanted = scenario(TWO_ANNOUNCE, vantage="lan", family=family)
    lab.apply(wanted)
    _send_to("node2", lab, family)
    session, _ = probed(lab, wanted)
    assert session["verdict"] == "silent_drop", session
    assert session["cause"].endswith(f" both answer for {HOSTS[family]}, and only node1 has a local endpoint.")
    assert {"node1", "node2"} <= set(session["cause"].split())


@once
def test_a_node_that_answers_by_two_interfaces_is_one(lab: Lab) -> None:
    """As Linux does by default: whatever address it has, over whatever interface it is asked (ARP alone)."""
    wanted = scenario(DROP, vantage="lan")
    lab.apply(wanted)
    second = "ip link add second link eth0 type macvlan mode bridge && ip link set second up"
    assert lab.run(["sh", "-c", second], namespace="node2").returncode == 0
    try:
        session, _ = probed(lab, wanted)
    finally:
        lab.run(["ip", "link", "del", "second"], namespace="node2")
    assert session["verdict"] == "silent_drop", session
    assert session["cause"] == f"{VIP.v4} is announced by node2, which has no local endpoint; the pod runs on node1."


@once
@both_families
def test_a_neighbour_entry_that_is_out_of_date(lab: Lab, family: int) -> None:
    """The announcement moved and this machine did not hear of it, as routers in the field do not."""
    wanted = scenario(HEALTHY, vantage="lan", family=family)
    lab.apply(wanted)
    _send_to("node2", lab, family)
    session, _ = probed(lab, wanted)
    assert session["verdict"] == "silent_drop", session
    assert session["cause"] == (
        f"node1 answers for {HOSTS[family]}, but this machine still sent to node2: its neighbour entry was out of "
        "date, and those of other machines may be."
    )
    # The answer that told so has refreshed the entry: that is why it is asked for after a failure only.
    session, _ = probed(lab, wanted)
    assert (session["verdict"], session["cause"]) == ("preserved", None)


@once
@both_families
def test_an_announcement_that_was_withdrawn(lab: Lab, family: int) -> None:
    """Nobody has the address any more, and this machine goes on sending to the node that had it."""
    wanted = scenario(UNANNOUNCED, vantage="lan", family=family)
    lab.apply(wanted)
    _send_to("node2", lab, family)
    session, _ = probed(lab, wanted)
    assert session["verdict"] == "silent_drop", session
    assert session["cause"] == (
        f"Nobody on this link answers for {HOSTS[family]} any more, and this machine still sent to node2."
    )


@once
def test_a_node_is_known_by_its_link_address_whatever_the_family(lab: Lab) -> None:
    wanted = scenario(DROP, vantage="lan", family=6)
    lab.apply(wanted)
    facts = {"health_check_node_port": HEALTH_CHECK, "nodes": {name: node.v4 for name, node in NODES.items()}}
    session, _ = probed(lab, wanted, topology=facts)
    assert session["cause"] == f"{VIP.v6} is announced by node2, which has no local endpoint; the pod runs on node1."


@once
@both_families
def test_a_tunnel_that_is_known_names_its_node(lab: Lab, family: int) -> None:
    wanted = scenario(TUNNEL, vantage="vantage", family=family)
    lab.apply(wanted)
    nodes = {name: [node.v4, node.v6] for name, node in NODES.items()}
    nodes["node2"] += [TUNNEL_ADDRESS.v4, TUNNEL_ADDRESS.v6]
    session, _ = probed(lab, wanted, topology={"health_check_node_port": HEALTH_CHECK, "nodes": nodes})
    assert session["cause"] == f"{CLOSED} kube-proxy on node2 {REPLACES}"


BY_TABLE = {
    "drop": (
        DROP,
        "This machine sends what is for {vip} to node2, which has no local endpoint; the pod runs on node1.",
    ),
    "unannounced": (UNANNOUNCED, "Nobody on this link answers for {vip}, although the pod runs on node1."),
}


@once
@both_families
@pytest.mark.parametrize(("state", "sentence"), BY_TABLE.values(), ids=BY_TABLE)
def test_without_privilege_the_neighbour_table_does_and_it_is_said_once(
    lab: Lab, family: int, state: NetworkState, sentence: str
) -> None:
    wanted = scenario(state, vantage="lan", family=family)
    lab.apply(wanted)
    session, said = probed(lab, wanted, "setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw")
    assert session["cause"] == sentence.format(vip=HOSTS[family])
    assert said.count("CAP_NET_RAW") == 1


@once
def test_a_path_to_a_node_s_own_address_enters_there(lab: Lab) -> None:
    wanted = replace(scenario(HEALTHY, vantage="vantage"), host=NODES["node2"].v4)
    blackhole = f"iptables -I INPUT -p tcp --dport 25 -d {NODES['node2'].v4} -j DROP"
    lab.apply(wanted)
    lab.run(["sh", "-c", blackhole], namespace="node2")
    session, _ = probed(lab, wanted)
    assert session["verdict"] == "silent_drop", session
    assert session["cause"] == f"{wanted.host} is node2, which has no local endpoint; the pod runs on node1."


@once
def test_a_health_check_port_behind_a_filter_is_unknown_not_closed(lab: Lab) -> None:
    """No sentence about the policy or endpoints; whose address it is remains known from the configuration."""
    wanted = scenario(CLUSTER, vantage="vantage")
    lab.apply(wanted)
    for node in NODES:
        lab.run(
            ["sh", "-c", f"iptables -I INPUT -p tcp --dport {HEALTH_CHECK} -j DROP"],
            namespace=node,
        )
    session, _ = probed(lab, wanted)
    assert session["verdict"] == "masked"
    assert session["cause"] == "10.0.20.102 is an address of node2: this node puts its own in the client's place."


@once
@pytest.mark.parametrize(
    "state", [DROP, REJECT, UNANNOUNCED, CLUSTER], ids=["drop", "reject", "unannounced", "cluster"]
)
def test_with_topology_unknown_no_sentence_is_invented(lab: Lab, state: NetworkState) -> None:
    wanted = scenario(state, vantage="lan")
    lab.apply(wanted)
    session, said = probed(lab, wanted, topology=None)
    assert (session["cause"], said) == (None, "")
    assert session["verdict"] != "preserved"


@once
def test_a_node_as_vantage_says_what_its_verdict_is_worth(lab: Lab) -> None:
    """A node without the pod: its own kube-proxy decides how it gets to the Service, as for no client."""
    wanted = scenario(HEALTHY, vantage="node2")
    lab.apply(wanted)
    session, _ = probed(lab, wanted, vantage={"name": "inside"})
    assert "But the probe runs on node2 (10.0.20.102): kube-proxy takes short cuts" in session["explanation"]


def _send_to(node: str, lab: Lab, family: int) -> None:
    """Make the LAN client believe that this node has the VIP."""
    shown = lab.run(["cat", "/sys/class/net/eth0/address"], namespace=node)
    mac = shown.stdout.strip()
    entry = ["ip", f"-{family}", "neigh", "replace", HOSTS[family], "lladdr", mac, "dev", "br0", "nud", "reachable"]
    done = lab.run(entry, namespace="lan")
    assert done.returncode == 0, done.stderr
