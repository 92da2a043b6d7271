"""The history keeps what the ledger tells and gives it back: sessions, changes, outages, each once, for as long as it
should."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from probe.model import MaskedBy, Pace, Spoken, Verdict
from probe.report.record import record_object
from probe.service.history.backlog import AT_ONCE, Backlog, News
from probe.service.history.file import FEW_PAGES, STEP, HistoryFile
from probe.service.history.schema import APPLICATION, MIGRATIONS, VERSION
from probe.service.history.statements import BEFORE, CHANGES, RECENT
from probe.service.history.writer import UPGRADES
from probe.service.station import Past
from probe.service.wanted import NotKept, Wanted
from tests.builders import result, unable
from tests.service.history.keeping import BRISK, DAY, IMAPS, SMTP, TALK, Desk, Time, asked, identities, keeping


async def test_a_session_comes_back_as_it_was_told(tmp_path: Path) -> None:
    told = result(Verdict.MASKED, masked_by=MaskedBy.NODE, id="one", opened=1_795_000_000.5, transcript=TALK)
    async with keeping(tmp_path / "h.db") as desk:
        desk.ledger.record(told)
        await desk.writes(1)
        past: Past = desk.history
        assert await past.session("one") == json.loads(json.dumps(record_object(told)))
        assert await past.session("another") is None
        assert desk.history.trouble is None
    assert desk.said.events == []
    assert asked(tmp_path / "h.db", "SELECT path, service, port, verdict, masked_by, seconds, opened FROM sessions "
                 "JOIN endpoints ON endpoints.number = endpoint") == [
        ("vip", "smtp", 25, "masked", "node", 1.0, 1_795_000_000.5)
    ]  # fmt: skip


async def test_sessions_come_latest_first_by_endpoint_and_by_time(tmp_path: Path) -> None:
    now = Time(wall=2000.0)
    async with keeping(tmp_path / "h.db", now.clock()) as desk:
        for number in range(200):
            service = (SMTP, IMAPS)[number % 2]
            desk.session(id=str(number), opened=1000.0 + number, service=service.service, port=service.port)
        await desk.writes(200)
        listed = await desk.history.sessions(Wanted(before=1100.0), most=4)
        assert [one["id"] for one in listed] == ["99", "98", "97", "96"]
        listed = await desk.history.sessions(Wanted(service=IMAPS.service), most=3)
        assert [one["id"] for one in listed] == ["199", "197", "195"]
        assert await desk.history.sessions(Wanted(), most=-1) == []
        assert len(await desk.history.sessions(Wanted(), most=10**9)) == 200
    assert identities(tmp_path / "h.db") == [str(number) for number in range(200)]


async def test_the_latest_is_what_came_last_though_the_clock_was_set_back(tmp_path: Path) -> None:
    now = Time()
    async with keeping(tmp_path / "h.db", now.clock()) as desk:
        for number in range(6):
            desk.session((Verdict.PRESERVED, Verdict.REFUSED)[number % 2], id=f"ahead{number}")
            now.passes(30)
        await desk.writes(6)
        now.wall -= 3600
        noon = now.wall
        for number in range(4):
            desk.session((Verdict.PRESERVED, Verdict.REFUSED)[number % 2], id=f"now{number}")
            now.passes(30)
        await desk.writes(10)
        order = ["now3", "now2", "now1", "now0", *(f"ahead{number}" for number in range(5, -1, -1))]
        assert await listed(desk, Wanted(limit=3)) == order
        assert await listed(desk, Wanted(path="vip", limit=3)) == order
        assert await listed(desk, Wanted(before=noon + 31, limit=1)) == ["now1", "now0"]
        outages = [one.first for one in await desk.history.outages(Wanted())]
        assert outages == ["now3", "now1", "ahead5", "ahead3", "ahead1"]
        rest = await desk.history.outages(Wanted(after="ahead5"))
        assert [one.first for one in rest] == ["ahead3", "ahead1"]
        assert await desk.history.outages(Wanted(after="ahead1")) == []
        assert await desk.history.sessions(Wanted(after="ahead0")) == []
        for ask in (desk.history.outages, desk.history.sessions):
            with pytest.raises(NotKept):
                await ask(Wanted(after="nobody"))


async def test_a_session_that_could_not_be_opened_ends_no_outage_nor_does_a_restart_after_it(tmp_path: Path) -> None:
    now, file = Time(), tmp_path / "h.db"
    for found in ((Verdict.REFUSED, None), (None, Verdict.REFUSED, Verdict.PRESERVED)):
        async with keeping(file, now.clock()) as desk:
            for verdict in found:
                at = desk.clock()
                desk.ledger.record(result(verdict, opened=at, id=f"{now.wall}") if verdict else unable(at))
                now.passes(30)
            await desk.writes(len(found))
    began = asked(file, "SELECT min(opened) FROM sessions")[0][0]
    assert asked(file, "SELECT began, ended, unwatched FROM outages") == [(began, began + 120, 0.0)]


async def test_a_list_goes_on_from_what_waits_into_what_is_written(tmp_path: Path) -> None:
    now, file = Time(), tmp_path / "h.db"
    for part, patience in (("written", BRISK), ("waits", replace(BRISK, gather=60.0))):
        async with keeping(file, now.clock(), patience=patience) as desk:
            for number in range(4):
                desk.session((Verdict.REFUSED, Verdict.PRESERVED)[number % 2], id=f"{part}{number}")
                now.passes(30)
            if part == "written":
                await desk.writes(4)
            else:
                assert desk.history.written == 0
                told = [f"{when}{number}" for when in ("waits", "written") for number in (3, 2, 1, 0)]
                assert await listed(desk, Wanted(limit=1)) == await listed(desk, Wanted(limit=5)) == told
                outages = [one.first for one in await desk.history.outages(Wanted(after="waits2"))]
                assert outages == ["waits0", "written2", "written0"]


async def listed(desk: Desk, wanted: Wanted) -> list[str]:
    """All of a list, read in parts."""
    found: list[str] = []
    while part := await desk.history.sessions(replace(wanted, after=found[-1] if found else None), wanted.limit):
        found += [str(one["id"]) for one in part]
    return found


BEFORE_9 = BEFORE.replace("?", "9")


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("SELECT number FROM sessions WHERE opened < 9 ORDER BY opened LIMIT 5", "sessions_by_time"),
        (f"SELECT number FROM sessions s WHERE {BEFORE_9} ORDER BY number DESC LIMIT 5", "sessions_by_time"),
        (
            f"SELECT * FROM sessions s WHERE endpoint = 1 AND {BEFORE_9} ORDER BY number DESC LIMIT 5",
            "sessions_of_endpoint",
        ),
        ("SELECT number FROM records WHERE fine AND opened < 9 ORDER BY opened LIMIT 5", "records_of_fine_sessions"),
        (RECENT, "COVERING INDEX sessions_by_time (opened>?)"),
        ("SELECT number FROM outages WHERE ended < 9 LIMIT 5", "outages_by_end"),
        (
            f"SELECT number FROM sessions s WHERE verdict = 'masked' AND verdict <> 'preserved' AND {BEFORE_9} "
            "ORDER BY number DESC LIMIT 5",
            "sessions_that_are_not_fine",
        ),
    ],
)
async def test_what_is_asked_for_is_found_by_an_index(tmp_path: Path, query: str, index: str) -> None:
    async with keeping(tmp_path / "h.db"):
        pass
    plan = " ".join(str(row) for row in asked(tmp_path / "h.db", f"EXPLAIN QUERY PLAN {query}"))
    assert index in plan
    assert "TEMP B-TREE" not in plan


async def test_a_restart_ends_no_outage_and_doubles_none(tmp_path: Path) -> None:
    now, file = Time(), tmp_path / "h.db"
    async with keeping(file, now.clock()) as desk:
        desk.session(Verdict.PRESERVED, id="fine")
        now.passes(30)
        began = now.wall
        desk.session(Verdict.SILENT_DROP, id="first")
        now.passes(30)
        desk.session(Verdict.REFUSED, id="second")
        before = desk.ledger.accounts[SMTP.name]
    now.monotonic = 5.0
    now.passes(3600)
    async with keeping(file, now.clock()) as desk:
        account = desk.ledger.accounts[SMTP.name]
        assert account.outage == before.outage
        assert list(account.changes) == list(before.changes)
        desk.session(Verdict.SILENT_DROP, id="third")
        await desk.writes(1)
        (lasting,) = await desk.history.outages(Wanted(), most=10)
        assert (lasting.began, lasting.seen, lasting.ended) == (began, now.wall, None)
        now.passes(30)
        desk.session(Verdict.PRESERVED, id="fourth")
        ended = now.wall
    async with keeping(file, now.clock()) as desk:
        account = desk.ledger.accounts[SMTP.name]
        assert account.outage is None
        (outage,) = account.outages
        assert (outage.began, outage.ended, outage.seconds) == (began, ended, 3660.0)
        assert outage.verdicts == (Verdict.SILENT_DROP, Verdict.REFUSED)
        assert [change.session for change in account.changes] == ["fine", "first", "second", "third", "fourth"]
        assert await desk.history.outages(Wanted(before=began), most=10) == []
    assert identities(file) == ["fine", "first", "second", "third", "fourth"]


LOOKED_AT = replace(SMTP, pace=Pace(due=75.0, lapse=135.0))


async def test_what_nobody_saw_is_written_down_as_such(tmp_path: Path) -> None:
    """The history knows of each endpoint when it was last judged, and an outage how long nobody looked."""
    now, file = Time(), tmp_path / "h.db"
    async with keeping(file, now.clock(), endpoints=[LOOKED_AT]) as desk:
        began = now.wall
        desk.session(Verdict.REFUSED, id="first")
        now.passes(30)
        desk.session(Verdict.REFUSED, id="second")
    now.passes(3600)
    async with keeping(file, now.clock(), endpoints=[LOOKED_AT]) as desk:
        account = desk.ledger.accounts[SMTP.name]
        assert account.change is not None
        assert account.change.seen == began + 30
        assert account.told(desk.clock()) is None
        desk.session(Verdict.REFUSED, id="third")
        now.passes(30)
        desk.session(Verdict.PRESERVED, id="fourth")
        await desk.writes(2)
        (outage,) = await desk.history.outages(Wanted())
        assert (outage.first, outage.began, outage.ended) == ("first", began, now.wall)
        assert (outage.unwatched, outage.seconds) == (3600.0, 60.0)
    async with keeping(file, now.clock(), endpoints=[LOOKED_AT]) as desk:
        told = [(one.session, one.at - began, one.seen - began) for one in desk.ledger.accounts[SMTP.name].changes]
        assert told == [("first", 0.0, 30.0), ("third", 3630.0, 3630.0), ("fourth", 3660.0, 3660.0)]


@pytest.mark.parametrize("set_while", ["it runs", "nobody runs"])
async def test_a_clock_that_is_set_makes_no_time_in_which_nobody_looked(tmp_path: Path, set_while: str) -> None:
    """The times of one run of the machine stay as far apart as they were, whatever its wall clock is set to."""
    now, file, began = Time(boot="this"), tmp_path / "h.db", 1_795_000_000.0
    verdicts = [Verdict.PRESERVED, Verdict.REFUSED, Verdict.PRESERVED, Verdict.UNVERIFIED]
    async with keeping(file, now.clock(), endpoints=[LOOKED_AT]) as desk:
        for number, (verdict, jump) in enumerate(zip(verdicts, [3600.0, 0.0, -3600.0, -3600.0], strict=True)):
            desk.session(verdict, id=f"{number}")
            await desk.writes(2 * number + 1)
            if set_while == "it runs" or number == len(verdicts) - 1:
                now.wall += jump
            now.passes(30)
            desk.session(verdict, id=f"{number} again")
            await desk.writes(2 * number + 2)
            now.passes(30)
    now.wall += began + 240 - now.wall
    async with keeping(file, now.clock(), endpoints=[LOOKED_AT]) as desk:
        account, start = desk.ledger.accounts[SMTP.name], desk.clock() - 240
        told = [(one.session, round(one.at - start, 3), round(one.seen - start, 3)) for one in account.changes]
        assert told == [(f"{number}", 60.0 * number, 60.0 * number + 30) for number in range(4)]
        assert [(round(one.began - start, 3), one.seconds) for one in account.outages] == [(60.0, 60.0)]


async def test_times_of_another_run_of_the_machine_are_taken_as_they_were_told(tmp_path: Path) -> None:
    now, file = Time(boot="one"), tmp_path / "h.db"
    async with keeping(file, now.clock(), endpoints=[LOOKED_AT]) as desk:
        desk.session(Verdict.PRESERVED, id="before")
    now = Time(monotonic=5.0, wall=now.wall + 3600, boot="another")
    async with keeping(file, now.clock(), endpoints=[LOOKED_AT]) as desk:
        desk.session(Verdict.PRESERVED, id="after")
        await desk.writes(1)
        now.wall += 60
        now.monotonic += 30
        desk.session(Verdict.REFUSED, id="last")
    assert asked(file, "SELECT seen - 1795000000 FROM changes ORDER BY number") == [(0.0,), (3630.0,), (3660.0,)]


@pytest.mark.parametrize(("stale", "known"), [(3600.0, 120.0), (-3600.0, 90.0), (0.0, 90.0)])
async def test_what_was_told_before_the_machine_was_started_stays_though_it_starts_by_a_wrong_clock(
    tmp_path: Path, stale: float, known: float
) -> None:
    """A machine without a battery for its clock is off for an hour, and starts by the time of its last hour."""
    now, file = Time(boot="one"), tmp_path / "h.db"
    began = now.wall
    async with keeping(file, now.clock(), endpoints=[LOOKED_AT]) as desk:
        desk.session(Verdict.REFUSED, id="first")
        now.passes(30)
        desk.session(Verdict.REFUSED, id="second")
    now = Time(monotonic=5.0, wall=began + 30 + 3600 - stale, boot="another")
    async with keeping(file, now.clock(), endpoints=[LOOKED_AT]) as desk:
        now.passes(30)
        desk.session(Verdict.REFUSED, id="third")
        await desk.writes(1)
        now.passes(30)
        now.wall += stale
        desk.session(Verdict.REFUSED, id="fourth")
        await desk.writes(2)
        account = desk.ledger.accounts[SMTP.name]
        assert account.outage is not None
        assert desk.clock.wall(account.outage.began) == pytest.approx(began)
        (lasting,) = await desk.history.outages(Wanted())
        for told in (lasting, account.outage.told(desk.clock.ahead)):
            assert (told.first, told.began, told.seen) == ("first", began, now.wall)
            assert told.unwatched == pytest.approx(3630.0 + 90.0 - known)
        now.passes(30)
        desk.session(Verdict.PRESERVED, id="fifth")
        await desk.writes(3)
        (ended,) = await desk.history.outages(Wanted())
        assert (ended.began, ended.ended) == (began, now.wall)
        assert ended.seconds == pytest.approx(known)
    async with keeping(file, now.clock(), endpoints=[LOOKED_AT]) as desk:
        (again,) = desk.ledger.accounts[SMTP.name].outages
        assert [again.began, again.seconds] == pytest.approx([began, known])


async def test_outages_are_told_apart_by_their_first_sessions_whatever_the_clock_says(tmp_path: Path) -> None:
    now = Time()
    for number in (1, 2):
        async with keeping(tmp_path / "h.db", now.clock()) as desk:
            began = now.wall
            desk.session(Verdict.MASKED, id=f"began{number}")
            now.passes(30)
            desk.session(Verdict.PRESERVED, id=f"ended{number}")
            now.passes(30)
            await desk.writes(2)
            told = await desk.history.outages(Wanted())
        now.wall = began  # the machine is started by the clock of when the outage began
    assert sorted((one.first, one.began, one.seconds) for one in told) == [
        ("began1", began, 30.0),
        ("began2", began, 30.0),
    ]


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
async def test_where_nobody_tells_which_boot_it_is_times_follow_a_clock_that_is_set_while_it_runs(
    tmp_path: Path, jump: float
) -> None:
    now, file = Time(), tmp_path / "h.db"
    async with keeping(file, now.clock()) as desk:
        desk.session(Verdict.REFUSED, id="one")
        await desk.writes(1)
        began = now.wall
        now.passes(30)
        now.wall += jump
        desk.session(Verdict.PRESERVED, id="two")
        await desk.writes(2)
        (outage,) = await desk.history.outages(Wanted())
        (page,) = desk.ledger.accounts[SMTP.name].outages
        assert [outage.began, outage.seconds] == pytest.approx([began + jump, 30.0])
        assert desk.clock.wall(page.began) == pytest.approx(outage.began)
    assert asked(file, "SELECT at FROM changes ORDER BY number") == [(began + jump,), (began + jump + 30,)]


async def test_what_waits_is_told_before_it_is_written(tmp_path: Path) -> None:
    async with keeping(tmp_path / "h.db", patience=replace(BRISK, gather=60.0)) as desk:
        desk.session(Verdict.MASKED, id="one")
        assert [one["id"] for one in await desk.history.sessions(Wanted())] == ["one"]
        assert await desk.history.sessions(Wanted(verdict=Verdict.PRESERVED)) == []
        assert (await desk.history.session("one") or {})["verdict"] == "masked"
        assert [one.first for one in await desk.history.outages(Wanted())] == ["one"]
        assert desk.history.written == 0


async def test_a_filter_finds_what_is_behind_thousands_of_others(tmp_path: Path) -> None:
    file, now = tmp_path / "h.db", 1_795_000_000.0
    async with keeping(file):
        pass
    with closing(sqlite3.connect(file)) as other, other:
        other.execute("INSERT INTO endpoints VALUES (1, 'vip', 'smtp', 25), (2, 'vip', 'imaps', 993)")
        told = [(f"{number}", now + number, 1 + number % 2, "preserved") for number in range(6000)]
        other.executemany(
            "INSERT INTO sessions (id, opened, endpoint, verdict, seconds) VALUES (?, ?, ?, ?, 0.1)",
            [("bad", now - 1, 1, "masked"), *told],
        )
        other.executemany(
            "INSERT INTO outages (endpoint, first, began, seen, ended, unwatched, verdicts, session, explanation, hint)"
            " VALUES (1, ?1, ?1, ?1, ?1, 0, 'refused masked', 'x', '', '')",
            [(now + number,) for number in range(1500)],
        )
    async with keeping(file) as desk:
        asked = desk.history.sessions
        for wanted in (Wanted(verdict=Verdict.MASKED), Wanted(path="vip", verdict=Verdict.MASKED)):
            assert [one["id"] for one in await asked(wanted, most=10)] == ["bad"]
        assert await asked(Wanted(service=IMAPS.service, verdict=Verdict.MASKED), most=10) == []
        latest = await asked(Wanted(path="vip", before=now + 5998), most=3)
        assert [one["id"] for one in latest] == ["5997", "5996", "5995"]
        found, after = 0, None
        while page := await desk.history.outages(Wanted(verdict=Verdict.MASKED, after=after), most=500):
            found, after = found + len(page), page[-1].first
        assert found == 1500
        assert await desk.history.outages(Wanted(verdict=Verdict.SILENT_DROP)) == []


@pytest.mark.parametrize("jump", [40 * DAY, -40 * DAY])
async def test_a_clock_that_is_wrong_erases_nothing(tmp_path: Path, jump: float) -> None:
    now, file = Time(), tmp_path / "h.db"
    async with keeping(file, now.clock()) as desk:
        for number in range(10):
            desk.session(Verdict.MASKED, id=f"before{number}")
            now.passes(30)
        now.wall += jump
        for number in range(10):
            desk.session(Verdict.MASKED, id=f"after{number}")
            now.passes(30)
            await desk.writes(11 + number)
        looks = desk.history.pruned
        await desk.until(lambda: desk.history.pruned >= looks + 3)
    now.wall += 60
    async with keeping(file, now.clock()) as desk:  # nor does a process that begins by that clock
        await desk.until(lambda: desk.history.pruned >= 3)
    assert len(identities(file)) == 20


async def test_the_file_keeps_to_its_size_the_oldest_go(tmp_path: Path) -> None:
    file = tmp_path / "h.db"
    async with keeping(file, size="10MB") as desk:
        noise = random.Random(1)
        for number in range(1200):
            said = tuple(Spoken(0.1, ours=False, text=noise.randbytes(500).hex()) for _ in range(25))
            desk.session(Verdict.MASKED if number % 3 else Verdict.PRESERVED, id=f"{number}", transcript=said)
            if number % 100 == 99:
                await desk.writes(number + 1)
        parts = ("page_count", "freelist_count", "page_size")
        query = f"SELECT * FROM {', '.join(f'pragma_{part}' for part in parts)}"

        def used() -> int:
            ((pages, free, each),) = asked(file, query)
            return int((pages - free) * each)

        await desk.until(lambda: used() <= 10_000_000)
    left = identities(file)
    assert left == [str(number) for number in range(1200 - len(left), 1200)]
    assert 300 < len(left) < 1200
    bare = "SELECT DISTINCT verdict FROM sessions LEFT JOIN records USING (number) WHERE record IS NULL"
    assert asked(file, bare) == [("preserved",)]
    assert asked(file, "SELECT count(*) FROM outages WHERE ended IS NULL") == [(1,)]


async def test_where_there_is_no_room_the_newest_failure_is_the_last_to_go(tmp_path: Path) -> None:
    file = tmp_path / "h.db"
    async with keeping(file) as desk:
        for number in range(2 * STEP + 100):
            desk.session(id=f"fine{number}", transcript=())
            if number % 100 == 99:
                await desk.writes(number + 1)
        for number in range(50):
            desk.session(Verdict.REFUSED, id=f"failed{number}", transcript=())
    held, opened = [], await HistoryFile.opened(file, lambda: None)
    try:
        while await opened.shrink(0):
            held.append(asked(file, "SELECT (SELECT count(*) FROM sessions), count(*), sum(fine) FROM records")[0])
    finally:
        await opened.close()
    fine = [(2 * STEP + 150, STEP + 150, STEP + 100), (2 * STEP + 150, 150, 100), (2 * STEP + 150, 50, 0)]
    assert held == [*fine, (STEP + 150, 50, 0), (150, 50, 0), (0, 0, None)]


async def test_old_failures_go_before_what_fine_sessions_of_the_last_hour_said(tmp_path: Path) -> None:
    now, file = Time(), tmp_path / "h.db"
    async with keeping(file, now.clock()) as desk:
        for name, count, verdict in (
            ("old", 150, Verdict.MASKED),
            ("well", 20, Verdict.PRESERVED),
            ("late", 20, Verdict.MASKED),
            ("now", 20, Verdict.PRESERVED),
        ):
            for number in range(count):
                desk.session(verdict, id=f"{name}{number}", transcript=())
            now.passes(3599.0 if name == "late" else 1.0)
    held, opened = [], await HistoryFile.opened(file, lambda: None)
    recorded = "SELECT DISTINCT rtrim(id, '0123456789') FROM sessions JOIN records USING (number)"
    try:
        while await opened.shrink(0):
            held.append(sorted(name for (name,) in asked(file, recorded)))
    finally:
        await opened.close()
    assert held == [["late", "now", "old"], ["late", "now"], ["late"], []]


def of_the_first_version(connection: sqlite3.Connection) -> None:
    for statement in MIGRATIONS[0]:
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute("PRAGMA user_version = 1")


async def test_a_file_that_is_brought_up_for_long_is_not_called_a_slow_disk(tmp_path: Path) -> None:
    file = tmp_path / "h.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        of_the_first_version(other)
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("BEGIN IMMEDIATE")  # until it is let go, nobody else writes
        async with keeping(file, patience=replace(BRISK, start=0.3)) as desk:
            assert desk.said.reasons == [f"history.file {file}: {UPGRADES}"]
            other.execute("COMMIT")
            desk.session(Verdict.PRESERVED, id="later")
            await desk.writes(1)
            assert desk.history.trouble is None


async def test_a_file_of_the_first_version_is_brought_up(tmp_path: Path) -> None:
    now, file = Time(), tmp_path / "h.db"
    with closing(sqlite3.connect(file)) as other, other:
        of_the_first_version(other)
        other.execute("INSERT INTO endpoints VALUES (1, 'vip', 'smtp', 25)")
        sessions = [("a", 0), ("b", 30), ("c", 60), ("d", 90)]
        other.executemany(
            "INSERT INTO sessions (id, opened, endpoint, verdict, seconds) VALUES (?, ?, 1, 'x', 1)",
            [(identity, now.wall - 200 + at) for identity, at in sessions],
        )
        other.executemany(
            "INSERT INTO changes (endpoint, at, verdict, session) VALUES (1, ?, ?, ?)",
            [(now.wall - 200, "preserved", "a"), (now.wall - 140, "refused", "c")],
        )
        other.execute(
            "INSERT INTO outages (endpoint, mark, began, seen, verdicts, session, explanation, hint)"
            " VALUES (1, 5, ?, ?, 'refused', 'd', 'It was so.', '')",
            (now.wall - 140, now.wall - 110),
        )
    async with keeping(file, now.clock()) as desk:
        account = desk.ledger.accounts[SMTP.name]
        assert [now.wall - change.seen for change in account.changes] == [170.0, 110.0]
        assert account.outage is not None
        desk.session(Verdict.PRESERVED, id="e")
        await desk.writes(1)
        (outage,) = await desk.history.outages(Wanted())
        assert (outage.began, outage.seconds, outage.explanation) == (now.wall - 140, 140.0, "It was so.")


async def test_a_start_looks_at_the_last_day_only(tmp_path: Path) -> None:
    async with keeping(tmp_path / "h.db"):
        pass
    plan = " ".join(str(row) for row in asked(tmp_path / "h.db", f"EXPLAIN QUERY PLAN {CHANGES}", 0.0, 9))
    assert "SCAN c" not in plan
    assert plan.count("COVERING INDEX changes_by_endpoint (endpoint=? AND at") == 2


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
async def test_a_wall_clock_set_in_the_middle_of_an_outage_changes_no_length(tmp_path: Path, jump: float) -> None:
    now, file = Time(), tmp_path / "h.db"
    async with keeping(file, now.clock()) as desk:
        desk.session(Verdict.REFUSED, id="1")
        await desk.writes(1)
        now.passes(60)
        now.wall += jump
        desk.session(Verdict.REFUSED, id="2")
        await desk.writes(2)
        (lasting,) = await desk.history.outages(Wanted(), most=10)
        assert lasting.seconds == pytest.approx(60.0)
        assert lasting.seen == pytest.approx(now.wall)
    async with keeping(file, now.clock()) as desk:
        now.passes(60)
        desk.session(Verdict.PRESERVED, id="3")
        await desk.writes(1)
        (ended,) = await desk.history.outages(Wanted(), most=10)
        assert ended.seconds == pytest.approx(120.0)


async def test_what_lies_ahead_because_the_clock_was_wrong_is_not_restored_ahead(tmp_path: Path) -> None:
    now, file = Time(), tmp_path / "h.db"
    async with keeping(file, now.clock()) as desk:
        desk.session(Verdict.REFUSED, id="1")
        now.passes(10)
        desk.session(Verdict.REFUSED, id="2")
    now.wall -= 7200.0
    async with keeping(file, now.clock()) as desk:
        account = desk.ledger.accounts[SMTP.name]
        assert account.outage is not None
        assert (account.outage.began, account.outage.seen) == (desk.clock() - 10, desk.clock())
        now.passes(30)
        desk.session(Verdict.PRESERVED, id="3")
        await desk.writes(1)
        (outage,) = await desk.history.outages(Wanted(), most=10)
        assert outage.seconds == 40.0


async def test_an_endpoint_that_is_watched_no_more_has_no_outage_that_lasts(tmp_path: Path) -> None:
    now, file = Time(), tmp_path / "h.db"
    async with keeping(file, now.clock()) as desk:
        desk.session(Verdict.REFUSED, id="1")
        seen = now.wall
    now.passes(600)
    async with keeping(file, now.clock(), endpoints=[IMAPS]) as desk:
        await desk.until(lambda: asked(file, "SELECT ended FROM outages") == [(seen,)])
    async with keeping(file, now.clock()) as desk:
        assert desk.ledger.accounts[SMTP.name].outage is None


async def test_only_the_last_day_is_restored_with_the_verdict_it_began_with(tmp_path: Path) -> None:
    now, file = Time(), tmp_path / "h.db"
    async with keeping(file, now.clock()) as desk:
        for verdict in (Verdict.REFUSED, Verdict.PRESERVED):
            desk.session(verdict, id=verdict)
            now.passes(30)
        now.passes(2 * DAY)
        desk.session(Verdict.UNVERIFIED, id="late")
    async with keeping(file, now.clock()) as desk:
        account = desk.ledger.accounts[SMTP.name]
        assert [change.session for change in account.changes] == ["preserved", "late"]
        assert list(account.outages) == []


async def test_records_of_fine_sessions_stay_a_day_others_for_the_retention(tmp_path: Path) -> None:
    now, file = Time(), tmp_path / "h.db"
    async with keeping(file, now.clock(), retention="3d") as desk:
        desk.session(Verdict.PRESERVED, id="fine")
        now.passes(1)
        desk.session(Verdict.MASKED, id="bad")
        await desk.writes(2)
        now.passes(DAY + 1)
        await desk.until(lambda: asked(file, "SELECT count(*) FROM records") == [(1,)])
        fine, bad = await desk.history.session("fine"), await desk.history.session("bad")
        assert fine is not None
        assert bad is not None
        assert (fine["verdict"], fine["severity"], fine["transcript"], fine["seconds"]) == ("preserved", "ok", [], 1.0)
        assert bad["transcript"]
        assert fine.keys() == bad.keys()
        for identity in ("later", "last"):
            now.passes(1.5 * DAY)
            desk.session(Verdict.PRESERVED, id=identity)
        await desk.until(lambda: identities(file) == ["later", "last"])
        assert asked(file, "SELECT count(*) FROM records") == [(1,)]
        # What the verdict was as the time that is kept began stays known.
        assert [row[0] for row in asked(file, "SELECT session FROM changes ORDER BY number")] == ["bad", "later"]


async def test_pruning_goes_in_steps_and_the_file_shrinks(tmp_path: Path) -> None:
    now, file = Time(), tmp_path / "h.db"
    async with keeping(file, now.clock(), retention="2d") as desk:
        for number in range(5000):
            desk.session(Verdict.UNVERIFIED, id=f"old{number}")
            if number % 100 == 0:
                await desk.writes(number)
        await desk.writes(5000)
        asked(file, "PRAGMA wal_checkpoint(TRUNCATE)")
        full = file.stat().st_size
        assert full > 3_000_000
        now.passes(1.5 * DAY)
        desk.session(Verdict.PRESERVED, id="new")
        now.passes(1.5 * DAY)
        await desk.writes(5001)
        for number in range(20):
            desk.session(Verdict.PRESERVED, id=f"new{number}")
            await desk.writes(5002 + number)
        await desk.until(lambda: asked(file, "SELECT count(*) FROM sessions WHERE id LIKE 'old%'") == [(0,)])
        await desk.until(lambda: asked(file, "PRAGMA freelist_count")[0][0] <= FEW_PAGES)
    assert file.stat().st_size < full / 2
    assert identities(file) == ["new", *(f"new{number}" for number in range(20))]


async def test_a_reader_never_waits_behind_a_long_write(tmp_path: Path) -> None:
    file = tmp_path / "h.db"
    async with keeping(file, patience=replace(BRISK, prune=60.0)) as desk:
        desk.session(id="one")
        await desk.writes(1)
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            other.execute("UPDATE sessions SET seconds = 9")
            began = time.monotonic()
            found = await desk.history.session("one")
            assert time.monotonic() - began < 1.0
            other.execute("ROLLBACK")
        assert found is not None
        assert found["seconds"] == 1.0


async def test_what_is_told_at_the_end_is_written_at_the_end(tmp_path: Path) -> None:
    async with keeping(tmp_path / "h.db", patience=replace(BRISK, gather=60.0)) as desk:
        for number in range(3 * AT_ONCE):
            desk.session(id=str(number))
    assert identities(tmp_path / "h.db") == [str(number) for number in range(3 * AT_ONCE)]


async def test_sessions_that_come_together_are_written_together(tmp_path: Path) -> None:
    commits = 0
    async with keeping(tmp_path / "h.db", patience=replace(BRISK, gather=0.1, prune=60.0)) as desk:
        with closing(sqlite3.connect(tmp_path / "h.db")) as other:
            version = other.execute("PRAGMA data_version").fetchone()
            for number in range(AT_ONCE - 1):
                desk.session(id=str(number))
                await asyncio.sleep(0.001)
            while desk.history.written < AT_ONCE - 1:
                await asyncio.sleep(0.001)
                seen = other.execute("PRAGMA data_version").fetchone()
                commits, version = commits + (seen != version), seen
    assert 1 <= commits < AT_ONCE / 3


def test_the_tables_are_marked_as_ours_and_of_this_version(tmp_path: Path) -> None:
    async def begin() -> None:
        async with keeping(tmp_path / "h.db"):
            pass

    asyncio.run(begin())
    assert asked(tmp_path / "h.db", "PRAGMA user_version") == [(VERSION,)]
    assert asked(tmp_path / "h.db", "PRAGMA application_id") == [(APPLICATION,)]
    assert asked(tmp_path / "h.db", "PRAGMA auto_vacuum") == [(2,)]
    assert asked(tmp_path / "h.db", "PRAGMA journal_mode") == [("wal",)]
    assert (tmp_path / "h.db").stat().st_mode & 0o007 == 0


def test_the_backlog_is_bounded_counts_and_keeps_the_order() -> None:
    backlog = Backlog(most=100)
    for number in range(250):
        backlog.add(News(session=result(id=str(number))))
    assert backlog.dropped == 150
    first = backlog.next()
    assert [one.session.id for one in first.sessions] == [str(number) for number in range(150, 150 + AT_ONCE)]
    backlog.add(News(session=result(id="250")))
    backlog.give_back(first)
    assert backlog.dropped == 151
    kept: list[Any] = []
    while batch := backlog.next():
        kept += [one.session.id for one in batch.sessions]
    assert kept == [str(number) for number in range(151, 251)]
