"""The survey: sessions that failed get facts younger than the failure, and nobody waits longer than the bound."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from probe.model import (
    NOTHING_KNOWN,
    Announcer,
    Announcers,
    Failure,
    Known,
    MaskedBy,
    Networks,
    Origin,
    Phase,
    Question,
    Surroundings,
    Topology,
    Verdict,
)
from probe.service.survey import BOUND, MOST_ADDRESSES, Api, Survey, survey
from probe.sessions.control import CONTROL_SECONDS
from probe.settings import Settings, load
from probe.settings.targets import AFTER_FAILURE
from probe.topology import kubernetes
from probe.topology.announcer import NUDGES
from probe.topology.exchange import WINDOW
from probe.topology.health_check import TIMEOUT
from probe.verdict.judge import judge
from tests.builders import OURS, failed, smtp_session
from tests.verdict.test_judge import seen

DROPPED = smtp_session(fault=failed(Phase.CONNECT, Failure.TIMED_OUT), closed=105.0)
FINE = smtp_session()
SILENT = judge(DROPPED, seen(), Networks())
GOOD = judge(FINE, seen(OURS.address), Networks())


class Looks:
    """Looks that take as long as the test lets them; each is taken at the time the test has set."""

    def __init__(self) -> None:
        self.now = 100.0
        self.questions: list[Question] = []
        self.open = asyncio.Event()
        self.open.set()
        self.begun = asyncio.Event()

    async def __call__(self, question: Question) -> Topology:
        taken = self.now
        self.questions.append(question)
        self.begun.set()
        await self.open.wait()
        return Topology(taken=taken)


async def test_a_failure_is_explained_by_what_was_asked_for_after_it() -> None:
    looks = Looks()
    one = Survey(looks)
    one.begin([])
    await looks.begun.wait()
    looks.now = 105.5
    known = await one.around(DROPPED, SILENT)
    assert known.topology is not None
    assert known.topology.taken == 105.5
    assert [question.after_failure for question in looks.questions] == [False, True]
    assert ip_address("10.0.20.202") in looks.questions[-1].addresses
    await one.__aexit__()


async def test_addresses_of_which_nobody_can_tell_whose_they_are_are_said_to_be_unknown() -> None:
    node: Announcers = Known((Announcer("k8s-node2"),), Origin.NEIGHBOURS, 100.0)
    nobody: Announcers = Known((), Origin.EXCHANGE, 100.0)
    vip, relay = ip_address("10.0.20.202"), ip_address("10.0.20.50")

    async def look(_: Question) -> Topology:
        return Topology(taken=100.0, announcers={vip: (node,), relay: (nobody,)}, unknown=("more",))

    for proxies, told in (((), 1), ((ip_network("10.0.20.50"),), 0)):
        async with Survey(look, Surroundings(networks=Networks(proxies=proxies))) as one:
            found = await one.look([vip, relay])
        assert found is not None
        assert found.unknown[0] == "more"
        assert [words.split(",")[0] for words in found.unknown[1:]] == [
            "whether 10.0.20.50 or 10.0.20.202 is the Service's"
        ][:told]


async def test_a_later_failure_is_not_explained_by_what_explained_an_earlier_one() -> None:
    looks = Looks()
    looks.now = 105.5
    one = Survey(looks)
    await one.around(DROPPED, SILENT)
    looks.now = 106.5
    later = await one.around(replace(DROPPED, closed=106.0), SILENT)
    assert later.topology is not None
    assert later.topology.taken == 106.5


async def test_a_look_that_was_not_about_a_failure_does_not_do_however_young() -> None:
    looks = Looks()
    looks.now = 105.5
    one = Survey(looks)
    one.begin([])
    await looks.begun.wait()
    await one.around(DROPPED, SILENT)
    assert looks.questions[-1].after_failure


async def test_a_session_that_gives_up_takes_the_look_away_from_nobody() -> None:
    looks = Looks()
    looks.now = 105.5
    looks.open.clear()
    one = Survey(looks)
    hasty, patient = (asyncio.create_task(one.around(DROPPED, SILENT)) for _ in range(2))
    await looks.begun.wait()
    hasty.cancel()
    await asyncio.gather(hasty, return_exceptions=True)
    looks.open.set()
    assert (await patient).topology is not None
    assert len(looks.questions) == 1


async def test_sessions_that_fail_together_share_one_look() -> None:
    looks = Looks()
    looks.now = 105.5
    one = Survey(looks)
    await asyncio.gather(*(one.around(DROPPED, SILENT) for _ in range(8)))
    assert len(looks.questions) == 1


async def test_a_session_that_is_fine_waits_for_nothing() -> None:
    looks = Looks()
    looks.open.clear()
    one = Survey(looks)
    one.begin([])
    async with asyncio.timeout(1):
        assert (await one.around(FINE, GOOD)).topology is None
    await one.__aexit__()


async def test_nobody_waits_longer_than_the_bound_and_then_nothing_is_known() -> None:
    looks = Looks()
    looks.open.clear()
    one = Survey(looks, bound=0.05)
    async with asyncio.timeout(2):
        assert await one.around(DROPPED, SILENT) == NOTHING_KNOWN
    await one.__aexit__()


async def test_an_old_look_never_explains_a_failure_even_if_no_younger_one_can_be_had() -> None:
    looks = Looks()
    one = Survey(looks, bound=0.05)
    one.begin([])
    await looks.begun.wait()
    looks.open.clear()
    assert (await one.around(DROPPED, SILENT)).topology is None
    assert one.topology is not None
    await one.__aexit__()


async def test_a_bug_in_a_look_is_not_swallowed() -> None:
    async def broken(_: Question) -> Topology:
        raise ZeroDivisionError

    one = Survey(broken)
    with pytest.raises(ZeroDivisionError):
        await one.around(DROPPED, SILENT)
    with pytest.raises(ZeroDivisionError):
        await one.__aexit__()


class Cluster:
    """A Kubernetes API that tells the networks of its nodes and pods."""

    def __init__(self, *, tells_networks: bool = True) -> None:
        self.closed = False
        self.api = Api(close=self.close, tells_networks=tells_networks)

    async def close(self) -> None:
        self.closed = True

    async def look(self, _: Question) -> Topology:
        await asyncio.sleep(0)
        nodes, pods = ((ip_network(text),) for text in ("10.0.20.102/32", "10.10.0.0/16"))
        return Topology(
            taken=200.0,
            node_networks=Known(nodes, Origin.KUBERNETES, 200.0),
            pod_networks=Known(pods, Origin.KUBERNETES, 200.0),
        )


@pytest.mark.parametrize(("counts", "owner"), [(True, MaskedBy.NODE), (False, MaskedBy.OTHER)])
async def test_the_cluster_s_networks_count_beside_the_configured_ones(*, counts: bool, owner: MaskedBy) -> None:
    cluster = Cluster(tells_networks=counts)
    ours = Networks(gateways=(ip_network("10.0.20.1/32"),))
    async with Survey(cluster.look, replace(NOTHING_KNOWN, networks=ours), api=cluster.api) as one:
        known = await one.around(DROPPED, SILENT)
        for networks in (known.networks, one.networks(ours)):
            assert networks.owner(ip_address("10.0.20.102")) is owner
            assert networks.owner(ip_address("10.0.20.1")) is MaskedBy.GATEWAY
    assert cluster.closed


async def test_a_fine_session_waits_for_the_first_look_at_a_cluster_for_it_may_be_inside() -> None:
    cluster = Cluster()
    async with Survey(cluster.look, api=cluster.api) as one:
        one.begin([])
        known = await one.around(FINE, GOOD)
        assert known.topology is not None
        assert known.topology.pod_networks is not None


def configured(tmp_path: Path, text: str) -> Settings:
    file = tmp_path / "mailprobe.yaml"
    file.write_text(f"paths: [{{name: vip, host: 10.0.20.202, endpoints: [{{service: smtp}}]}}]\n{text}")
    return load(file, environment={}, hostname="host")


async def test_what_the_configuration_says_is_known_before_anybody_is_asked(tmp_path: Path) -> None:
    settings = configured(tmp_path, "topology: {nodes: {k8s-node2: 10.0.20.102}}")
    async with survey(settings, lambda: 0.0) as around:
        known = await around.around(FINE, GOOD)
    assert known.topology is not None
    assert known.topology.node_at(ip_address("10.0.20.102")) is not None
    assert ip_address("127.0.0.1") not in known.vantage


async def test_without_topology_nobody_is_asked(tmp_path: Path) -> None:
    async with survey(configured(tmp_path, ""), lambda: 0.0) as around:
        assert await around.around(DROPPED, SILENT) == NOTHING_KNOWN


async def test_the_latest_addresses_are_asked_for_and_no_more() -> None:
    looks = Looks()
    looks.now = 200.0
    one = Survey(looks)
    for number in range(2 * MOST_ADDRESSES):
        await one.around(replace(FINE, address=ip_address(f"10.0.20.{number}")), GOOD)
    await one.around(DROPPED, SILENT)
    asked = looks.questions[-1].addresses
    assert len(asked) == MOST_ADDRESSES
    assert asked[-1] == DROPPED.address


def test_what_follows_a_failed_session_is_no_time_in_which_nobody_looked() -> None:
    """Else an outage of a server that accepts and says nothing would be counted as none, where rounds are short."""
    assert AFTER_FAILURE == 2 * CONTROL_SECONDS + BOUND


def test_two_looks_in_a_row_fit_into_the_bound() -> None:
    """The one under way when a session failed, and the one after it; the nodes may be asked for on the link as well."""
    assert 2 * max(TIMEOUT, sum(NUDGES) + 2 * WINDOW, kubernetes.BOUND) < BOUND


def test_the_judge_s_word_is_what_the_survey_goes_by() -> None:
    assert (SILENT.verdict, GOOD.verdict) == (Verdict.SILENT_DROP, Verdict.PRESERVED)


async def test_all_addresses_of_the_paths_are_known_to_whoever_explains_one_of_them() -> None:
    looks = Looks()
    looks.now = DROPPED.closed + 1
    one = Survey(looks)
    other = smtp_session(address=ip_address("10.0.20.60"))
    await one.around(other, GOOD)
    known = await one.around(DROPPED, SILENT)
    assert known.addresses == (ip_address("10.0.20.60"), ip_address("10.0.20.202"))
    await one.__aexit__()
