"""The history keeps what the ledger tells and gives it back: sessions, changes, outages, each once, for as long as it
should."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from probe.model import MaskedBy, Verdict
from probe.report.record import record_object
from probe.service.history.backlog import AT_ONCE, Backlog, News
from probe.service.history.file import FEW_PAGES
from probe.service.history.schema import APPLICATION, VERSION
from probe.service.station import Past
from tests.builders import result
from tests.service.history.keeping import BRISK, DAY, IMAPS, SMTP, TALK, Time, asked, identities, keeping


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
        listed = await desk.history.sessions(before=1100.0, most=4)
        assert [one["id"] for one in listed] == ["99", "98", "97", "96"]
        listed = await desk.history.sessions(endpoint=IMAPS.name, before=None, most=3)
        assert [one["id"] for one in listed] == ["199", "197", "195"]
        assert await desk.history.sessions(most=-1) == []
        assert len(await desk.history.sessions(most=10**9)) == 200
    assert identities(tmp_path / "h.db") == [str(number) for number in range(200)]


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("SELECT * FROM sessions WHERE opened < 9 ORDER BY opened DESC LIMIT 5", "sessions_by_time"),
        (
            "SELECT * FROM sessions WHERE endpoint = 1 AND opened < 9 ORDER BY opened DESC LIMIT 5",
            "sessions_by_endpoint",
        ),
        ("SELECT number FROM records WHERE fine AND opened < 9 ORDER BY opened LIMIT 5", "records_of_fine_sessions"),
        ("SELECT number FROM outages WHERE ended < 9 LIMIT 5", "outages_by_end"),
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
        (lasting,) = await desk.history.outages(since=0.0, most=10)
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
        assert await desk.history.outages(since=ended, most=10) == []
    assert identities(file) == ["fine", "first", "second", "third", "fourth"]


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
        (lasting,) = await desk.history.outages(since=0.0, most=10)
        assert lasting.seconds == pytest.approx(60.0)
        assert lasting.seen == pytest.approx(now.wall)
    async with keeping(file, now.clock()) as desk:
        now.passes(60)
        desk.session(Verdict.PRESERVED, id="3")
        await desk.writes(1)
        (ended,) = await desk.history.outages(since=0.0, most=10)
        assert ended.seconds == pytest.approx(120.0)


async def test_what_lies_ahead_because_the_clock_was_wrong_is_not_restored_ahead(tmp_path: Path) -> None:
    now, file = Time(), tmp_path / "h.db"
    async with keeping(file, now.clock()) as desk:
        desk.session(Verdict.REFUSED, id="1")
    now.wall -= 7200.0
    async with keeping(file, now.clock()) as desk:
        account = desk.ledger.accounts[SMTP.name]
        assert account.outage is not None
        assert account.outage.began == account.outage.seen == desk.clock()
        now.passes(30)
        desk.session(Verdict.PRESERVED, id="2")
        await desk.writes(1)
        (outage,) = await desk.history.outages(since=0.0, most=10)
        assert outage.seconds == 30.0


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
        now.passes(2 * DAY)
        desk.session(Verdict.PRESERVED, id="later")
        await desk.until(lambda: identities(file) == ["later"])
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
        now.passes(3 * DAY)
        for number in range(20):
            desk.session(Verdict.PRESERVED, id=f"new{number}")
            await desk.writes(5001 + number)
        await desk.until(lambda: asked(file, "SELECT count(*) FROM sessions WHERE id LIKE 'old%'") == [(0,)])
        await desk.until(lambda: asked(file, "PRAGMA freelist_count")[0][0] <= FEW_PAGES)
    assert file.stat().st_size < full / 2
    assert identities(file) == [f"new{number}" for number in range(20)]


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
