"""A look around, at nodes on the loopback interface: what becomes a fact, and of what nothing is known."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from ipaddress import ip_address

import pytest

from probe.model import HealthPort, Origin, Policy, Question, Topology
from probe.topology.look import Cluster, Lookout
from tests.topology.nodes import Serve, answer, free_port, node, says

ONE, TWO = ip_address("127.0.0.2"), ip_address("127.0.0.3")


def clock() -> float:
    return 100.0


async def look(serving: Mapping[str, Serve], service: str | None = None) -> Topology:
    """A look at two nodes; those that serve do so on the same port, as nodes do."""
    async with contextlib.AsyncExitStack() as servers:
        port = free_port("127.0.0.2")
        for host, serve in serving.items():
            await servers.enter_async_context(node(serve, host, port))
        cluster = Cluster(
            nodes={"k8s-node1": (ONE,), "k8s-node2": (TWO,)}, health_check_node_port=port, service=service
        )
        return await Lookout(cluster, clock).look(Question((ip_address("127.0.0.1"),), after_failure=False))


async def test_every_node_tells_of_itself() -> None:
    facts = await look({"127.0.0.2": says(answer(1)), "127.0.0.3": says(answer(0))})
    one, two = facts.nodes
    assert one.local_endpoints is not None
    assert two.local_endpoints is not None
    assert (one.local_endpoints.value, two.local_endpoints.value) == (1, 0)
    assert (one.local_endpoints.origin, one.local_endpoints.at, facts.taken) == (Origin.HEALTH_CHECK, 100.0, 100.0)
    assert facts.service.policy is not None
    assert facts.service.policy.value is Policy.LOCAL


async def test_closed_ports_say_nothing_of_endpoints_or_policy() -> None:
    facts = await look({})
    assert [one.health_port.value for one in facts.nodes if one.health_port] == [HealthPort.CLOSED] * 2
    assert [one.local_endpoints for one in facts.nodes] == [None, None]
    assert facts.service.policy is None


async def test_nodes_are_asked_side_by_side() -> None:
    """Each answers only when both have been asked."""
    both = asyncio.Barrier(2)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await both.wait()
        await says(answer(1))(reader, writer)

    facts = await look({"127.0.0.2": serve, "127.0.0.3": serve})
    assert all(one.local_endpoints for one in facts.nodes)


async def test_an_answer_for_another_service_is_none_and_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    facts = await look({"127.0.0.2": says(answer(1)), "127.0.0.3": says(answer(1))}, service="mail/other")
    assert [(one.health_port, one.local_endpoints) for one in facts.nodes] == [(None, None)] * 2
    assert facts.service.policy is None
    assert any("answers for mailserver/mailserver, not for mail/other" in reason for reason in facts.unknown)
    assert capsys.readouterr().err.count("answers for mailserver/mailserver") == 1


async def test_without_a_port_nobody_is_asked() -> None:
    cluster = Cluster(nodes={"k8s-node1": (ONE,)})
    facts = await Lookout(cluster, clock).look(Question((), after_failure=True))
    assert facts.nodes == cluster.configured.nodes
    assert facts.announcers == {}


@pytest.mark.parametrize("text", ["127.0.0.1", "::1"])
async def test_an_address_of_this_machine_is_announced_by_nobody_we_could_see(text: str) -> None:
    facts = await Lookout(Cluster(), clock).look(Question((ip_address(text),), after_failure=True))
    assert facts.announcers == {}
    assert facts.unknown == (f"{text} is an address of this machine: who announces it is not to be seen from here",)


async def test_a_look_at_nothing() -> None:
    assert await Lookout(Cluster(), clock).look(Question((), after_failure=True)) == Topology(taken=100.0)
