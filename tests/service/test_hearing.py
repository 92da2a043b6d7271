"""What the watch keeps of each source: counts and latenesses, from stamps beside the lines or in them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from probe.evidence.events import Stamp
from probe.evidence.health import LAG_BUCKETS
from probe.evidence.sources.source import Health, Lines, State
from probe.service.watch import Watch

CONNECT = b"postfix/smtpd[7]: connect from unknown[192.168.1.10]\n"


class Script:
    """A source that brings given lines and is silent then."""

    name = "script"
    health = Health(state=State.FOLLOWING, lines=3, last_line_at=1000.0, gaps=1)

    def __init__(self, *given: Lines) -> None:
        self._given = given
        self.told = asyncio.Event()
        self._closed = asyncio.Event()

    async def start(self) -> None:
        pass

    async def follow(self) -> AsyncIterator[Lines]:
        for lines in self._given:
            yield lines
        self.told.set()
        await self._closed.wait()

    def hurry(self, seconds: float) -> None:
        pass

    async def close(self) -> None:
        self._closed.set()


async def test_a_source_is_heard() -> None:
    source = Script(
        Lines(1000.0, b"2001-09-09T01:46:35.000000Z mail " + CONNECT),
        Lines(1000000000.0, b"2001-09-09T01:46:32.000000Z mail " + CONNECT),
        Lines(1000000000.0, b"a\n" + CONNECT, (None, Stamp(999999999.5, 1e-6))),
        Lines(1000000000.0, CONNECT, (None,)),
        Lines(1000000000.0, b"no stamp\n"),
    )
    async with Watch([source], time.time) as watch:
        await source.told.wait()
        (heard,) = watch.heard({})
    assert (heard.source, heard.up, heard.lines, heard.events) == ("script", True, 6, 4)
    assert (heard.gaps, heard.last_line_at, heard.zoned) == (1, 1000.0, True)
    assert [round(late, 3) for late in heard.late[1:]] == [8.0, 0.5]
    assert sum(heard.counted) == len(heard.late) == 3
    assert heard.counted[LAG_BUCKETS.index(10.0)] == 1
    assert round(heard.late_in_all, 3) == 8.5  # a stamp in the future is late by nothing


async def test_what_is_too_much_to_keep_is_remembered_to_be_gone() -> None:
    source = Script(*(Lines(float(arrival), CONNECT) for arrival in range(1000, 1005)))
    async with Watch([source], time.time, most_kept=4) as watch:
        assert watch.forgotten_until < 0
        with watch.needed_since(1000.0):
            await source.told.wait()
    assert [seen.arrival for seen in watch.since(0.0)] == [1002.0, 1003.0, 1004.0]
    assert watch.forgotten_until == 1001.0


async def test_stamps_without_a_zone_are_known_as_such() -> None:
    moment = 1_795_600_000.0
    source = Script(Lines(moment, b"Nov 25 10:26:40 mail " + CONNECT))
    async with Watch([source], time.time) as watch:
        await source.told.wait()
        (heard,) = watch.heard({})
    assert (len(heard.late), heard.zoned) == (1, False)
