"""Questions that make a server tell our own address: asked only where it may answer, and never a failure."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import ip_address

import pytest

from probe.evidence.ours import Ours
from probe.model import Count, Endpoint, ImprintKind, Link, Login, Networks, Result, Secret, Service, Verdict
from probe.service.cycle import probe_endpoint
from probe.service.learnt import Learnt
from probe.service.watch import Watch
from probe.service.workshop import Workshop
from tests.sessions.acts import say
from tests.sessions.moment import Moment
from tests.sessions.peers import Peer, Town, Visit
from tests.sessions.running import endpoint, kit

SMTP, SUBMISSION, SUBMISSIONS, IMAPS = Service
WHOAMI = Login(username="whoami-probe", password=Secret("not-needed"))


async def footer(visit: Visit) -> None:
    """What Postfix says to DATA out of turn, with the footer of docs/replies.md."""
    await visit.say(b"503 5.5.1 Error: need RCPT command;client=[%s]:%d\r\n" % _client(visit))


async def who_you_are(visit: Visit) -> None:
    """What Dovecot says to a whoami user."""
    tag = visit.lines[-1].split(b" ")[0]
    await visit.say(tag + b" NO [CONTACTADMIN] client=%s:%d;real=%s:%d\r\n" % (*_client(visit), *_client(visit)))


def _client(visit: Visit) -> tuple[bytes, int]:
    return visit.client[0].encode(), visit.client[1]


@pytest.fixture
async def workshop() -> AsyncIterator[Workshop]:
    async with Watch([], time.time) as watch:
        yield Workshop(
            kit=kit(), watch=watch, random=random.Random(1), networks=Networks(), learnt=Learnt(clock=time.time)
        )


async def probed(at: Endpoint, workshop: Workshop, times: int = 1) -> Result:
    for _ in range(times):
        result = await probe_endpoint(at, workshop, Ours())
    return result


def asked(peer: Peer) -> list[int]:
    """How often each visit sent DATA."""
    return [visit.verbs.count("DATA") for visit in peer.visits]


@pytest.mark.parametrize("service", [SMTP, SUBMISSION, SUBMISSIONS])
async def test_a_footer_is_asked_for_and_read(town: Town, workshop: Workshop, service: Service) -> None:
    peer = town.open(Peer(service=service, acts={Moment.DATA: footer}))
    result = await probed(endpoint(peer), workshop, 2)
    (sighting,) = result.evidence.sightings
    assert (result.judgement.verdict, sighting.link) == (Verdict.PRESERVED, Link.REPLY)
    assert (sighting.address, sighting.port) == (ip_address("127.0.0.1"), peer.visits[-1].client[1])
    assert result.session.imprint.tally["data"] == Count(0, 1)
    assert asked(peer) == [1, 1]


async def test_who_does_not_tell_is_not_asked_again(town: Town, workshop: Workshop) -> None:
    peer = town.open(Peer(service=SMTP))
    result = await probed(endpoint(peer), workshop, 3)
    assert result.judgement.verdict is Verdict.UNVERIFIED
    assert asked(peer) == [1, 0, 0]


async def test_a_failed_session_teaches_nothing(town: Town, workshop: Workshop) -> None:
    peer = town.open(Peer(service=SMTP, acts={Moment.HELLO: say(b"451 4.3.0 later\r\n")}))
    await probed(endpoint(peer), workshop)
    assert workshop.questions(endpoint(peer)) == ("data",)


@pytest.mark.parametrize("kind", [ImprintKind.REJECT, ImprintKind.NONE])
async def test_other_imprints_ask_nothing(town: Town, workshop: Workshop, kind: ImprintKind) -> None:
    peer = town.open(Peer(service=SMTP))
    await probed(replace(endpoint(peer), imprint=kind), workshop)
    assert asked(peer) == [0]


async def test_nothing_is_asked_nor_read_with_replies_off(town: Town, workshop: Workshop) -> None:
    workshop.read_replies = False
    mailer = town.open(Peer(service=SMTP, acts={Moment.DATA: footer}))
    dovecot = town.open(Peer(service=IMAPS, acts={Moment.LOGIN: who_you_are}))
    assert (await probed(endpoint(mailer), workshop)).evidence.sightings == ()
    result = await probed(replace(endpoint(dovecot), login=WHOAMI), workshop)
    assert (result.evidence.sightings, result.session.fault) == ((), None)
    assert asked(mailer) == [0]


async def test_a_server_that_takes_data_is_told_that_there_is_none(town: Town, workshop: Workshop) -> None:
    async def take(visit: Visit) -> None:
        await visit.say(b"354 go on\r\n")
        assert await visit.hear() == b"."
        await visit.say(b"554 5.5.1 Error: no valid recipients;client=%s:%d\r\n" % _client(visit))

    peer = town.open(Peer(service=SUBMISSIONS, acts={Moment.DATA: take}))
    result = await probed(endpoint(peer), workshop)
    assert result.judgement.verdict is Verdict.PRESERVED
    assert result.session.imprint.tally["data"] == Count(0, 1)


async def test_the_no_to_a_whoami_user_is_what_was_asked_for(town: Town, workshop: Workshop) -> None:
    peer = town.open(Peer(service=IMAPS, acts={Moment.LOGIN: who_you_are}))
    result = await probed(replace(endpoint(peer), imprint=ImprintKind.SESSION, login=WHOAMI), workshop)
    (sighting,) = result.evidence.sightings
    assert (result.judgement.verdict, sighting.link, result.session.fault) == (Verdict.PRESERVED, Link.REPLY, None)
    assert (sighting.address, sighting.port) == (ip_address("127.0.0.1"), peer.visits[0].client[1])
    assert peer.visits[0].verbs[-1] == "LOGOUT"


@pytest.mark.parametrize(
    ("reply", "rule"),
    [
        (b"%t NO [AUTHENTICATIONFAILED] Authentication failed.\r\n", "credentials-refused"),
        (b"%t NO [AUTHENTICATIONFAILED] no such client=192.0.2.1:25\r\n", "credentials-refused"),
        (b"%t NO client=192.0.2.1:25\r\n", "credentials-refused"),
        (b"%t NO [UNAVAILABLE] Temporary authentication failure.\r\n", "not-a-success"),
        (b"%t BAD client=192.0.2.1:25\r\n", "not-a-success"),
    ],
)
async def test_a_whoami_user_that_nobody_knows_is_refused(
    town: Town, workshop: Workshop, reply: bytes, rule: str
) -> None:
    peer = town.open(Peer(service=IMAPS, acts={Moment.LOGIN: say(reply)}))
    result = await probed(replace(endpoint(peer), login=WHOAMI), workshop)
    assert result.judgement.rule == rule
    assert result.evidence.sightings == ()


async def test_any_other_user_is_refused_whatever_the_words(town: Town, workshop: Workshop) -> None:
    peer = town.open(Peer(service=IMAPS, acts={Moment.LOGIN: say(b"%t NO [X] client=192.0.2.1:25\r\n")}))
    result = await probed(endpoint(peer), workshop)
    assert result.judgement.rule == "credentials-refused"
