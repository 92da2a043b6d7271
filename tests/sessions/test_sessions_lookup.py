"""Lookups of a resolver that answers late or never: shared, and bounded."""

from __future__ import annotations

import asyncio
import errno
import socket
from dataclasses import replace
from ipaddress import ip_address

import pytest

from probe.aside import Threads, aside
from probe.model import ControlKind, Endpoint, Mailbox, Phase, ProxyHeader, Service, Timeouts
from probe.sessions.faults import Refusal, SocketAddress
from probe.sessions.lookup import LookedUp, Lookups, find, look_up
from probe.sessions.open import open_session
from tests.sessions.acts import hang_up
from tests.sessions.moment import Moment
from tests.sessions.peers import Peer, Town, Visit
from tests.sessions.resolver import Resolver, in_turn, until_asked
from tests.sessions.running import VERBS, endpoint, judged, kit

NAMED = Endpoint(path="lab", service=Service.SMTP, host="mail.lab.test", port=25, timeouts=Timeouts(session=0.1))


async def test_whoever_wants_a_name_that_hangs_joins_the_lookup_that_is_under_way() -> None:
    resolver = Resolver()
    lookups = Lookups(resolver)
    for _ in range(3):  # turns, one after another
        with pytest.raises(Refusal, match=r"^no answer in time$"):
            await lookups.way(NAMED, 0.02)
    assert resolver.asked == [NAMED.host]
    joined = asyncio.create_task(lookups.way(NAMED, 10))
    other = asyncio.create_task(lookups.way(replace(NAMED, port=587), 10))
    await asyncio.sleep(0)
    resolver.let_go.set()
    assert await joined == (socket.AF_INET, ("127.0.0.1", 25))
    assert await other == (socket.AF_INET, ("127.0.0.1", 587))
    assert resolver.asked == [NAMED.host]
    await lookups.way(NAMED, 10)
    assert resolver.asked == [NAMED.host] * 2  # nothing is remembered


async def test_what_a_lookup_of_an_earlier_turn_failed_with_is_asked_anew() -> None:
    resolver = Resolver(failures=[socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")])
    lookups = Lookups(resolver)
    with pytest.raises(Refusal):
        await lookups.way(NAMED, 0.02)
    joined = asyncio.create_task(lookups.way(NAMED, 10))
    await asyncio.sleep(0)
    resolver.let_go.set()
    assert (await joined)[1] == ("127.0.0.1", 25)
    resolver.failures.append(socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
    with pytest.raises(socket.gaierror, match="not known"):
        await lookups.way(NAMED, 10)


async def test_too_many_that_hang_make_others_wait_and_leave_threads_to_the_daemon() -> None:
    resolver = Resolver()
    lookups = Lookups(resolver, most=2)
    names = [replace(NAMED, host=f"{number}.lab.test") for number in range(3)]
    hung = [asyncio.create_task(lookups.way(one, 10)) for one in names[:2]]
    await until_asked(resolver, 2)
    with pytest.raises(Refusal, match="no answer in time, with 2 lookups under way: no more are begun"):
        await lookups.way(names[2], 0.02)
    assert await aside(lambda: 7) == 7
    assert (await lookups.way(replace(NAMED, host="127.0.0.1"), 0.02))[1] == ("127.0.0.1", 25)
    third = asyncio.create_task(lookups.way(names[2], 10))
    resolver.let_go.set()
    assert len(await asyncio.gather(*hung, third)) == 3
    assert sorted(resolver.asked) == [one.host for one in names]


@pytest.mark.parametrize("most", [1, 0])
async def test_a_name_that_is_not_looked_up_in_time_is_not_resolved(most: int) -> None:
    """Also where it waits in line for lookups that hang: it is the resolver that hangs."""
    resolver = Resolver()
    ours = replace(kit(), lookups=Lookups(resolver, most=most))
    session = await open_session(NAMED, ours, [])
    judgement = judged(session)
    assert (judgement.verdict, judgement.rule) == ("resolve_failed", "name-not-resolved")
    assert session.fault is not None
    assert "no answer in time" in session.fault.detail
    assert [timing.phase for timing in session.phases] == [Phase.RESOLVE]
    assert 0.1 <= session.phases[0].seconds <= session.closed - session.opened
    resolver.let_go.set()


async def test_a_machine_without_threads_says_nothing_of_a_name() -> None:
    """As one without descriptors, which getaddrinfo tells in so many words."""
    resolver = Resolver(failures=[OSError(errno.EMFILE, "Too many open files")])
    resolver.let_go.set()
    for lookups in (Lookups(resolver, threads=Threads(most=0)), Lookups(resolver)):
        session = await open_session(NAMED, replace(kit(), lookups=lookups), [])
        assert (judged(session).rule, session.took_place) == ("vantage-cannot-open", False)
        assert session.fault is not None
        assert session.fault.phase is Phase.RESOLVE


async def test_a_session_goes_where_its_host_was_looked_up_to_be(town: Town) -> None:
    """The lookup is a part of it, and the time in which it waited for a place is none."""
    resolver = Resolver()
    resolver.let_go.set()
    at = replace(endpoint(town.open(Peer(service=Service.SUBMISSION))), host="mail.lab.test")
    ours = replace(kit(), lookups=Lookups(resolver))
    looked_up = await look_up(at, ours.lookups, ours.clock)
    waited_until = ours.clock()
    session = await open_session(at, ours, list(VERBS), replace(looked_up, seconds=0.5))
    assert (session.fault, session.address) == (None, ip_address("127.0.0.1"))
    assert session.opened >= waited_until - 0.5
    assert session.seconds_in(Phase.RESOLVE) >= 0.5
    assert resolver.asked == ["mail.lab.test"]


@pytest.mark.parametrize(
    ("service", "header", "controls"),
    [
        (Service.SUBMISSION, ProxyHeader.NONE, [ControlKind.LOCAL_HEADER]),
        (Service.SUBMISSION, ProxyHeader.V2, [ControlKind.NO_HEADER]),
        (Service.SUBMISSIONS, ProxyHeader.NONE, [ControlKind.LOCAL_HEADER, ControlKind.SILENT]),
    ],
)
async def test_control_connections_go_to_the_address_of_their_session(
    town: Town, service: Service, header: ProxyHeader, controls: list[ControlKind]
) -> None:
    """A name may mean two servers in turn: what the other one does says nothing of the one that failed."""
    came_to: list[str] = []

    async def noted(visit: Visit) -> None:
        came_to.append(visit.sock.getsockname()[0])
        await hang_up(visit)

    server = town.open(Peer(service=service, acts={Moment.ACCEPT: noted}, host="0.0.0.0"))
    resolver = in_turn("127.0.0.2", "127.0.0.3")
    at = replace(endpoint(server), host="mail.lab.test", proxy_header=header)
    session = await open_session(at, replace(kit(), lookups=Lookups(resolver)), list(VERBS))
    assert [control.kind for control in session.controls] == controls
    assert came_to == ["127.0.0.2"] * (1 + len(controls))
    assert (session.host, resolver.asked) == ("mail.lab.test", ["mail.lab.test"])
    told = replace(kit(), lookups=Lookups(resolver), told={session.endpoint: session})
    elsewhere = await open_session(at, told, list(VERBS))
    assert [control.kind for control in elsewhere.controls] == controls
    told.told[session.endpoint] = elsewhere
    again = await open_session(at.pinned("127.0.0.3"), told, list(VERBS))
    assert again.controls == (), "they tell it once"


@pytest.mark.parametrize(
    ("family", "address"),
    [
        (socket.AF_INET, ("127.0.0.2", 25)),
        (socket.AF_INET6, ("2001:db8::2", 25, 0, 0)),
        (socket.AF_INET6, ("fe80::2", 25, 0, 1)),
    ],
)
async def test_the_address_that_was_found_is_found_again_with_its_zone(
    family: socket.AddressFamily, address: SocketAddress
) -> None:
    looked_up = LookedUp(seconds=0.0, found=(family, address))
    there = NAMED.pinned(looked_up.at)
    assert await Lookups(find).way(there, 1.0) == (family, address)


def test_what_belongs_to_a_session_to_one_address_belongs_to_the_endpoint() -> None:
    """Its mailbox too, which is on the same path: it is read back there."""
    with_mailbox = replace(NAMED, mailbox=Mailbox(recipient="probe@lab.test", sender="", reader=NAMED))
    there = with_mailbox.pinned("127.0.0.2")
    assert there.mailbox is not None
    assert there.mailbox.reader.at == there.at
    assert (there.identity, there.name) == (with_mailbox.identity, with_mailbox.name)
    assert with_mailbox.pinned(LookedUp(seconds=0.0, error=OSError()).at) == with_mailbox
