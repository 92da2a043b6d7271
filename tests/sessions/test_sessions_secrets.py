"""A password that needs quoting, escaping and encoding: it reaches the server whole, and nothing else ever."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from dataclasses import replace

import pytest

from probe.model import Login, Secret, Service
from probe.sessions.open import open_session
from tests.sessions.acts import echo, say
from tests.sessions.moment import Moment
from tests.sessions.peers import Act, Peer, Town
from tests.sessions.running import endpoint, judged, kit

SMTP, SUBMISSION, SUBMISSIONS, IMAPS = Service
PASSWORD = 'pa"ss\\wörd <&>'
USER = "müller@lab.test"
QUOTED = PASSWORD.replace("\\", "\\\\").replace('"', '\\"')
PLAIN = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
FORMS = (PASSWORD, QUOTED, PLAIN, base64.b64encode(PASSWORD.encode()).decode(), PASSWORD[:6], QUOTED[:6])

ECHOES: tuple[tuple[Service, Act], ...] = (
    (SMTP, echo(b"535 ")),
    (SUBMISSION, echo(b"454 ")),
    (SUBMISSIONS, echo(b"\xff")),
    (IMAPS, echo(b"%t NO ")),
    (IMAPS, echo(b"* BYE ")),
    (IMAPS, echo(b"ZZZZ9 OK ")),
    (IMAPS, say(b"ZZZZ9 OK never asked for\r\n")),
    (IMAPS, say(b"* CAPABILITY \xff\r\n%t OK \xff\r\n")),
)


@pytest.mark.parametrize(("service", "act"), ECHOES)
async def test_no_form_of_it_is_told_or_logged(
    town: Town, caplog: pytest.LogCaptureFixture, service: Service, act: Act
) -> None:
    caplog.set_level(logging.DEBUG)
    peer = town.open(Peer(service=service, acts={Moment.LOGIN: act}))
    at = replace(endpoint(peer), login=Login(username=USER, password=Secret(PASSWORD)))
    session = await open_session(at, kit(), [])
    judgement = judged(session)
    told = [spoken.text for spoken in session.transcript] + [judgement.explanation, judgement.hint, caplog.text]
    told += [session.fault.detail, session.fault.reply or ""] if session.fault else []
    assert not [(form, text) for form in FORMS for text in told if form in text]
    json.dumps(told).encode("ascii")


@pytest.mark.parametrize("service", list(Service))
async def test_the_server_gets_it_whole(town: Town, service: Service) -> None:
    peer = town.open(Peer(service=service))
    at = replace(endpoint(peer), login=Login(username=USER, password=Secret(PASSWORD)))
    session = await open_session(at, kit(), [])
    assert session.fault is None
    (line,) = [line for line in peer.visits[0].lines if b"AUTH" in line or b"LOGIN" in line]
    assert line.decode().endswith(f'LOGIN "{USER}" "{QUOTED}"' if service is IMAPS else f"AUTH PLAIN {PLAIN}")


@pytest.mark.parametrize("password", ["two\nlines", "nul\0", "cr\r"])
async def test_what_imap_cannot_say_is_not_tried(town: Town, password: str) -> None:
    peer = town.open(Peer(service=IMAPS))
    session = await open_session(
        replace(endpoint(peer), login=Login(username=USER, password=Secret(password))), kit(), []
    )
    assert (judged(session).verdict, peer.visits[0].logins) == ("login_failed", 0)


@pytest.mark.parametrize("service", list(Service))
async def test_what_no_encoding_holds_is_the_configurations_fault(town: Town, service: Service) -> None:
    peer = town.open(Peer(service=service))
    at = replace(endpoint(peer), login=Login(username=USER, password=Secret("\udcff")))
    session = await open_session(at, kit(), [])
    assert (judged(session).rule, peer.visits[0].logins) == ("vantage-cannot-open", 0)


async def test_twenty_sessions_at_once_log_in_once_each(town: Town) -> None:
    peer = town.open(Peer(service=SUBMISSION))
    await asyncio.gather(*(open_session(endpoint(peer, session=5), kit(), []) for _ in range(20)))
    assert [visit.logins for visit in peer.visits] == [1] * 20
