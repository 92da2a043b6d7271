"""Whatever is wrong with the file is said once with the next step, costs no probing, and passes."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from probe.model import Verdict
from probe.service.history.backlog import AT_ONCE
from probe.service.history.faults import HistoryTrouble
from probe.service.history.place import KEPT, Lock
from probe.service.history.schema import VERSION
from probe.service.history.writer import SLOW_DISK
from probe.service.ledger import Restored
from probe.service.telling import Telling
from probe.service.wanted import Wanted
from tests.service.history.keeping import BRISK, SMTP, Time, asked, identities, keeping

ROOT = Path(__file__).parents[3]


def in_a_child(*arguments: object, before: tuple[str, ...] = ()) -> dict[str, Any]:
    command = [*before, sys.executable, "-m", "tests.service.history.child", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


def broken_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.broken-*"))


async def filled(file: Path, count: int = 300) -> None:
    async with keeping(file) as desk:
        for number in range(count):
            desk.session(Verdict.UNVERIFIED, id=f"old{number}")


async def test_a_missing_directory_is_said_once_and_found_when_it_is_there(tmp_path: Path) -> None:
    file = tmp_path / "later" / "h.db"
    async with keeping(file) as desk:
        assert desk.history.trouble == (
            f"history.file {file}: there is no directory {file.parent}: create it for the probe's user"
        )
        assert not desk.history.usable
        desk.session(Verdict.REFUSED, id="one")
        assert desk.ledger.accounts[SMTP.name].outage is not None
        for question in (desk.history.sessions(Wanted()), desk.history.session("x"), desk.history.outages(Wanted())):
            with pytest.raises(HistoryTrouble):
                await question
        file.parent.mkdir()
        await desk.writes(1)
        assert desk.history.trouble is None
        assert [event for event, _ in desk.said.events] == [
            "history: sessions are not written down; tried again within a minute",
            "history: sessions are written down again",
        ]
        assert len(desk.said.reasons) == 1
    assert identities(file) == ["one"]
    assert asked(file, "SELECT count(*) FROM outages WHERE ended IS NULL") == [(1,)]


async def test_a_directory_or_a_device_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, what in (("folder", "a directory"), ("pipe", "no regular file")):
        async with keeping(tmp_path / name) as desk:
            assert desk.history.trouble is not None
            assert f"it is {what}: name a file, or move it away" in desk.history.trouble
    (tmp_path / "file").write_text("x")
    async with keeping(tmp_path / "file" / "h.db") as desk:
        assert "is no directory" in str(desk.history.trouble)
    assert names(tmp_path) == ["file", "folder", "pipe"]


async def test_another_probe_on_the_same_file(tmp_path: Path) -> None:
    file = tmp_path / "h.db"
    async with keeping(file) as first, keeping(file) as second:
        assert f"another probe (process {os.getpid()}) uses it" in str(second.history.trouble)
        first.session(id="first")
        second.session(id="second")
        await first.writes(1)
        assert identities(file) == ["first"]
    # The second one's last try, as it ended before the first, was in vain.
    assert identities(file) == ["first"]
    async with keeping(file) as third:
        assert third.history.trouble is None


async def test_the_other_probe_ends(tmp_path: Path) -> None:
    now, file = Time(), tmp_path / "h.db"
    async with keeping(file, now.clock()) as first:
        first.session(Verdict.REFUSED, id="first")
        await first.writes(1)
        began = now.wall
        now.passes(60)
        second_keeping = keeping(file, now.clock())
        second = await second_keeping.__aenter__()
        second.session(Verdict.REFUSED, id="second")
    await second.writes(1)
    assert second.history.trouble is None
    # The second read what the first knew, although it could not have the file yet: it is one outage.
    assert asked(file, "SELECT began, seen, ended FROM outages") == [(began, now.wall, None)]
    await second_keeping.__aexit__(None, None, None)


async def test_a_program_that_locks_the_file_for_a_while(tmp_path: Path) -> None:
    file = tmp_path / "h.db"
    async with keeping(file, patience=replace(BRISK, prune=60.0)) as desk:
        desk.session(id="before")
        await desk.writes(1)
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            desk.session(id="one")
            await desk.until(lambda: desk.history.trouble is not None)
            assert "another program holds it locked" in str(desk.history.trouble)
            other.execute("ROLLBACK")
        await desk.writes(2)
    assert identities(file) == ["before", "one"]


@contextmanager
def hanging(file: Path) -> Iterator[None]:
    """Whoever writes waits, for less than SQLite would wait for a lock."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


async def test_a_disk_that_hangs_while_it_is_written_is_said_and_taken_back_when_it_answers(tmp_path: Path) -> None:
    file = tmp_path / "h.db"
    async with keeping(file, patience=replace(BRISK, answer=0.3)) as desk:
        desk.session(id="before")
        await desk.writes(1)
        with hanging(file):
            desk.session(id="waits")
            await desk.until(lambda: desk.history.trouble is not None)
            assert desk.history.trouble == f"history.file {file}: {SLOW_DISK}"
            assert (desk.history.written, desk.history.usable) == (1, True)
        await desk.until(lambda: desk.history.trouble is None)
        assert desk.history.written == 2
    assert identities(file) == ["before", "waits"]
    assert [event for event, _ in desk.said.events] == [
        "history: sessions are not written down; tried again within a minute",
        "history: sessions are written down again",
    ]


async def test_what_is_lost_at_the_end_is_counted_and_said(tmp_path: Path) -> None:
    there, missing = tmp_path / "h.db", tmp_path / "later" / "h.db"
    async with keeping(there) as desk:
        desk.session(id="before")
    for file, kept in ((there, hanging(there)), (missing, nullcontext())):
        with kept:
            async with keeping(file, patience=replace(BRISK, start=0.3, close=0.05)) as desk:
                for number in range(AT_ONCE + 4):
                    desk.session(Verdict.REFUSED, id=f"lost{number}")
            lost = {"file": str(file), "sessions": AT_ONCE + 4, "outages": 1}
            assert desk.said.events[-1] == ("history: what was not written down before the end is lost", lost)
            assert desk.history.dropped == AT_ONCE + 4
    await desk.until(lambda: not any("connection_worker" in thread.name for thread in threading.enumerate()))
    assert identities(there) == ["before"]


async def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "h.db"
    await filled(file, 3)
    with closing(sqlite3.connect(file)) as other:
        other.execute(f"PRAGMA user_version = {VERSION + 1}")
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = file.read_bytes()
    async with keeping(file) as desk:
        desk.session(id="one")
        assert f"version {VERSION + 1} of its tables, this one knows {VERSION}" in str(desk.history.trouble)
        assert "update mailprobe, or name another file" in str(desk.history.trouble)
    assert file.read_bytes() == before
    assert broken_files(tmp_path) == []


@pytest.mark.parametrize("kind", ["another database", "no database"])
async def test_what_is_not_ours_is_left_alone(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "mail.log"
    if kind == "another database":
        with closing(sqlite3.connect(file)) as other:
            other.execute("CREATE TABLE mine (number INTEGER)")
    else:
        file.write_text("Nov 22 18:29:06 mail postfix/smtpd[1]: connect from unknown[192.168.1.10]\n" * 100)
    before = file.read_bytes()
    async with keeping(file) as desk:
        desk.session(id="one")
        await desk.until(lambda: desk.history.trouble is not None)
        assert "it is no history of mailprobe: name another file" in str(desk.history.trouble)
    assert file.read_bytes() == before
    assert names(tmp_path) == ["mail.log"]


def _zeros_at_the_head(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.write(bytes(8192))


def _noise_in_the_middle(file: Path) -> None:
    with file.open("r+b") as opened:
        for offset in range(4096, file.stat().st_size, 8192):
            opened.seek(offset)
            opened.write(b"\xa5" * 2048)


def _half(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def _crooked_length(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 1000)


DAMAGES: tuple[Callable[[Path], None], ...] = (_zeros_at_the_head, _noise_in_the_middle, _half, _crooked_length)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__.strip("_"))
async def test_a_broken_file_is_kept_aside_and_a_new_one_begun(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    file = tmp_path / "h.db"
    await filled(file)
    damage(file)
    broken = file.read_bytes()
    async with keeping(file) as desk:
        assert desk.history.trouble is None
        desk.session(Verdict.REFUSED, id="new")
        await desk.writes(1)
        assert (await desk.history.session("new") or {})["verdict"] == "refused"
    assert identities(file) == ["new"]
    (aside,) = broken_files(tmp_path)
    assert aside.read_bytes() == broken
    assert [event for event, _ in desk.said.events] == [
        "history: sessions are not written down; tried again within a minute",
        "history: the broken file is kept, a new one begun",
        "history: sessions are written down again",
    ]


async def test_a_file_that_breaks_meanwhile_loses_no_outage(tmp_path: Path) -> None:
    now, file = Time(), tmp_path / "h.db"
    async with keeping(file, now.clock()) as desk:
        for number in range(300):
            desk.session(Verdict.REFUSED, id=f"old{number}")
        await desk.writes(300)
        began = now.wall
        asked(file, "PRAGMA wal_checkpoint(TRUNCATE)")
        _zeros_at_the_head(file)
        now.passes(30)
        # The writer's connection may keep all it needs in memory; one that reads has to look at the file.
        with suppress(HistoryTrouble):
            await desk.history.sessions(Wanted())
        await desk.until(lambda: bool(broken_files(tmp_path)))
        desk.session(Verdict.REFUSED, id="last")
        await desk.until(lambda: not desk.history.trouble and "last" in identities(file))
    assert asked(file, "SELECT began, seen, ended FROM outages") == [(began, now.wall, None)]
    async with keeping(file, now.clock()) as desk:
        account = desk.ledger.accounts[SMTP.name]
        assert [change.session for change in account.changes] == ["old0"]
        assert account.outage is not None
        assert account.outage.began == pytest.approx(began)


@pytest.mark.parametrize("instead", [None, "another"])
async def test_a_file_that_is_deleted_or_replaced_is_noticed_and_begun_anew(
    tmp_path: Path, instead: str | None
) -> None:
    now, file, other = Time(), tmp_path / "h.db", tmp_path / "other.db"
    if instead is not None:
        await filled(other, 3)
    async with keeping(file, now.clock()) as desk:
        desk.session(Verdict.REFUSED, id="lost")
        await desk.writes(1)
        began = now.wall
        for name in names(tmp_path):
            if name.startswith("h.db"):
                (tmp_path / name).unlink()
        if instead is not None:
            other.rename(file)
        now.passes(30)
        desk.session(Verdict.REFUSED, id="kept")
        await desk.writes(2)
        await desk.until(lambda: desk.history.trouble is None)
    what = "another file was put in its place" if instead else "it was deleted"
    assert [reason.split(": ")[1] for reason in desk.said.reasons] == [
        f"{what} while it was in use, and what it held is lost to it"
    ]
    assert identities(file) == ["old0", "old1", "old2", "kept"][0 if instead else 3 :]
    assert asked(file, "SELECT first, began, seen FROM outages") == [("lost", began, now.wall)]
    assert broken_files(tmp_path) == []


async def test_a_process_that_is_ending_holds_up_the_next_one_and_loses_it_nothing(tmp_path: Path) -> None:
    now, file = Time(), tmp_path / "h.db"
    async with keeping(file, now.clock()) as desk:
        desk.session(Verdict.REFUSED, id="first")
    lock = Lock(file)
    asyncio.get_running_loop().call_later(0.2, lock.release)
    async with keeping(file, now.clock(), patience=replace(BRISK, yields=20.0, start=20.0)) as desk:
        assert desk.history.trouble is None
        assert desk.ledger.accounts[SMTP.name].outage is not None
        desk.session(Verdict.REFUSED, id="second")
        await desk.writes(1)
    assert asked(file, "SELECT first, ended FROM outages") == [("first", None)]


HASTY = replace(BRISK, start=0.0)
"""As if the disk did not answer in time: the file is opened when sessions have been judged already."""


@pytest.mark.parametrize(
    ("verdicts", "changes", "outage"),
    [
        ((Verdict.SILENT_DROP, Verdict.SILENT_DROP), ["fine", "first", "late0"], (("first", 90.0, False))),
        ((Verdict.REFUSED, Verdict.PRESERVED), ["fine", "first", "late1"], (("first", 90.0, True))),
        ((Verdict.PRESERVED, Verdict.REFUSED), ["fine", "first", "late0", "late1"], (("first", 60.0, True))),
        ((), ["fine", "first"], (("first", 0.0, False))),
    ],
    ids=["lasts", "ended since", "was over", "no session yet"],
)
async def test_a_disk_that_answers_late_cuts_no_outage_in_two(
    tmp_path: Path, verdicts: tuple[Verdict, ...], changes: list[str], outage: tuple[str, float, bool]
) -> None:
    now, file = Time(), tmp_path / "h.db"
    async with keeping(file, now.clock()) as desk:
        desk.session(Verdict.PRESERVED, id="fine")
        now.passes(30)
        desk.session(Verdict.REFUSED, id="first")
        began = now.wall
    now.passes(30)
    async with keeping(file, now.clock(), patience=HASTY) as desk:
        assert not desk.history.usable
        account = desk.ledger.accounts[SMTP.name]
        assert (account.outage, list(account.changes)) == (None, [])
        for number, verdict in enumerate(verdicts):
            now.passes(30)
            desk.session(verdict, id=f"late{number}")
        await desk.until(lambda: len(account.changes) == len(changes) and desk.history.trouble is None)
        assert [change.session for change in account.changes] == changes
        told = account.outages[0] if outage[2] else account.outage
        assert told is not None
        assert (told.first, told.began, told.seconds, told.ended is not None) == (outage[0], began, *outage[1:])
        in_memory = (*account.outages, *filter(None, [account.outage]))
    # Told and written down are one, however often the next process reads it.
    async with keeping(file, now.clock()) as desk:
        account = desk.ledger.accounts[SMTP.name]
        assert (*account.outages, *filter(None, [account.outage])) == in_memory
        assert [change.session for change in account.changes] == changes
    assert identities(file) == ["fine", "first", *(f"late{number}" for number in range(len(verdicts)))]


async def test_what_the_ledger_could_not_take_up_is_tried_again_and_ended_by_nobody(tmp_path: Path) -> None:
    now, file = Time(), tmp_path / "h.db"
    async with keeping(file, now.clock()) as desk:
        desk.session(Verdict.REFUSED, id="first")
    refused = list[str]()
    async with keeping(file, now.clock(), patience=HASTY) as desk:

        def at_the_second_time(found: Restored) -> Restored:
            if not refused:
                refused.extend(one.first for one in found.lasting)
                raise IndexError
            return desk.ledger.take_up(found)

        desk.history.when_found(at_the_second_time)
        now.passes(30)
        desk.session(Verdict.SILENT_DROP, id="second")
        await desk.writes(1)
        assert any("mailprobe itself is at fault (IndexError" in reason for reason in desk.said.reasons)
    assert refused == ["first"]
    assert asked(file, "SELECT first, verdicts, ended FROM outages") == [("first", "refused silent_drop", None)]


async def test_what_is_taken_up_is_taken_up_once_whoever_fails_to_tell_of_it(tmp_path: Path) -> None:
    now, file = Time(), tmp_path / "h.db"
    async with keeping(file, now.clock()) as desk:
        desk.session(Verdict.REFUSED, id="first")
    taken = list[str]()
    now.passes(30)
    async with keeping(file, now.clock(), patience=HASTY) as desk:

        def take_up(found: Restored) -> Restored:
            taken.extend(one.first for one in found.lasting)
            return desk.ledger.take_up(found)

        def tell(*_: Restored) -> None:
            raise IndexError

        desk.history.when_found(take_up, tell)
        desk.session(Verdict.SILENT_DROP, id="second")
        await desk.writes(1)
        assert any("mailprobe itself is at fault (IndexError" in reason for reason in desk.said.reasons)
        assert desk.ledger.accounts[SMTP.name].counts.seconds_of_outage == 30.0
    assert taken == ["first"]
    assert asked(file, "SELECT first, verdicts, ended FROM outages") == [("first", "refused silent_drop", None)]


async def test_few_broken_files_are_kept(tmp_path: Path) -> None:
    now, file = Time(), tmp_path / "h.db"
    for _ in range(KEPT + 2):
        await filled(file, 3)
        _zeros_at_the_head(file)
        now.passes(1)
        async with keeping(file, now.clock()):
            pass
    assert len(broken_files(tmp_path)) == KEPT


async def test_what_is_kept_meanwhile_is_bounded_and_counted(tmp_path: Path) -> None:
    now, file = Time(), tmp_path / "later" / "h.db"
    async with keeping(file, now.clock()) as desk:
        for number in range(3000):
            desk.session(Verdict.REFUSED, id=str(number))
            now.passes(1)
        assert desk.history.dropped == 1000
        assert str(desk.history.trouble).endswith("; 1000 sessions are lost so far")
        file.parent.mkdir()
        await desk.writes(2000)
        assert ("history: sessions are written down again", {"file": str(file), "lost": 1000}) in desk.said.events
    assert identities(file) == [str(number) for number in range(1000, 3000)]
    # The outage is known from its first session on, although that one is lost.
    assert asked(file, "SELECT seen - began, ended FROM outages") == [(2999.0, None)]


async def test_sessions_faster_than_they_are_written(tmp_path: Path) -> None:
    async with keeping(tmp_path / "h.db", patience=replace(BRISK, gather=0.2)) as desk:
        for number in range(2100):
            desk.session(id=str(number))
        assert desk.history.dropped == 100
        assert [event for event, _ in desk.said.events] == [
            "history: sessions come faster than they are written; some are lost"
        ]
        await desk.writes(2000)
    assert len(identities(tmp_path / "h.db")) == 2000


async def test_a_session_that_cannot_be_written_down_costs_only_itself(tmp_path: Path) -> None:
    async with keeping(tmp_path / "h.db") as desk:
        desk.session(id="before")
        desk.session(id="beyond", closed=1e300)
        desk.session(id="after")
        await desk.writes(3)
        assert desk.history.dropped == 1
        assert desk.history.trouble is None
    assert identities(tmp_path / "h.db") == ["before", "after"]


async def test_texts_of_a_hostile_server_are_kept_as_text(tmp_path: Path) -> None:
    async with keeping(tmp_path / "h.db") as desk:
        desk.session(Verdict.REFUSED, id="odd", path="vip\udcff")
        desk.session(id="odd'; DROP TABLE sessions; --")
        await desk.until(lambda: len(identities(tmp_path / "h.db")) >= 1)
        assert (await desk.history.session("odd'; DROP TABLE sessions; --") or {})["verdict"] == "preserved"


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("outages", "seen", "x"),
        ("outages", "unwatched", b"x"),
        ("changes", "at", "x"),
        ("endpoints", "path", b"x"),
        ("reckoning", "ahead", "x"),
        ("reckoning", "ahead", 1e18),
        ("sessions", "opened", "x"),
    ],
)
async def test_a_row_that_somebody_else_has_changed_costs_what_it_tells_and_no_more(
    tmp_path: Path, table: str, column: str, value: object
) -> None:
    now, file = Time(boot="this"), tmp_path / "h.db"
    async with keeping(file, now.clock()) as desk:
        desk.session(Verdict.REFUSED, id="first")
    with closing(sqlite3.connect(file)) as other, other:
        other.execute("DELETE FROM records")
        other.execute(f"UPDATE {table} SET {column} = ?", (value,))  # of this test
    async with keeping(file, now.clock()) as desk:
        telling, told = Telling("lan-probe", desk.history.restored), list[str]()
        desk.ledger.listeners.append(
            lambda entry: told.extend(json.dumps(line) for _, line in telling.of(entry, desk.clock.ahead))
        )
        for verdict in (Verdict.REFUSED, Verdict.PRESERVED):
            now.passes(30)
            desk.session(verdict, id=verdict.value)
        await desk.writes(2)
        assert desk.history.trouble is None
        assert json.loads(told[-1])["event"] == "outage_ended"
        listed = await desk.history.sessions(Wanted())
        assert [one["id"] for one in listed][:2] == ["preserved", "refused"]
        assert "refused" in [one.verdict for one in await desk.history.outages(Wanted())]


async def test_a_record_that_cannot_be_read_any_more_is_told_by_its_row(tmp_path: Path) -> None:
    file = tmp_path / "h.db"
    await filled(file, 2)
    with closing(sqlite3.connect(file)) as other, other:
        other.execute("UPDATE records SET record = x'00ff' WHERE number = 1")
    async with keeping(file) as desk:
        first = await desk.history.session("old0")
        assert first is not None
        assert (first["verdict"], first["transcript"]) == ("unverified", [])
        assert desk.history.trouble is None


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """One that everybody may search, which pytest's own is not."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_a_directory_and_a_file_that_may_not_be_written(open_folder: Path) -> None:
    file = open_folder / "h.db"
    found = in_a_child("as-nobody", file)
    assert "Permission denied: give the probe's user write access to the directory" in found["trouble"]
    assert len(found["reasons"]) == 1
    await filled(file, 3)
    held = file.read_bytes()
    found = in_a_child("as-nobody", file)
    assert "give the probe's user write access" in found["trouble"]
    assert str(file) in found["trouble"]
    assert file.read_bytes() == held


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    found = in_a_child("limited", tmp_path / "h.db", 300_000)
    _recovered(found)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs a mount of its own")
def test_a_full_disk(tmp_path: Path) -> None:
    mount = 'mount -t tmpfs -o size=2m none "$1"; shift; exec "$@"'
    found = in_a_child(
        "crowded", tmp_path / "h.db", before=("unshare", "--mount", "sh", "-ec", mount, "sh", str(tmp_path))
    )
    _recovered(found)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs a mount of its own")
def test_a_start_on_a_full_disk_ends_no_outage(tmp_path: Path) -> None:
    mount = 'mount -t tmpfs -o size=1m none "$1"; shift; exec "$@"'
    found = in_a_child(
        "cramped", tmp_path / "h.db", before=("unshare", "--mount", "sh", "-ec", mount, "sh", str(tmp_path))
    )
    assert "full" in found["trouble"]
    assert found["lasting"] == "first"
    assert found["after"] == [["first", None]]


def _recovered(found: dict[str, Any]) -> None:
    assert "full" in found["trouble"]
    assert found["after"] is None
    assert found["held"] == [str(number) for number in range(found["told"])]
    assert found["events"].count("history: sessions are not written down; tried again within a minute") == 1
    assert found["events"][-1] == "history: sessions are written down again"
