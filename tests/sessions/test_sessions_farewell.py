"""QUIT or LOGOUT before the end, whenever it is our turn to speak: after success, refusal, timeout and cancellation."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest

from probe.model import Count, ImprintKind, Phase, ProxyHeader, Service, Session
from probe.sessions.open import open_beat, open_session
from tests.sessions.acts import after, say, silence, takes_header
from tests.sessions.moment import Moment
from tests.sessions.peers import Act, Peer, Town, Visit
from tests.sessions.running import SOON, VERBS, Noise, endpoint, kit, run_quietly

SMTP, SUBMISSION, SUBMISSIONS, IMAPS = Service
FAREWELL = {SMTP: "QUIT", SUBMISSION: "QUIT", SUBMISSIONS: "QUIT", IMAPS: "LOGOUT"}
OUR_TURN = (
    *((service, Moment.HELLO) for service in Service),
    *((service, Moment.LOGIN) for service in Service),
    *((service, Moment.IMPRINT) for service in Service),
    (SMTP, Moment.STARTTLS),
    (SUBMISSION, Moment.STARTTLS),
    (SMTP, Moment.HELLO_AGAIN),
    (SUBMISSION, Moment.HELLO_AGAIN),
)
NOT_OUR_TURN = (
    *((service, Moment.ACCEPT) for service in Service),
    *((service, Moment.HANDSHAKE) for service in Service),
    *((service, Moment.GREETING) for service in Service),
)


def _silent_from_here(reached: threading.Event) -> Act:
    async def act(visit: Visit) -> None:
        reached.set()
        await silence(visit)

    return act


def _gone(visit: Visit) -> bool:
    return visit.ended.wait(SOON)


@pytest.mark.parametrize(("service", "moment"), [*OUR_TURN, *NOT_OUR_TURN])
def test_when_cancelled_from_outside(town: Town, service: Service, moment: Moment) -> None:
    reached = threading.Event()
    peer = town.open(Peer(service=service, acts={moment: _silent_from_here(reached)}))
    took: list[float] = []
    broken_off: list[Session] = []

    async def cancel_there() -> None:
        loop = asyncio.get_running_loop()
        session = open_session(endpoint(peer, session=30), kit(), list(VERBS), broken_off=broken_off.append)
        task = asyncio.create_task(session)
        assert await asyncio.to_thread(reached.wait, SOON)
        begun = loop.time()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        took.append(loop.time() - begun)

    assert run_quietly(cancel_there) == Noise()
    assert took[0] < 1.0
    assert len(peer.visits) == 1
    (session,) = broken_off
    assert session.client is not None or moment in (Moment.ACCEPT, Moment.GREETING)  # it may be told too soon for us
    assert _gone(peer.visits[0])
    said = FAREWELL[service] in peer.visits[0].verbs[-1:]
    assert said is ((service, moment) in OUR_TURN)


@pytest.mark.parametrize("header", [ProxyHeader.NONE, ProxyHeader.V2])
async def test_a_control_connection_says_farewell_too(town: Town, header: ProxyHeader) -> None:
    """A hello that fails after a header of ours calls for NO_HEADER; without one for SILENT."""
    acts = {Moment.ACCEPT: takes_header(0.1), Moment.HELLO: say(b"\xff\r\n", then=silence)}
    peers = [town.open(Peer(service=service, acts=acts)) for service in (SMTP, SUBMISSION)]
    ends = [replace(endpoint(peer, session=0.6), proxy_header=header) for peer in peers]
    sessions = await asyncio.gather(*(open_session(at, kit(), list(VERBS)) for at in ends))
    assert [[control.worked for control in session.controls] for session in sessions] == [[True], [True]]
    for peer in peers:
        assert await asyncio.to_thread(_gone, peer.visits[-1])
        assert peer.visits[-1].verbs == ["QUIT"]


async def test_a_slow_farewell_does_not_spoil_a_good_session(town: Town) -> None:
    async def slow(service: Service) -> Session:
        answer = say(b"221 Bye\r\n" if service.speaks_smtp else b"* BYE\r\n%t OK bye\r\n")
        peer = town.open(Peer(service=service, acts={Moment.QUIT: after(0.8, answer)}))
        return await open_session(endpoint(peer, session=0.6), kit(), list(VERBS))

    for session in await asyncio.gather(*map(slow, Service)):
        assert session.fault is None
        assert next(timing.seconds for timing in session.phases if timing.phase is Phase.QUIT) >= 0.8
        assert session.imprint.kind is not ImprintKind.NONE
        if session.service.speaks_smtp:
            assert session.imprint.tally["quit"] == Count(1, 1)


@pytest.mark.parametrize("reply", [b"334 \r\n", b"334 VXNlcm5hbWU6\r\n"])
async def test_a_challenge_is_cancelled_before_quit(town: Town, reply: bytes) -> None:
    peer = town.open(Peer(service=SUBMISSION, acts={Moment.LOGIN: say(reply)}))
    await open_session(endpoint(peer), kit(), [])
    assert await asyncio.to_thread(_gone, peer.visits[0])
    assert peer.visits[0].verbs[-3:] == ["AUTH", "*", "QUIT"]


async def test_a_beat_neither_logs_in_nor_leaves_an_imprint(town: Town) -> None:
    peer = town.open(Peer(service=IMAPS))
    beat = await open_beat(endpoint(peer), kit())
    assert beat is not None
    assert await asyncio.to_thread(_gone, peer.visits[0])
    assert peer.visits[0].verbs == ["CAPABILITY", "LOGOUT"]
