"""What is known of a session under way: it talks, its evidence is looked for, it has failed, another one talks."""

from __future__ import annotations

import asyncio

from probe.model import Endpoint, Failure, Networks, Phase, Result, Service, UnderWay, Verdict
from probe.service.vigil.beat import Beat
from probe.service.vigil.post import Post
from tests.builders import failed, result

SMTP = Endpoint(path="vip", service=Service.SMTP, host="10.0.20.202", port=25)
HUNG = result(
    Verdict.NO_GREETING, opened=1000.0, connected=1000.1, closed=1030.0, fault=failed(Phase.GREETING, Failure.TIMED_OUT)
)
WORKED = result(opened=1000.0, connected=1000.1, closed=1000.2)
HELD = result(Verdict.LOGIN_FAILED, opened=1000.0, closed=1000.2, fault=failed(Phase.LOGIN, Failure.LOGIN_HELD))


def known(beat: Beat, closed: Result | None = None) -> UnderWay | None:
    return beat.under_way(closed.session if closed else None, Networks())


def test_each_moment_of_a_session_is_its_own() -> None:
    beat = Beat(Post(SMTP))
    assert known(beat) is None
    beat.opened = 999.0
    assert known(beat) == UnderWay(opened=999.0, begun=False), "its name is looked up, or it waits for its place"
    beat.talking = 1000.0
    assert known(beat) == UnderWay(opened=1000.0)
    beat.talking = None
    assert known(beat, WORKED) == UnderWay(opened=1000.0, closed=1000.2)
    assert known(beat, HUNG) == UnderWay(opened=1000.0, closed=1030.0, failed=Verdict.NO_GREETING)
    assert known(beat, HELD) == UnderWay(opened=1000.0, closed=1000.2), "it has not tried"
    beat.talking = 1005.0
    assert known(beat, WORKED) == UnderWay(opened=1005.0), "another session in its place"


def test_a_session_that_is_wanted_now_is_not_due_on_its_turn() -> None:
    beat = Beat(Post(SMTP))
    beat.post.next_session = 1015.0
    beat.want(1001.0)
    assert (beat.post.next_session, beat.wanted_now.is_set()) == (1001.0, True)
    beat.post.next_session = 1020.0  # there is no room before
    beat.want(1001.1)
    assert beat.post.next_session == 1020.0


async def test_what_is_judged_and_not_written_down_yet_is_known() -> None:
    async def judged() -> Result:
        return HUNG

    beat = Beat(Post(SMTP), opened=1000.0, running=asyncio.create_task(judged()))
    assert beat.running is not None
    await beat.running
    assert known(beat) == UnderWay(opened=1000.0, closed=1030.0, failed=Verdict.NO_GREETING)
