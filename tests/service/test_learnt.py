"""What was learnt belongs to the process: whatever is configured next goes on from it, and what is gone is let go."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from probe.evidence.age import Pace, Stamper
from probe.evidence.scene import Offset
from probe.evidence.sources.source import Lines
from probe.model import Beat, Endpoint, IdMoment, ImprintKind, Login, Mailbox, Secret, Service, Span, Timeouts
from probe.service.budget import WINDOW, Budgets
from probe.service.clock import SteadyClock
from probe.service.learnt import Learnt
from probe.service.outfit import outfitted
from probe.service.schedule import Course, Turns
from probe.service.trust_memory import NAME, Checked, TrustMemory
from probe.service.watch import Watch
from probe.settings import load, targets
from tests.service.test_hearing import CONNECT, Script

LOGIN = Login(username="probe@example.org", password=Secret("wrong"))
VIP = Endpoint(path="vip", service=Service.IMAPS, host="10.0.20.202", port=993, login=LOGIN)
GONE = replace(VIP, path="gone", host="10.0.20.203")


async def learnt_of(*endpoints: Endpoint, now: list[float], place: Path) -> Learnt:
    """All that can be known of these endpoints, each with a source of its own."""
    learnt = Learnt(clock=lambda: now[0], budgets=Budgets(6))
    memory = TrustMemory(place / NAME, checks=learnt.checks, reachable=False)

    async def beat() -> Beat:
        return Beat(id_moments=dict.fromkeys(IdMoment, Span(now[0], now[0])))

    for one in endpoints:
        learnt.clocks[one.path, IdMoment.ACCEPTED] = Offset(0.0, 1.0)
        learnt.paces[one.path, Stamper.HEADER] = Pace(0.0, 0.0, 0.0)
        learnt.tells[one.identity] = False
        learnt.courses[one.identity] = Course(turns=Turns(anchor=0.0, interval=30.0))
        learnt.spacing.take(one.host, now[0], 1.0)
        learnt.budgets.opened(one.name, now[0], by=one.name)
        await learnt.rhythms.round(one, learnt.budgets, beat)
        memory.remember(one, Checked(at=now[0], believed=None))
        learnt.refused.refused(one, "NO", began=now[0], now=now[0])
    return learnt


def names_in(learnt: Learnt) -> str:
    """All that is kept by something that was configured, as text."""
    kept = (learnt.clocks, learnt.paces, learnt.tells, learnt.courses, learnt.spacing._hosts, learnt.checks.last)
    within = (learnt.rhythms._ways, learnt.budgets._of, learnt.budgets._beats)
    refused = (learnt.refused._logins, learnt.refused._servers)
    return repr([list(one) for one in (*kept, *within, *refused)])


async def test_what_left_the_configuration_is_let_go(tmp_path: Path) -> None:
    now = [1000.0]
    learnt = await learnt_of(VIP, GONE, now=now, place=tmp_path)
    only_vip, of_both = names_in(await learnt_of(VIP, now=[1000.0], place=tmp_path)), names_in(learnt)
    learnt.only([VIP, GONE], {VIP.path, GONE.path})
    assert names_in(learnt) == of_both
    now[0] += WINDOW
    learnt.only([VIP], {VIP.path})
    assert names_in(learnt) == only_vip
    assert GONE.path not in only_vip


async def test_what_was_spent_at_a_server_is_not_forgotten_before_the_server_forgets_it(tmp_path: Path) -> None:
    now = [1000.0]
    learnt = await learnt_of(GONE, now=now, place=tmp_path)
    learnt.only([VIP], set())
    assert learnt.budgets.room_at(GONE.name, {GONE.name: 6}, now[0]) == now[0] + WINDOW


async def test_a_mailbox_is_one_of_the_endpoints(tmp_path: Path) -> None:
    learnt = await learnt_of(GONE, now=[1000.0], place=tmp_path)
    smtp = replace(VIP, service=Service.SMTP, mailbox=Mailbox(reader=GONE, recipient="probe@example.org", sender=""))
    before = names_in(learnt)
    learnt.only([smtp], {GONE.path})
    assert names_in(learnt) == before


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "mailprobe.yaml"
    file.write_text(
        f"paths: [{{name: vip, host: 127.0.0.1, endpoints: [{{service: imaps}}]}}]\n"
        f"evidence: {{sources: [{{kind: file, path: {tmp_path / 'log'}}}]}}\n"
        f"history: {{file: {tmp_path / 'history.db'}}}\n"
        "checks: {spoof: true}\n"
    )
    return file


async def test_a_reload_leaves_nothing_behind(config: Path) -> None:
    """Nothing is copied: what two configurations at once have open is the same, and stays it."""
    settings = load(config, environment={}, hostname="test")
    learnt = Learnt(clock=SteadyClock())
    async with (
        outfitted(settings, targets(settings), learnt.clock, learnt=learnt) as before,
        outfitted(settings, targets(settings), learnt.clock, learnt=learnt) as after,
    ):
        for one in (before, after):
            assert one.learnt is learnt
            assert (one.kit.ports, one.kit.lookups, one.watch.paces) == (learnt.ports, learnt.lookups, learnt.paces)
            assert one.trust is not None
            assert one.trust.memory.checks is learnt.checks


async def test_whether_a_server_tells_our_address_is_known_at_another_pace(config: Path) -> None:
    settings = load(config, environment={}, hostname="test")
    async with outfitted(settings, targets(settings), SteadyClock()) as workshop:
        (endpoint,) = targets(settings)
        asked = replace(endpoint, service=Service.SMTP, imprint=ImprintKind.FINGERPRINT)
        assert workshop.questions(asked) == ("data",)
        workshop.learnt.tells[asked.identity] = False
        assert workshop.questions(replace(asked, timeouts=Timeouts(session=10.0))) == ()


async def test_a_reload_knows_the_clock_of_a_log(config: Path) -> None:
    """Stamps of a zone that is neither UTC nor the probe's: of a source that is opened anew, the first line counts."""
    learnt = Learnt(clock=lambda: 1_795_600_000.0)
    ahead = [Lines(1_795_592_400.0 + late, b"Nov 25 10:26:%02d mail " % (40 + late) + CONNECT) for late in range(7)]
    pace: Pace | None = None
    for lines in (ahead[:6], ahead[6:]):
        source = Script(*lines)
        async with Watch([source], learnt.clock, None, learnt.paces) as watch, asyncio.timeout(10):
            await source.told.wait()
            pace = watch.paces[source.name, Stamper.HEADER_WITHOUT_ZONE]
            assert pace.is_plausible((0.0,))
    assert pace is not None
    assert pace.least == pytest.approx(-10_000, abs=2.0)
