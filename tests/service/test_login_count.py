"""The count of logins around a session: what is scraped when, and that no page disturbs a verdict."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from ipaddress import ip_network

import pytest

from probe.model import Endpoint, Failure, Login, Mailbox, Networks, Phase, PhaseTiming, Secret, Service
from probe.notices import AGAIN, Once
from probe.service.login_page import Page
from probe.service.logins import LAG, LoginCount
from probe.topology.http_get import Answer, HttpFault
from probe.verdict.judge import judge
from tests.builders import OURS, failed, imaps_session, smtp_session
from tests.verdict.test_judge import seen

URL = "http://10.10.1.5:9166/metrics"
FINE = imaps_session(
    phases=(PhaseTiming(phase=Phase.CONNECT, seconds=0.1), PhaseTiming(phase=Phase.LOGIN, seconds=0.1))
)
DROPPED = imaps_session(fault=failed(Phase.CONNECT, Failure.TIMED_OUT))
GOOD = judge(FINE, seen(OURS.address), Networks())
SILENT = judge(DROPPED, seen(), Networks())
MAILBOX = Login(username="probe", password=Secret("x"))
IMAPS = Endpoint(
    path="vip", service=Service.IMAPS, host="h", port=993, expected=(ip_network("192.0.2.1"),), login=MAILBOX
)


class Server:
    """A page whose count the test sets, and a clock that goes on by itself with every look at it."""

    def __init__(self, *counts: int) -> None:
        self.counts = list(counts)
        self.now = 99.0
        self.scrapes = 0
        self.fault: BaseException | None = None
        self.status = 200
        self.silent = False
        self.served = asyncio.Event()

    def clock(self) -> float:
        self.now += 0.05
        return self.now

    async def __call__(self, url: str) -> Answer:
        assert url == URL
        self.scrapes += 1
        if self.silent:
            await asyncio.Event().wait()
        if self.fault is not None:
            raise self.fault
        count = self.counts.pop(0) if len(self.counts) > 1 else self.counts[0]
        self.served.set()
        page = f"# TYPE dovecot_auth_success counter\ndovecot_auth_success_total {count}\n"
        return Answer(self.status, {"location": "/elsewhere"}, page.encode())


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Notices on standard error, without the time they begin with."""
    return [line.partition("] ")[2] for line in capsys.readouterr().err.splitlines()]


def count_of(server: Server) -> LoginCount:
    return LoginCount(Page(URL, None, server.clock, server), bound=5)


async def first_scrape(count: LoginCount, server: Server) -> None:
    server.served.clear()
    count.begin()
    await server.served.wait()


async def test_a_login_that_is_counted_late_is_waited_for() -> None:
    server = Server(7, 7, 7, 8)
    count = count_of(server)
    await first_scrape(count, server)
    server.now = FINE.closed
    around = await count.around(FINE, GOOD)
    assert around is not None
    assert (around.where, around.count, around.grown) == ("10.10.1.5:9166", 8, 1)
    assert server.scrapes == 4
    await count.__aexit__()


async def test_a_count_that_stands_still_is_believed_after_the_lag_alone() -> None:
    server = Server(7)
    count = count_of(server)
    await first_scrape(count, server)
    server.now = FINE.closed
    around = await count.around(FINE, GOOD)
    assert around is not None
    assert (around.grown, around.count) == (0, 7)
    assert around.since < FINE.opened
    assert around.until > FINE.closed + LAG
    await count.__aexit__()


async def test_a_dropped_session_takes_the_first_scrape_after_it() -> None:
    server = Server(7, 7, 9)
    count = count_of(server)
    await first_scrape(count, server)
    server.now = DROPPED.closed
    around = await count.around(DROPPED, SILENT)
    assert around is not None
    assert (around.grown, server.scrapes) == (0, 2)
    await count.__aexit__()


async def test_sessions_that_end_together_share_a_scrape() -> None:
    server = Server(7, 9)
    count = count_of(server)
    await first_scrape(count, server)
    server.now = DROPPED.closed
    found = await asyncio.gather(*(count.around(DROPPED, SILENT) for _ in range(8)))
    assert {logins.grown for logins in found if logins} == {2}
    assert server.scrapes == 2
    await count.__aexit__()


async def test_what_it_tells_nothing_of_waits_for_nothing() -> None:
    server = Server(7)
    count = count_of(server)
    await first_scrape(count, server)
    for session in (smtp_session(), replace(FINE, phases=()), replace(FINE, service=Service.SUBMISSION)):
        assert await count.around(session, judge(session, seen(OURS.address), Networks())) is None
    assert server.scrapes == 1
    await count.__aexit__()


async def test_logins_of_ours_are_known_as_ours() -> None:
    server = Server(7, 9)
    count = count_of(server)
    with count.expecting(IMAPS):
        pass
    with count.expecting(IMAPS):
        await first_scrape(count, server)
    with count.expecting(replace(IMAPS, login=None)), count.expecting(IMAPS):
        server.now = DROPPED.closed
        around = await count.around(DROPPED, SILENT)
    assert around is not None
    assert around.own == 2
    with count.expecting(replace(IMAPS, mailbox=Mailbox(recipient="a@b.test", sender="", reader=IMAPS))):
        around = await count.around(DROPPED, SILENT)
    assert around is not None
    assert around.own == 4
    for session in (DROPPED, FINE):
        with count.expecting(IMAPS) as opened:
            opened.append(session)
    around = await count.around(DROPPED, SILENT)
    assert around is not None
    assert around.own == 5
    await count.__aexit__()


async def test_a_restart_in_between_is_unknown() -> None:
    server = Server(7, 2)
    count = count_of(server)
    await first_scrape(count, server)
    assert await count.around(DROPPED, SILENT) is None
    assert count.latest == 2
    await count.__aexit__()


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        (HttpFault("closed within the head of its answer"), "closed within the head"),
    ],
)
async def test_a_page_that_cannot_be_read_is_unknown_and_said_once(
    fault: Exception, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Server(7)
    moment = [0.0]
    page = Page(URL, None, server.clock, server)
    count = LoginCount(page, bound=5, once=Once(clock=lambda: moment[0]))
    for server.fault in (fault, fault, fault):
        count.begin()
        assert await count.around(FINE, GOOD) is None
    notices = said(capsys)
    assert len(notices) == 1
    assert why in notices[0]
    server.fault = None
    await first_scrape(count, server)
    server.fault = fault
    for later, times in ((1.0, 0), (AGAIN, 1)):  # what comes and goes is said once in a while
        moment[0] += later
        count.begin()
        assert await count.around(DROPPED, SILENT) is None
        assert [why in notice for notice in said(capsys)] == [True] * times
    await count.__aexit__()


async def test_a_page_that_babbles_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    server = Server(7)
    count = count_of(server)
    for number in range(5):
        server.fault = HttpFault(f"no HTTP answer ('request {number}')")
        count.begin()
        assert await count.around(DROPPED, SILENT) is None
    assert len(said(capsys)) == 1
    server.fault = ConnectionRefusedError(111, "Connection refused")
    count.begin()
    assert await count.around(DROPPED, SILENT) is None
    assert "Connection refused" in said(capsys)[0]
    await count.__aexit__()


async def test_another_status_says_where_it_points(capsys: pytest.CaptureFixture[str]) -> None:
    server = Server(7)
    server.status = 302
    count = count_of(server)
    count.begin()
    assert await count.around(DROPPED, SILENT) is None
    assert "status 302, which points to '/elsewhere'" in said(capsys)[0]
    await count.__aexit__()


async def test_a_counter_that_never_counts_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    server = Server(0)
    count = count_of(server)
    for _ in range(2):
        await first_scrape(count, server)
        server.now = FINE.closed
        around = await count.around(FINE, GOOD)
        assert around is not None
        assert around.count == 0
    notices = said(capsys)
    assert len(notices) == 1
    assert "still 0 after a login of ours" in notices[0]
    await count.__aexit__()


async def test_a_silent_page_ends_at_the_bound(capsys: pytest.CaptureFixture[str]) -> None:
    server = Server(7)
    server.silent = True
    count = LoginCount(Page(URL, None, server.clock, server), bound=0.1)
    count.begin()
    for _ in range(2):
        assert await count.around(DROPPED, SILENT) is None
    assert "no answer within 0.1 s" in said(capsys)[0]
    await count.__aexit__()
    assert count.latest is None


async def test_without_a_round_nothing_is_asked() -> None:
    server = Server(7)
    count = count_of(server)
    assert await count.around(DROPPED, SILENT) is None
    await count.__aexit__()
    assert not server.scrapes
