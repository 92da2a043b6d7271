"""Beats are shared by sessions that go one way in, one round at a time; nobody looks for those before his session."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from ipaddress import ip_address

import pytest

from probe.model import AddressFamily, Beat, Endpoint, IdMoment, ProxyHeader, Service, Span, TlsOptions
from probe.service.budget import BEATS, Budgets
from probe.service.rhythms import APART, FORGOTTEN, Rhythms

VIP = Endpoint(path="vip", service=Service.IMAPS, host="mail.example.org", port=993)
SAME_WAY = replace(
    VIP,
    path="by-another-name",
    host="Mail.Example.org",
    tls=TlsOptions(server_name="mail.example.ORG", verify=False),
)
OTHER_WAYS = (
    replace(VIP, host="10.0.20.101"),
    replace(VIP, port=30993),
    replace(VIP, family=AddressFamily.IPV6),
    replace(VIP, source_address=ip_address("192.168.1.10")),
    replace(VIP, proxy_header=ProxyHeader.V2),
    replace(VIP, tls=TlsOptions(server_name="mail.example.net")),  # a proxy may choose by it
    VIP.pinned("10.0.20.202"),
)


class Server:
    """Counts connections and lets them end when it is told to; the clock is the number of beats so far."""

    def __init__(self) -> None:
        self.now = 0.0
        self.opened = 0
        self.serves = asyncio.Event()
        self.serves.set()
        self.budgets = Budgets(2)
        self.rhythms = Rhythms(lambda: self.now)

    async def beat(self) -> Beat | None:
        self.opened += 1
        self.now += 1.0
        span = Span(self.now, self.now + 0.01)
        await self.serves.wait()
        return Beat(id_moments=dict.fromkeys(IdMoment, span))

    async def round(self, endpoint: Endpoint) -> None:
        await self.rhythms.round(endpoint, self.budgets, self.beat)


async def test_one_round_serves_all_sessions_on_its_way() -> None:
    server = Server()
    server.serves.clear()
    rounds = [asyncio.create_task(server.round(one)) for one in (VIP, SAME_WAY, VIP)]
    while server.opened < BEATS:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert server.rhythms.next_at(SAME_WAY, server.now, server.budgets) == server.now  # it can be waited for
    server.serves.set()
    await asyncio.gather(*rounds)
    assert server.opened == BEATS
    assert len(server.rhythms.since(SAME_WAY, 0.0)) == BEATS
    assert len(server.rhythms.since(VIP, 2.0)) == BEATS - 2  # of a session that was opened amid the round
    assert server.rhythms.next_at(VIP, server.now, server.budgets) == server.now + APART
    assert server.budgets.beats_since(VIP.name, 0.0) == BEATS
    assert server.budgets.beats_since(SAME_WAY.name, 0.0) == 0


@pytest.mark.parametrize("other", OTHER_WAYS, ids=str)
async def test_beats_that_go_another_way_tell_nothing(other: Endpoint) -> None:
    server = Server()
    await server.round(VIP)
    assert server.rhythms.since(other, 0.0) == ()
    assert server.rhythms.next_at(other, server.now, Budgets(2)) == server.now


async def test_a_round_that_is_broken_off_keeps_nobody_waiting() -> None:
    server = Server()
    server.serves.clear()
    first = asyncio.create_task(server.round(VIP))
    second = asyncio.create_task(server.round(SAME_WAY))
    while server.opened < BEATS:  # noqa: ASYNC110
        await asyncio.sleep(0)
    first.cancel()
    async with asyncio.timeout(5):
        await second
    assert server.rhythms.since(VIP, 0.0) == ()


async def test_rounds_are_opened_within_the_budget_of_beats() -> None:
    server = Server()
    await server.round(VIP)
    await server.round(VIP)
    assert server.rhythms.next_at(VIP, server.now, server.budgets) == pytest.approx(60.0)
    assert server.rhythms.next_at(SAME_WAY, server.now, server.budgets) == server.now + APART


async def test_a_name_that_goes_on_to_ever_new_addresses_leaves_the_old_ones() -> None:
    server = Server()
    first, second, third = (VIP.pinned(f"10.0.20.{number}") for number in (1, 2, 3))
    for there in (first, second):
        await server.round(there)
    server.rhythms.only([VIP.way_in])
    assert [len(server.rhythms.since(there, 0.0)) for there in (first, second)] == [BEATS, BEATS]
    server.now = FORGOTTEN + 0.5 * BEATS
    await server.round(third)
    assert server.rhythms.since(first, 0.0) == ()
    assert len(server.rhythms.since(second, 0.0)) == BEATS
    server.rhythms.only([])
    assert server.rhythms.since(third, 0.0) == ()
