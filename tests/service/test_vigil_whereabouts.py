"""Where endpoints are: a name that comes to mean another address, and what knocks at the old one are worth."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_address

from probe.model import Edge, Endpoint, Failure, Knock, Service, Verdict
from probe.service.vigil.post import Post
from probe.service.vigil.whereabouts import Whereabouts
from probe.sessions.knock import Knocker
from probe.sessions.lookup import Lookups, Way
from probe.sessions.open import Kit
from probe.sessions.tls import TlsContexts
from tests.builders import result
from tests.service.running import until

OLD, NEW = "127.0.20.202", "127.0.20.203"
SMTP = Endpoint(path="vip", service=Service.SMTP, host="mail.example.org", port=25)


class Zone:
    """A name whose address is set, and a clock that is set too: each look at it is a millisecond."""

    def __init__(self) -> None:
        self.address = OLD
        self.now = 1000.0

    def find(self, host: str, port: int | None, family: int, flags: int) -> Way:
        if flags:  # is it an address?
            raise socket.gaierror(socket.EAI_NONAME, "a name")
        return socket.AF_INET, (self.address, port or 0)

    def clock(self) -> float:
        self.now += 0.001
        return self.now


@asynccontextmanager
async def followed(zone: Zone) -> AsyncIterator[tuple[Post, Whereabouts]]:
    post = Post(SMTP)
    whereabouts = Whereabouts(Kit(clock=zone.clock, token=str, contexts=TlsContexts(), lookups=Lookups(zone.find)))
    knocker = Knocker([await whereabouts.aim(post)], 0.2, zone.clock, lambda *_: None)
    following = asyncio.create_task(whereabouts.follow([post], knocker))
    try:
        yield post, whereabouts
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following


def knock(at: float, failure: Failure | None = None) -> Knock:
    return Knock(at=at, left=at, seconds=0.001, failure=failure)


async def moved_to(zone: Zone, post: Post, whereabouts: Whereabouts, address: str, now: float) -> None:
    zone.address, zone.now = address, now
    whereabouts.look_again()
    await until(lambda: str(post.address) == address, "the new address")


async def test_what_is_refused_where_an_endpoint_has_been_is_no_outage_of_it() -> None:
    """The name moved, and then the old address was taken away: nobody who asks for the name was refused."""
    zone = Zone()
    async with followed(zone) as (post, whereabouts):
        assert post.knocked(knock(1001.0)) is None
        assert post.knocked(knock(1001.2, Failure.REFUSED)) is not None
        await moved_to(zone, post, whereabouts, NEW, 1001.25)
        assert post.knocked(knock(1001.24, Failure.REFUSED)) is None, "it was sent to the old address"
        post.knocked(knock(1001.5))
        seen = post.told(0.2)
    assert (seen.gaps, seen.blind) == ((), ())
    assert [(str(one.before), str(one.after)) for one in whereabouts.moves] == [(OLD, NEW)]


async def test_what_may_have_been_an_outage_of_it_is_blind() -> None:
    """The resolver took its time."""
    zone = Zone()
    async with followed(zone) as (post, whereabouts):
        post.knocked(knock(1001.0))
        post.knocked(knock(1001.2, Failure.REFUSED))
        await moved_to(zone, post, whereabouts, NEW, 1003.0)
        seen = post.told(0.2)
    assert (seen.gaps, [(span.start, round(span.end, 1)) for span in seen.blind]) == ((), [(1001.2, 1003.0)])


async def test_an_outage_from_before_the_name_moved_stays_one() -> None:
    zone = Zone()
    async with followed(zone) as (post, whereabouts):
        post.knocked(knock(1001.0))
        post.knocked(knock(1001.2, Failure.REFUSED))
        zone.now = 1003.0
        whereabouts.look_again()  # it still means the old address
        await until(lambda: zone.now > 1003.001, "a look")
        await moved_to(zone, post, whereabouts, NEW, 1004.0)
        for at in (1004.5, 1004.7):
            post.knocked(knock(at))
        (gap,) = post.told(0.2).gaps
    assert (gap.began, gap.ended) == (Edge(1001.0, 1001.2), Edge(1001.2, 1004.5))


async def test_a_name_that_means_two_addresses_in_turn_has_left_neither() -> None:
    zone = Zone()
    async with followed(zone) as (post, whereabouts):
        await moved_to(zone, post, whereabouts, NEW, 1001.0)
        post.knocked(knock(1001.5))
        post.knocked(knock(1001.7, Failure.REFUSED))
        await moved_to(zone, post, whereabouts, OLD, 1001.8)
        assert len(post.told(0.2).gaps) == 1
    assert len(whereabouts.moves) == 2


def test_a_session_elsewhere_contradicts_no_knock() -> None:
    post = Post(SMTP)
    post.address = ip_address(OLD)
    for at in (1000.0, 1000.2):
        post.knocked(knock(at))
    for number in range(10):
        post.knocked(knock(1000.4 + number * 0.2, Failure.REFUSED))
    judged = result(Verdict.PRESERVED, opened=1001.0, connected=1001.001, closed=1001.1)
    post.recorded(replace(judged, session=replace(judged.session, address=ip_address(NEW))), 1001.2)
    assert post.contradicted == 0
    post.recorded(replace(judged, session=replace(judged.session, address=ip_address(OLD))), 1001.2)
    assert post.contradicted == 1
