"""Phases: which, in which order, and that each holds its own time and no other's."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from probe.model import Failure, ImprintKind, Phase, ProxyHeader, Service, Session
from probe.sessions.open import open_session
from tests.sessions.acts import after, say, wants_header
from tests.sessions.moment import Moment
from tests.sessions.peers import Act, Peer, Town, Visit
from tests.sessions.running import VERBS, endpoint, kit

SMTP, SUBMISSION, SUBMISSIONS, IMAPS = Service
STARTTLS = "resolve connect first_byte greeting hello starttls login imprint quit"
ORDER = {
    SMTP: STARTTLS,
    SUBMISSION: STARTTLS,
    SUBMISSIONS: "resolve connect tls first_byte greeting hello login imprint quit",
    IMAPS: "resolve connect tls first_byte greeting hello imprint login quit",
}
SLOW = 0.3


async def _nothing(_: Visit) -> None:
    return


async def _session(town: Town, service: Service, acts: dict[Moment, Act]) -> Session:
    return await open_session(endpoint(town.open(Peer(service=service, acts=acts))), kit(), list(VERBS))


def _seconds(session: Session) -> dict[str, float]:
    return {timing.phase: timing.seconds for timing in session.phases}


def _slow(session: Session) -> set[str]:
    return {phase for phase, seconds in _seconds(session).items() if seconds >= SLOW * 0.95}


@pytest.mark.parametrize("service", list(Service))
async def test_order(town: Town, service: Service) -> None:
    session = await _session(town, service, {})
    assert [str(timing.phase) for timing in session.phases] == ORDER[service].split()
    assert sum(timing.seconds for timing in session.phases) <= session.seconds


@pytest.mark.parametrize("service", list(Service))
async def test_a_header_is_a_phase_between_connect_and_the_rest(town: Town, service: Service) -> None:
    peer = town.open(Peer(service=service, acts={Moment.ACCEPT: wants_header(1.0)}))
    session = await open_session(replace(endpoint(peer), proxy_header=ProxyHeader.V2), kit(), list(VERBS))
    due = ORDER[service].replace("connect", "connect proxy_header").split()
    assert [str(timing.phase) for timing in session.phases] == due


@pytest.mark.parametrize("service", list(Service))
async def test_without_login_and_imprint(town: Town, service: Service) -> None:
    at = replace(endpoint(town.open(Peer(service=service))), login=None, imprint=ImprintKind.NONE)
    session = await open_session(at, kit(), [])
    due = [phase for phase in ORDER[service].split() if phase not in ("login", "imprint")]
    assert [str(timing.phase) for timing in session.phases] == due


@pytest.mark.parametrize("service", [SMTP, SUBMISSION, SUBMISSIONS])
async def test_the_first_byte_is_apart_from_the_greeting(town: Town, service: Service) -> None:
    rest = after(SLOW, say(b"mail\r\n220 ready\r\n"))
    assert _slow(await _session(town, service, {Moment.GREETING: say(b"220-", then=rest)})) == {Phase.GREETING}


async def test_the_first_byte_of_imap_is_apart_from_the_greeting(town: Town) -> None:
    rest = after(SLOW, say(b" OK ready\r\n"))
    assert _slow(await _session(town, IMAPS, {Moment.GREETING: say(b"*", then=rest)})) == {Phase.GREETING}


@pytest.mark.parametrize("service", [SMTP, SUBMISSION])
async def test_a_wait_before_any_byte_is_the_first_bytes(town: Town, service: Service) -> None:
    assert _slow(await _session(town, service, {Moment.ACCEPT: after(SLOW, _nothing)})) == {Phase.FIRST_BYTE}


@pytest.mark.parametrize("service", [SUBMISSIONS, IMAPS])
async def test_connect_is_apart_from_tls(town: Town, service: Service) -> None:
    assert _slow(await _session(town, service, {Moment.ACCEPT: after(SLOW, _nothing)})) == {Phase.TLS}


@pytest.mark.parametrize(
    ("moment", "phase"),
    [(Moment.HELLO, Phase.HELLO), (Moment.LOGIN, Phase.LOGIN), (Moment.QUIT, Phase.QUIT)],
)
async def test_each_wait_is_in_its_own_phase(town: Town, moment: Moment, phase: Phase) -> None:
    async def slow(service: Service) -> Session:
        return await _session(town, service, {moment: after(SLOW, say(REPLIES[moment, service is IMAPS]))})

    for session in await asyncio.gather(*map(slow, Service)):
        assert session.fault is None
        assert _slow(session) == {phase}


REPLIES = {
    (Moment.HELLO, False): b"250-mail\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n",
    (Moment.HELLO, True): b"* CAPABILITY IMAP4rev1 ID\r\n%t OK done\r\n",
    (Moment.LOGIN, False): b"235 in\r\n",
    (Moment.LOGIN, True): b"%t OK in\r\n",
    (Moment.QUIT, False): b"221 bye\r\n",
    (Moment.QUIT, True): b"* BYE\r\n%t OK bye\r\n",
}


TOLD = b"* OK [CAPABILITY IMAP4rev1 ID LOGINDISABLED] ready\r\n"


async def test_what_the_greeting_tells_is_not_asked_for(town: Town) -> None:
    peer = town.open(Peer(service=IMAPS, acts={Moment.GREETING: say(TOLD)}))
    session = await open_session(replace(endpoint(peer), login=None, imprint=ImprintKind.NONE), kit(), [])
    assert session.fault is None
    assert peer.visits[0].verbs == ["LOGOUT"]
    assert Phase.HELLO in {timing.phase for timing in session.phases}


async def test_what_the_greeting_tells_is_believed(town: Town) -> None:
    session = await _session(town, IMAPS, {Moment.GREETING: say(TOLD)})
    assert session.fault is not None
    assert (session.fault.phase, session.fault.failure) == (Phase.LOGIN, Failure.NOT_OFFERED)
