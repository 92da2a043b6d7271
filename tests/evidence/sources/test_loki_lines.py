"""What is in Loki arrives, once, in whatever way it comes; what was there before does not."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from probe.evidence.events import Stamp
from probe.evidence.sources.loki import LokiSource
from probe.evidence.sources.source import MAX_LINE, State
from tests.evidence.sources.loki_reading import (
    BRISK,
    OTHER_POD,
    POD,
    SECOND,
    access,
    now,
    reading_loki,
    serving,
    swept,
)
from tests.evidence.sources.reading import Reading
from tests.evidence.sources.scripted_loki import ScriptedLoki


@pytest.fixture(params=["by tail", "by query"])
async def loki(request: pytest.FixtureRequest) -> AsyncIterator[ScriptedLoki]:
    async with serving(tails=request.param == "by tail") as running:
        yield running


async def test_only_what_comes_in_after_the_start_is_delivered(loki: ScriptedLoki) -> None:
    at = now()
    loki.push(POD, [(at - number * SECOND, f"before {number}") for number in range(100)])
    async with reading_loki(loki) as consumer:
        loki.push(POD, [(at + 1, "after"), (at - 30 * SECOND, "late")])
        await consumer.until(lambda: len(consumer.lines) == 2)
        await swept(loki, consumer)
        assert sorted(consumer.lines) == [b"after\n", b"late\n"]
        health = consumer.source.health
        assert (health.state, health.reason, health.lines, health.gaps) == (State.FOLLOWING, "", 2, 0)


async def test_what_is_logged_between_start_and_follow_is_delivered(loki: ScriptedLoki) -> None:
    source = LokiSource(access(loki), clock=time.time, patience=BRISK)
    await source.start()
    loki.push(POD, [(now(), "between")])
    first = await anext(source.follow())
    assert first.text == b"between\n"
    await source.close()


async def test_a_stamp_is_the_shippers_and_as_exact_as_its_digits(loki: ScriptedLoki) -> None:
    second = now() // SECOND * SECOND
    async with reading_loki(loki) as consumer:
        loki.push(POD, [(second, "seconds"), (second + 1_000_000, "milliseconds"), (second + 1_000_001, "finer")])
        await consumer.until(lambda: len(consumer.lines) == 3)
        stamps = dict(zip(consumer.lines, (stamp for lines in consumer.arrived for stamp in lines.stamps), strict=True))
        whole = second / SECOND
        assert stamps == {
            b"seconds\n": Stamp(whole, 1.0),
            b"milliseconds\n": Stamp((second + 1_000_000) / SECOND, 1e-3),
            b"finer\n": Stamp((second + 1_000_001) / SECOND, 1e-6),
        }
        assert all(abs(lines.arrival - time.time()) < 5 for lines in consumer.arrived)


async def test_lines_with_one_stamp_and_one_text_in_two_streams_are_two(loki: ScriptedLoki) -> None:
    at = now()
    async with reading_loki(loki) as consumer:
        for stream in (POD, OTHER_POD):
            loki.push(stream, [(at, "same"), (at, "other")])
        await consumer.until(lambda: len(consumer.lines) == 4)
        await swept(loki, consumer)
        assert Counter(consumer.lines) == {b"same\n": 2, b"other\n": 2}


@pytest.mark.parametrize("limit", [3, 100])
async def test_pages_smaller_than_what_comes_in_are_turned(loki: ScriptedLoki, limit: int) -> None:
    """Loki refuses to give as much as is asked for, and says how much it gives."""
    loki.max_entries_limit = limit
    at = now()
    loki.push(POD, [(at - number, f"before {number}") for number in range(7)])
    async with reading_loki(loki) as consumer:
        loki.push(POD, [(at + number // 2 + 1, f"{number}") for number in range(60)])
        await consumer.until(lambda: len(consumer.lines) == 60)
        await swept(loki, consumer)
        assert (len(consumer.lines), len(set(consumer.lines)), consumer.source.health.gaps) == (60, 60, 0)


async def test_a_clock_hours_away_changes_nothing(loki: ScriptedLoki) -> None:
    """Loki's and the shipper's clock agree with each other and not with ours."""
    for loki.clock_ahead in (-7200.0, 86400.0):
        at = now() + round(loki.clock_ahead) * SECOND
        loki.push(POD, [(at - SECOND, f"before {at}")])
        async with reading_loki(loki) as consumer:
            loki.push(POD, [(at, f"after {at}")])
            await consumer.until(lambda: len(consumer.lines) == 1)
            await swept(loki, consumer)
            assert consumer.lines == [f"after {at}\n".encode()]


@pytest.mark.parametrize("behind", [-300, 45, 1500])
async def test_a_shipper_whose_clock_is_minutes_off_is_heard(loki: ScriptedLoki, behind: int) -> None:
    async with reading_loki(loki) as consumer:
        await swept(loki, consumer)
        for number in range(5):
            loki.push(POD, [(now() - behind * SECOND, f"{number}")])
            await consumer.until(lambda number=number: len(consumer.lines) == number + 1)  # type: ignore[misc]
        await swept(loki, consumer)
        assert consumer.lines == [b"%d\n" % number for number in range(5)]


async def test_one_entry_is_one_line_whatever_is_in_it(loki: ScriptedLoki) -> None:
    at = now()
    async with reading_loki(loki) as consumer:
        odd = ["a\nb", "end\r\n", "", "nul\0", "\ud800 ütf", "x" * (MAX_LINE + 5)]
        loki.push(POD, [(at + number, text) for number, text in enumerate(odd)])
        await consumer.until(lambda: len(consumer.lines) == len(odd))
        assert sorted(consumer.lines) == sorted(
            [b"a#012b\n", b"end\n", b"\n", b"nul\0\n", "? ütf\n".encode(), b"x" * (MAX_LINE - 1) + b"\n"]
        )
        assert max(len(lines.text) for lines in consumer.arrived) <= MAX_LINE
        assert all(len(lines.stamps) == lines.text.count(b"\n") for lines in consumer.arrived)
        assert consumer.source.health.cut == 1


async def test_cancelled_and_followed_again_goes_on_where_it_stopped(loki: ScriptedLoki) -> None:
    source = LokiSource(access(loki), clock=time.time, patience=BRISK)
    await source.start()
    consumer = Reading(source)
    for number in range(10):
        task = asyncio.create_task(consumer.consume())
        loki.push(POD, [(now(), f"{number}")])
        await consumer.until(lambda number=number: b"%d\n" % number in consumer.lines)  # type: ignore[misc]
        task.cancel()
        loki.push(POD, [(now(), f"unfollowed {number}")])
        assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)
    task = asyncio.create_task(consumer.consume())
    await consumer.until(lambda: len(consumer.lines) == 20)
    await swept(loki, consumer)
    assert len(set(consumer.lines)) == len(consumer.lines) == 20
    await source.close()
    await source.close()
    await task
    assert [lines async for lines in source.follow()] == []


async def test_a_pipeline_that_renders_labels_otherwise_in_a_tail_doubles_nothing() -> None:
    async with serving() as loki:
        loki.tail_labels = lambda labels: (*labels, ("detected_level", "info"))
        async with reading_loki(loki) as consumer:
            for number in range(50):
                loki.push(POD, [(now(), f"{number}")])
                loki.push(OTHER_POD, [(now(), f"{number}")])
                await asyncio.sleep(0)
            await consumer.until(lambda: len(consumer.lines) == 100)
            await swept(loki, consumer)
            assert Counter(Counter(consumer.lines).values()) == {2: 50}


async def test_a_tail_that_ends_after_its_hour_is_opened_again_without_a_word() -> None:
    async with serving() as loki, reading_loki(loki) as consumer:
        await consumer.until(lambda: loki.tails_opened == 1)
        await asyncio.sleep(BRISK.lived)  # how long it has lived is what counts
        loki.end_tails()
        loki.push(POD, [(now(), "in between")])
        await consumer.until(lambda: loki.tails_opened == 2)
        await swept(loki, consumer)
        assert consumer.lines == [b"in between\n"]
        assert consumer.source.health.gaps == 0


async def test_dropped_entries_are_a_gap_and_are_filled() -> None:
    async with serving() as loki, reading_loki(loki) as consumer:
        await consumer.until(lambda: loki.tails_opened == 1)
        loki.drops = 1.0
        loki.push(POD, [(now() - 100 * SECOND, f"{number}") for number in range(500)])
        await consumer.until(lambda: not loki.tails[0].entries)
        loki.drops = 0.0
        loki.push(POD, [(now(), "tells of it")])
        await consumer.until(lambda: len(consumer.lines) == 501)
        await swept(loki, consumer)
        assert len(set(consumer.lines)) == len(consumer.lines) == 501
        assert consumer.source.health.gaps == 1


async def test_entries_a_tail_leaves_out_without_a_word_are_found_by_the_next_sweep() -> None:
    async with serving() as loki:
        loki.loses = 1.0
        async with reading_loki(loki) as consumer:
            await consumer.until(lambda: loki.tails_opened == 1)
            loki.push(POD, [(now(), "unsaid")])
            await consumer.receives(b"unsaid\n")


async def test_more_of_one_stamp_than_a_query_gives_is_a_gap() -> None:
    async with serving(tails=False, max_entries_limit=10) as loki, reading_loki(loki) as consumer:
        at = now()
        loki.push(POD, [(at, f"{number}") for number in range(25)])
        loki.push(POD, [(at + 1, "next")])
        await consumer.until(lambda: b"next\n" in consumer.lines)
        await swept(loki, consumer)
        assert len(consumer.lines) == 11
        assert consumer.source.health.gaps == 1


async def test_a_query_is_asked_soon_while_somebody_is_in_a_hurry() -> None:
    async with serving(tails=False) as loki:
        source = LokiSource(access(loki), clock=time.time, patience=type(BRISK)(poll=60.0, hurried=0.01))
        await source.start()
        consumer = Reading(source)
        task = asyncio.create_task(consumer.consume())
        await consumer.until(lambda: len(loki.queries) >= 2)
        loki.push(POD, [(now(), "soon")])
        source.hurry(1.0)
        await consumer.until(lambda: consumer.lines == [b"soon\n"], 5)
        await source.close()
        await task


async def test_memory_stays_flat_however_much_comes_in() -> None:
    """Far more than is remembered: the oldest is forgotten and still nothing comes twice."""
    async with serving() as loki:
        loki.throttle = 0.0
        async with reading_loki(loki) as consumer:
            source = consumer.source
            assert isinstance(source, LokiSource)
            source._ledger._most = 500
            at = now()
            for block in range(40):
                loki.push(POD, [(at + (block * 100 + one) * 10_000_000, f"{block} {one}") for one in range(100)])
                await consumer.until(lambda block=block: len(consumer.lines) >= 100 * (block + 1))  # type: ignore[misc]
            await swept(loki, consumer)
            assert len(set(consumer.lines)) == len(consumer.lines) == 4000
            assert source._ledger._size <= 500


async def test_the_name_tells_where_what_and_for_whom_and_no_secret() -> None:
    async with serving() as loki:
        names = {LokiSource(access(loki, tenant=tenant), clock=time.time).name for tenant in (None, "a")}
        assert names == {f'loki:{who}127.0.0.1:{loki.port} {{app="mail"}}' for who in ("", "a@")}
