"""The message of a `deliver` imprint: handed over once, read back, deleted; and what is said where that fails."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

import pytest

from probe.evidence.ours import Ours
from probe.model import (
    Count,
    Endpoint,
    ImprintKind,
    Link,
    Mailbox,
    Networks,
    Phase,
    Result,
    Service,
    Verdict,
)
from probe.service.cycle import probe_endpoint
from probe.service.learnt import Learnt
from probe.service.watch import Watch
from probe.service.workshop import Workshop
from probe.sessions.deliver import SENT_HEADER, TOKEN_HEADER, Letter
from probe.sessions.mailbox import LEFTOVER, MOST_LOOKED_AT, is_leftover
from probe.sessions.open import Kit
from tests.sessions.acts import hang_up, reset, say
from tests.sessions.box import Box
from tests.sessions.moment import Moment
from tests.sessions.peers import CAPABILITIES, Act, Peer, Town
from tests.sessions.running import endpoint, kit

SMTP, SUBMISSION, SUBMISSIONS, IMAPS = Service
NOW = 1795464063.0
FOREIGN = b"From: <boss@lab.test>\r\nSubject: somebody else's\r\n\r\nNobody may delete this.\r\n"


@dataclass(kw_only=True)
class Post:
    """A server with its mailbox, and the endpoint that delivers there."""

    box: Box
    taker: Peer
    shower: Peer
    at: Endpoint
    kit: Kit = field(default_factory=kit)

    async def deliver(self) -> Result:
        async with Watch([], time.time) as watch:
            workshop = Workshop(
                kit=self.kit, watch=watch, random=random.Random(1), networks=Networks(), learnt=Learnt(clock=time.time)
            )
            return await probe_endpoint(self.at, workshop, Ours())


OpenPost = Callable[..., Post]


@pytest.fixture
def post(town: Town) -> OpenPost:
    def open_post(
        service: Service = SUBMISSION,
        *,
        acts: dict[Moment, Act] | None = None,
        reading: dict[Moment, Act] | None = None,
        evidence: float = 0.4,
        sender: str = "probe+{token}@lab.test",
    ) -> Post:
        box = Box()
        taker = town.open(Peer(service=service, acts=acts or {}, box=box))
        capabilities = CAPABILITIES + b" UIDPLUS"
        shower = town.open(Peer(service=IMAPS, acts=reading or {}, box=box, capabilities=capabilities))
        at = endpoint(taker, session=8)
        at = replace(at, imprint=ImprintKind.DELIVER, timeouts=replace(at.timeouts, evidence=evidence))
        reader = replace(endpoint(shower), timeouts=at.timeouts)
        at = replace(at, mailbox=Mailbox(recipient="probe@lab.test", sender=sender, reader=reader))
        return Post(box=box, taker=taker, shower=shower, at=at)

    return open_post


@pytest.mark.parametrize("service", [SMTP, SUBMISSION, SUBMISSIONS])
async def test_a_message_is_read_back_and_deleted(post: OpenPost, service: Service) -> None:
    lab = post(service)
    foreign = lab.box.put(FOREIGN)
    result = await lab.deliver()
    (sighting,) = result.evidence.sightings
    assert (result.judgement.verdict, sighting.address, sighting.link) == (
        Verdict.PRESERVED,
        ip_address("127.0.0.1"),
        Link.MESSAGE,
    )
    assert list(lab.box.kept) == [foreign]
    assert len(lab.box.taken) == 1
    session = result.session
    token = session.id.encode()
    (mail,) = [line for line in lab.taker.visits[0].lines if line.startswith(b"MAIL")]
    assert mail == b"MAIL FROM:<probe+%s@lab.test>" % token
    header = lab.box.taken[0].partition(b"\r\n\r\n")[0]
    assert b"Message-ID: <%s.mailprobe@lab.test>" % token in header
    assert b"\r\nAuto-Submitted: auto-generated\r\n" in header
    assert [timing.phase for timing in session.phases][-3:] == [Phase.IMPRINT, Phase.QUIT, Phase.DELIVERY]
    counted = {verb: session.imprint.tally[verb] for verb in ("mail", "rcpt", "data")}
    assert counted == dict.fromkeys(counted, Count(1, 1))


async def test_a_null_sender_is_possible(post: OpenPost) -> None:
    lab = post(sender="")
    result = await lab.deliver()
    assert result.judgement.verdict is Verdict.PRESERVED
    assert b"MAIL FROM:<>" in lab.taker.visits[0].lines


REFUSALS: tuple[tuple[Moment, bytes, str], ...] = (
    (Moment.RCPT, b"552 5.2.2 <probe@lab.test>: Mailbox is full", "the probe's own mailbox probe@lab.test is full"),
    (Moment.RCPT, b"452 4.2.2 Quota exceeded (mailbox for user is full)", "the probe's own mailbox"),
    (Moment.RCPT, b"550 5.1.1 <probe@lab.test>: Recipient address rejected: User unknown", "does not take mail for"),
    (Moment.RCPT, b"554 5.7.1 <probe@lab.test>: Relay access denied", "does not take mail for probe@lab.test"),
    (Moment.RCPT, b"553 5.7.1 <x>: Sender address rejected: not owned by user", "does not take <probe+"),
    (Moment.RCPT, b"450 4.2.0 <probe@lab.test>: Recipient address rejected: Greylisted", "greylists the message, and"),
    (Moment.RCPT, b"451 4.7.1 Try again later", "puts the message off (greylisting?), and still does after 1 tries"),
    (Moment.DATA, b"451 4.3.0 Error: queue file write error", "puts the message off"),
    (Moment.CONTENT, b"552 5.2.2 over quota", "is full"),
    (Moment.CONTENT, b"554 5.7.1 Spam message rejected", "the server refuses the message"),
    (Moment.CONTENT, b"451 4.7.1 Greylisting in action, please come back later", "the server greylists the message: "),
)


@pytest.mark.parametrize(("moment", "reply", "words"), REFUSALS, ids=[reply[:9].decode() for _, reply, _ in REFUSALS])
async def test_a_refusal_is_a_service_error_in_plain_words(
    post: OpenPost, moment: Moment, reply: bytes, words: str
) -> None:
    lab = post(acts={moment: say(reply + b"\r\n")})
    lab.box.loses = True
    result = await lab.deliver()
    assert (result.judgement.verdict, result.judgement.rule) == (Verdict.SERVICE_ERROR, "not-a-success")
    assert words in result.judgement.explanation
    assert reply.decode() in result.judgement.explanation
    assert result.session.fault is not None
    assert result.session.fault.phase is Phase.DELIVERY
    assert lab.taker.visits[0].verbs[-1] == "QUIT"
    assert sum(verb == "DATA" for verb in lab.taker.visits[0].verbs) <= 1


async def test_too_many_is_no_refusal_of_the_message(post: OpenPost) -> None:
    result = await post(
        acts={Moment.RCPT: say(b"421 4.7.0 Error: too many connections from 10.0.20.102\r\n")}
    ).deliver()
    assert result.judgement.verdict in (Verdict.RATE_LIMITED, Verdict.MASKED)


async def test_a_greylisted_message_is_offered_again_in_the_same_session(post: OpenPost) -> None:
    offers = []

    async def greylist(visit: object) -> None:
        offers.append(time.monotonic())
        reply = b"250 2.1.5 Ok\r\n" if len(offers) > 1 else b"450 4.2.0 Greylisted\r\n"
        await say(reply)(visit)  # type: ignore[arg-type]

    lab = post(acts={Moment.RCPT: greylist}, evidence=5)
    result = await lab.deliver()
    assert result.judgement.verdict is Verdict.PRESERVED
    assert (len(lab.taker.visits), len(lab.box.taken), len(offers)) == (1, 1, 2)
    assert result.session.seconds_in(Phase.DELIVERY) >= offers[1] - offers[0] > 1.9
    assert result.session.imprint.tally["rcpt"] == Count(1, 2)


@pytest.mark.parametrize("end", [hang_up, reset])
async def test_a_message_of_which_nothing_was_heard_is_deleted_too(post: OpenPost, end: Act) -> None:
    lab = post(acts={Moment.CONTENT: end})
    result = await lab.deliver()
    assert result.judgement.verdict is Verdict.SERVICE_ERROR
    assert (len(lab.box.taken), lab.box.kept) == (1, {})


async def test_a_message_that_never_comes_is_told(post: OpenPost) -> None:
    lab = post()
    lab.box.loses = True
    result = await lab.deliver()
    assert (result.judgement.verdict, result.judgement.rule) == (Verdict.UNVERIFIED, "no-sighting")
    assert "it was not in INBOX within 0.4 s" in result.judgement.explanation
    assert result.session.seconds_in(Phase.DELIVERY) > 0.3


NOBODY = say(b"%t NO [AUTHENTICATIONFAILED] Authentication failed.\r\n")
READING: tuple[tuple[Moment, Act, str], ...] = (
    (Moment.LOGIN, NOBODY, "user probe@lab.test was refused"),
    (Moment.SELECT, say(b"%t NO Mailbox doesn't exist: INBOX\r\n"), "Mailbox doesn't exist"),
    (Moment.SEARCH, hang_up, "the server closed the connection"),
    (Moment.SEARCH, say(b"* SEARCH 1 x " + b"9" * 100_000 + b"\r\n"), "it sent more than any answer may hold"),
    (Moment.SEARCH, say(b"* BYE Server shutting down.\r\n", then=hang_up), "Server shutting down"),
    (Moment.GREETING, hang_up, "the server closed the connection"),
)


@pytest.mark.parametrize(("moment", "act", "words"), READING, ids=[words[:20] for _, _, words in READING])
async def test_a_mailbox_that_cannot_be_read_is_told(post: OpenPost, moment: Moment, act: Act, words: str) -> None:
    result = await post(reading={moment: act}).deliver()
    assert result.judgement.verdict is Verdict.UNVERIFIED
    assert "the mailbox could not be read back over lab/imaps: " in result.judgement.explanation
    assert words in result.judgement.explanation


async def test_a_mailbox_that_refused_us_is_not_asked_each_time(post: OpenPost) -> None:
    lab = post(reading={Moment.LOGIN: NOBODY})
    told = [(await lab.deliver()).judgement.explanation for _ in range(3)]
    assert [visit.logins for visit in lab.shower.visits] == [1, 1, 0]
    assert "lab/imaps: user probe@lab.test was refused 2 times" in told[-1]


@pytest.mark.parametrize(
    "answer", [b"%t OK nothing\r\n", b"* 1 FETCH (UID 7 BODY[HEADER] NIL)\r\n%t OK\r\n", b"* 1 FETCH ()\r\n%t OK\r\n"]
)
async def test_a_header_that_is_not_given_proves_nothing(post: OpenPost, answer: bytes) -> None:
    lab = post(reading={Moment.FETCH: say(answer)})
    result = await lab.deliver()
    assert result.judgement.verdict is Verdict.UNVERIFIED
    assert "could not be read back over lab/imaps: the server found a message" in result.judgement.explanation
    assert len(lab.box.kept) == 1  # a later run deletes it


async def test_the_uid_may_come_after_the_header(post: OpenPost) -> None:
    lab = post()
    lab.box.uid_last = True
    foreign = lab.box.put(FOREIGN)
    lab.box.put(leftover("aaaa", LEFTOVER + 60))
    result = await lab.deliver()
    assert result.judgement.verdict is Verdict.PRESERVED
    assert list(lab.box.kept) == [foreign]


@pytest.mark.parametrize("capabilities", [CAPABILITIES, CAPABILITIES + b" UIDPLUS"], ids=["plain", "uidplus"])
@pytest.mark.parametrize("loses", [False, True])
async def test_a_search_that_finds_every_message_deletes_ours_alone(
    post: OpenPost, capabilities: bytes, *, loses: bool
) -> None:
    lab = post()
    lab.shower.capabilities = capabilities
    lab.box.lenient, lab.box.loses = True, loses
    kept = {
        lab.box.put(FOREIGN),
        lab.box.put(leftover("bbbb", 60)),
        lab.box.put(FOREIGN.replace(b"Subject: ", b"X-Mailprobe-Token: cccc\r\nSubject: ")),
    }
    result = await lab.deliver()
    assert result.judgement.verdict is (Verdict.UNVERIFIED if loses else Verdict.PRESERVED)
    assert set(lab.box.kept) == kept


def leftover(token: str, age: float) -> bytes:
    return Letter(token=token, sender="", recipient="probe@lab.test", sent=time.time() - age).text


async def test_leftovers_are_swept_and_nothing_else(post: OpenPost) -> None:
    lab = post()
    old = lab.box.put(leftover("aaaa", LEFTOVER + 60))
    kept = {
        lab.box.put(FOREIGN),
        lab.box.put(leftover("bbbb", 60)),
        lab.box.put(leftover("cccc", LEFTOVER + 60).replace(b"<cccc.", b"<dddd.")),
    }
    result = await lab.deliver()
    assert result.judgement.verdict is Verdict.PRESERVED
    assert old not in lab.box.kept
    assert set(lab.box.kept) == kept


async def test_a_full_mailbox_is_swept_though_it_takes_no_message(post: OpenPost) -> None:
    lab = post(acts={Moment.RCPT: say(b"552 5.2.2 <probe@lab.test>: Mailbox is full\r\n")})
    for token in ("aaaa", "bbbb"):
        lab.box.put(leftover(token, LEFTOVER + 60))
    foreign = lab.box.put(FOREIGN)
    result = await lab.deliver()
    assert result.judgement.verdict is Verdict.SERVICE_ERROR
    assert "is full" in result.judgement.explanation
    assert list(lab.box.kept) == [foreign]


async def test_no_mailbox_is_looked_at_where_no_message_was_offered(post: OpenPost) -> None:
    lab = post(acts={Moment.GREETING: hang_up})
    await lab.deliver()
    assert lab.shower.visits == []


async def test_strangers_tokens_do_not_stop_the_sweeping(post: OpenPost) -> None:
    """Only so many headers are looked at in one run; which ones changes from run to run."""
    lab = post()
    for number in range(2 * MOST_LOOKED_AT):
        lab.box.put(b"X-Mailprobe-Token: %d\r\n" % number + FOREIGN)
    old = lab.box.put(leftover("aaaa", LEFTOVER + 60))
    for _ in range(20):
        await lab.deliver()
        if old not in lab.box.kept:
            break
    assert len(lab.box.kept) == 2 * MOST_LOOKED_AT


async def test_without_uidplus_nobody_else_s_deleted_message_is_expunged(post: OpenPost) -> None:
    lab = post()
    lab.shower.capabilities = CAPABILITIES
    lab.box.flagged.add(lab.box.put(FOREIGN))
    await lab.deliver()
    assert len(lab.box.kept) == 2
    lab.box.flagged.clear()
    await lab.deliver()
    assert FOREIGN in lab.box.kept.values()
    assert len(lab.box.kept) == 2  # the first message is ours to sweep when it is old enough


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Subject: x",
        f"{TOKEN_HEADER}: aaaa\n{SENT_HEADER}: 5",
        f"{TOKEN_HEADER}: \nMessage-ID: <.mailprobe@lab.test>\nTo: <probe@lab.test>\n{SENT_HEADER}: 5",
        f"{TOKEN_HEADER}: a\nMessage-ID: <a.mailprobe@lab.test>\nTo: <probe@other.test>\n{SENT_HEADER}: 5",
        f"{TOKEN_HEADER}: a\nMessage-ID: <a.mailprobe@lab.test>\nTo: <probe@lab.test>\n{SENT_HEADER}: \u0665",
        f"{TOKEN_HEADER}: a\nMessage-ID: <a.mailprobe@lab.test>\nTo: <probe@lab.test>\n{SENT_HEADER}: -5",
        f"{TOKEN_HEADER}: a\nMessage-ID: <a.mailprobe@lab.test>\nTo: <probe@lab.test>\n{SENT_HEADER}: {NOW - 60:.0f}",
    ],
)
def test_what_is_not_surely_ours_is_no_leftover(header: str) -> None:
    assert not is_leftover(header, NOW)
    ours = f"{TOKEN_HEADER}: a\nMessage-ID: <a.mailprobe@lab.test>\nTo: <probe@lab.test>\n{SENT_HEADER}: 5"
    assert is_leftover(ours, NOW)
