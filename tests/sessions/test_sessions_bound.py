"""A process that stood still: what was answered meanwhile is unread as its bounds fire, so they prove nothing."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace

import pytest

from probe.model import Failure, Service, Timeouts
from probe.sessions.bound import STOOD_STILL
from probe.sessions.control import listen
from probe.sessions.dial import Ports
from probe.sessions.faults import Refusal
from probe.sessions.journal import Journal
from probe.sessions.lookup import Lookups
from probe.sessions.open import open_session
from tests.sessions.acts import after, say
from tests.sessions.moment import Moment
from tests.sessions.peers import Act, Peer, Town, Visit
from tests.sessions.resolver import Resolver, until_asked
from tests.sessions.running import SOON, deaf, endpoint, judged, kit

BOUND = 0.4
STOPPED = BOUND + STOOD_STILL + 0.3


def _late(reached: threading.Event, octets: bytes) -> Act:
    """Says this while the client stands still."""

    async def act(visit: Visit) -> None:
        reached.set()
        await after(STOPPED / 2, say(octets))(visit)

    return act


async def test_a_bound_that_fires_long_after_it_was_due_says_nothing_of_the_server(town: Town) -> None:
    greets, junk, resolver = threading.Event(), threading.Event(), Resolver()
    greeting = town.open(Peer(service=Service.SMTP, acts={Moment.GREETING: _late(greets, b"220 ready\r\n")}))
    unasked = town.open(Peer(service=Service.SMTP, acts={Moment.GREETING: _late(junk, b"500 what?\r\n")}))
    with deaf() as port:
        silent = replace(endpoint(Peer(service=Service.IMAPS, port=port)), timeouts=Timeouts(connect=BOUND))
        named = replace(endpoint(greeting, session=BOUND), host="mail.lab.test")
        sessions = asyncio.gather(
            open_session(endpoint(greeting, session=BOUND), kit(), []),
            open_session(silent, kit(), []),
            open_session(named, replace(kit(), lookups=Lookups(resolver)), []),
        )
        listened = asyncio.create_task(listen(endpoint(unasked), Journal(time.time), BOUND, Ports(), Lookups()))
        await until_asked(resolver, 1)
        for reached in (greets, junk):
            assert await asyncio.to_thread(reached.wait, SOON)
        time.sleep(STOPPED)  # noqa: ASYNC251 - the whole process, as with SIGSTOP
        for session in await sessions:
            assert (judged(session).verdict, session.took_place) == ("unverified", False), session.fault
            assert "this process stood still, and was" in judged(session).explanation
        control = await listened
    assert control.fault is not None, "what it did not hear is no silence"
    assert control.fault.failure is Failure.VANTAGE
    resolver.let_go.set()


async def test_a_bound_that_fires_in_time_is_not_late_where_its_session_hears_of_it_late() -> None:
    """A thousand are due at once; so that this one's turn comes late, another callback of its moment takes long."""
    resolver = Resolver()
    named = replace(endpoint(Peer(service=Service.SMTP), session=BOUND), host="mail.lab.test")
    loop = asyncio.get_running_loop()
    loop.call_later(BOUND - 0.1, time.sleep, 0.3)  # so that what is due meanwhile comes in one turn, the bound first
    loop.call_later(BOUND + 0.1, time.sleep, STOPPED)
    with pytest.raises(Refusal) as told:
        await Lookups(resolver).way(named, BOUND)
    assert told.value.failure is Failure.TIMED_OUT
    resolver.let_go.set()
